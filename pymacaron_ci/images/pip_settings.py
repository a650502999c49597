"""What pip's environment and files say of indexes, translated for uv, which doesn't read them."""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# A setting of pip, and uv's variable for it. Variables: an index's address may hold a password.
_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "cert": "SSL_CERT_FILE",
}
_WITHOUT_MEANING = frozenset({
    "no-index", "timeout", "default-timeout", "disable-pip-version-check", "no-input", "retries",
    "no-cache-dir", "cache-dir", "root-user-action", "progress-bar", "require-virtualenv",
    "break-system-packages", "no-color", "quiet", "verbose", "user", "no-python-version-warning",
})  # fmt: skip
_OF_THE_MACHINE = (Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"))
_SECTIONS = ("global", "download", "install", "wheel")


def for_uv(
    environ: Mapping[str, str], shared: Sequence[Path] = _OF_THE_MACHINE
) -> dict[str, str] | None:
    """Variables for uv; `NO_INDEX` among them asks for --no-index. None: it can't be translated."""
    settings: dict[str, str] = {}
    for name, value in _settings(environ, shared):
        if name not in _VARIABLES and name not in _WITHOUT_MEANING:
            return None
        settings[name] = " ".join(value.split())
    translated = {_VARIABLES[name]: v for name, v in settings.items() if name in _VARIABLES and v}
    if "UV_FIND_LINKS" in translated:
        translated["UV_FIND_LINKS"] = translated["UV_FIND_LINKS"].replace(" ", ",")
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        translated["NO_INDEX"] = "1"
    # As pip does: the best version wins, whichever index has it.
    return translated | {"UV_INDEX_STRATEGY": "unsafe-best-match"}


def _settings(environ: Mapping[str, str], shared: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Later ones count: files of the machine, of the user, the one that is named; variables."""
    for file in _files(environ, shared):
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeError):
            yield f"the file {file}", ""
            continue
        for section in _SECTIONS:
            if parser.has_section(section):
                yield from ((k.lower().replace("_", "-"), v) for k, v in parser.items(section))
    for name, value in sorted(environ.items()):
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE":
            yield name[len("PIP_") :].lower().replace("_", "-"), value


def _files(environ: Mapping[str, str], shared: Sequence[Path]) -> Iterator[Path]:
    named = environ.get("PIP_CONFIG_FILE")
    if named == "/dev/null":  # pip's own way to switch files off
        return
    home = Path(environ.get("HOME") or "~").expanduser()
    yield from shared
    yield home / ".pip/pip.conf"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
    if named:
        yield Path(named)
