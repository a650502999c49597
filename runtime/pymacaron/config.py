"""The one config object: pym-config.yaml as attributes, secrets taken from the environment.

>>> from pymacaron.config import get_config
>>> get_config().live_url            # any key of the file
>>> get_config().get("my_key", 12)   # or with a default
"""

from __future__ import annotations

import difflib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymacaron.config_file import ConfigError, SecretValue, read_settings
from pymacaron.redaction import MASK, is_sensitive, redactor

__all__ = [
    "ConfigError",
    "MissingSetting",
    "PyMacaronConfig",
    "SecretValue",
    "changes_of",
    "get_config",
    "get_config_path",
    "use_config",
]

CONTAINER_FOLDER = Path("/pym")

DEFAULTS: Mapping[str, object] = {
    "jwt_issuer": None,
    "jwt_audience": None,
    "jwt_secret": None,
    "jwt_token_timeout": 86400,
    "jwt_token_renew_after": 10800,
    "default_user_id": "PYM_DEFAULT_USER_ID",
    "report_call_exceeding_ms": 1000,
}


class MissingSetting(ConfigError, AttributeError):
    """A key that neither the file nor the code sets; `hasattr` is False for it."""


class _Values(dict[str, Any]):
    """Settings that can be printed: whatever may be a secret is masked."""

    def __repr__(self) -> str:
        shown = (
            f"{k!r}: {MASK if is_sensitive(k) and v is not None else redactor.text(repr(v))}"
            for k, v in self.items()
        )
        return "{" + ", ".join(shown) + "}"


class PyMacaronConfig:
    """Every key of pym-config.yaml is an attribute. The file is read at the first look, once.

    Raises ConfigError for a file that can't be used and for secrets missing from the environment
    (all of them in one error), MissingSetting for an unknown key.
    """

    config_path: str | None

    def __init__(self) -> None:
        state = self.__dict__
        state["_lock"] = threading.RLock()
        state["_file"] = _Values()
        state["_code"] = _Values()
        state["_unset"] = {}
        state["_loaded"] = False
        state["_changes"] = 0
        # All settings as they hold together, once the file was read.
        state["_together"] = None

    def load_pym_config(
        self, path: str | os.PathLike[str] | None = None, env: str | None = None
    ) -> None:
        """Reads the file of an environment (default: PYM_ENV) now, from `path` (a file or a folder)
        if it is there, else from the usual places."""
        with self._lock:
            found = _find(env or os.environ.get("PYM_ENV"), path)
            if found is None:
                raise ConfigError(_not_found(path))
            self._load(found)

    def get(self, name: str, default: Any = None) -> Any:
        """The setting, or the default: also where there is no config file at all."""
        state = self.__dict__
        together = state["_together"]
        if together is None:
            if name not in state["_code"]:
                self._load_once()
            together = self._all()
        if name in together:
            return together[name]
        if name in state["_unset"]:
            raise ConfigError(state["_unset"][name])
        return default

    def _all(self) -> _Values:
        state = self.__dict__
        unset: Mapping[str, str] = state["_unset"]
        defaults = {name: value for name, value in DEFAULTS.items() if name not in unset}
        return _Values({**defaults, **state["_file"], **state["_code"]})

    def keys(self) -> list[str]:
        """The names of all settings."""
        self._load_once()
        return sorted({*DEFAULTS, *self._file, *self._unset, *self._code})

    def require_secrets(self) -> None:
        """Raises ConfigError with every setting whose variable the platform should have filled."""
        self._load_once()
        if lacking := [line for key, line in self._unset.items() if key not in self._code]:
            raise ConfigError("\n".join(dict.fromkeys(lacking)))

    def secret_values(self) -> list[str]:
        """The values that came from the environment; for masking, never for showing."""
        return [v for v in _leaves(self._file) if isinstance(v, SecretValue)]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self.get(name, _Missing)
        if value is not _Missing:
            return value
        if self._file:
            where = f"{Path(str(self._file['config_path'])).name} has no key {name!r}"
        else:
            where = f"no key {name!r}: {_not_found(None)}"
        near = difflib.get_close_matches(name, self.keys(), n=3, cutoff=0.7)
        hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        raise MissingSetting(where + hint)

    def __setattr__(self, name: str, value: object) -> None:
        with self._lock:
            self._code[name] = value
            self._changed()
            if is_sensitive(name) and isinstance(value, str) and value:
                redactor.hide([value])

    def __delattr__(self, name: str) -> None:
        with self._lock:
            if name not in self._code:
                raise MissingSetting(f"{name!r} was not set by code")
            del self._code[name]
            self._changed()

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.keys()]

    def __repr__(self) -> str:
        if not self.__dict__["_loaded"]:
            return "<pymacaron config, not loaded yet>"
        return (
            f"<pymacaron config of {self._file.get('name')!r} from {self._file.get('config_path')}>"
        )

    def _load_once(self) -> None:
        with self._lock:
            if not self._loaded:
                found = _find(os.environ.get("PYM_ENV"), None)
                if found is None:
                    # Not remembered: the file may appear (a test that changes folder).
                    return
                self._load(found)

    def _load(self, path: Path) -> None:
        settings = read_settings(path, os.environ)
        file = _Values(settings.values)
        file["config_path"] = str(path)
        file["apis_path"] = str(path.parent / str(file.get("apis_path") or "apis"))
        if "live_url" in file and isinstance(file["live_url"], str):
            file["live_host"] = urlsplit(file["live_url"]).hostname or file["live_url"]
        redactor.hide([*settings.secrets, *_sensitive_leaves(file)])
        self.__dict__["_file"] = file
        self.__dict__["_unset"] = settings.unset
        self.__dict__["_loaded"] = True
        self._changed()

    def _changed(self) -> None:
        state = self.__dict__
        if state["_loaded"]:
            state["_together"] = self._all()
        state["_changes"] += 1

    def renew_lock(self) -> None:
        """After a fork: nobody in this process holds the lock."""
        self.__dict__["_lock"] = threading.RLock()


def changes_of(config: PyMacaronConfig) -> int:
    """How often settings were changed: what was made from them is good while this is the same."""
    changes: int = config.__dict__["_changes"]
    return changes


class _Missing:
    """Stands for: no such key."""


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        for v in value.values():
            yield from _leaves(v)
    elif isinstance(value, list):
        for v in value:
            yield from _leaves(v)
    else:
        yield value


def _sensitive_leaves(values: Mapping[str, object]) -> Iterator[str]:
    """Secrets written into the file itself, against all advice; still never shown."""
    for name in ("jwt_secret", "aws_secret_access_key", "scout_key"):
        value = values.get(name)
        if isinstance(value, str):
            yield value


def get_config_path(
    name: str = "pym-config.yaml", path: str | os.PathLike[str] | None = None
) -> str | None:
    """Where the file of this name is found, or None."""
    found = _find_name(name, path)
    return str(found) if found else None


def _find(env: str | None, path: str | os.PathLike[str] | None) -> Path | None:
    if path and Path(path).is_file():
        return Path(path).absolute()
    names = ([f"pym-config.{env}.yaml"] if env else []) + ["pym-config.yaml"]
    for name in names:
        found = _find_name(name, path)
        if found:
            return found
    return None


def _find_name(name: str, path: str | os.PathLike[str] | None) -> Path | None:
    for folder in _folders(path):
        if (folder / name).is_file():
            return (folder / name).absolute()
    return None


def _folders(path: str | os.PathLike[str] | None) -> list[Path]:
    script = Path(sys.argv[0] if sys.argv else "").parent
    usual = [script, CONTAINER_FOLDER, script / "test", Path.cwd()]
    if not path:
        return usual
    explicit = Path(path)
    return [explicit.parent if explicit.name.startswith("pym-config") else explicit, *usual]


def _not_found(path: str | os.PathLike[str] | None) -> str:
    looked = ", ".join(str(folder.absolute()) for folder in _folders(path))
    return f"no pym-config.yaml found; looked in {looked}"


class _Default:
    """The config object of this process, in a place where a test can exchange it."""

    config = PyMacaronConfig()


def get_config(
    path: str | os.PathLike[str] | None = None, env: str | None = None
) -> PyMacaronConfig:
    """The config object of this process. With a path or an environment it is loaded from there."""
    if path is not None or env is not None:
        _Default.config.load_pym_config(path=path, env=env)
    return _Default.config


def use_config(config: PyMacaronConfig) -> PyMacaronConfig:
    """Makes `config` what get_config() returns; returns what it was before. For tests."""
    before, _Default.config = _Default.config, config
    return before


# A thread of the parent may have held the lock when it forked; in the child it would stay held.
os.register_at_fork(after_in_child=lambda: get_config().renew_lock())
