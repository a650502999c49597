"""Secrets: entries of env_secrets that can't be names, references that lead nowhere, literals."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping

from pymacaron_ci.document import Where
from pymacaron_ci.findings import PLATFORMS_SECRETS, VARIABLE, Case, error, warning
from pymacaron_ci.model import Problem
from pymacaron_ci.options import OPTIONS
from pymacaron_ci.options.spelling import nearest
from pymacaron_ci.quoting import SECRET_VALUE

# Set by us, the platforms or the system: a secret under such a name would break the container.
RESERVED = {
    "PORT": "the platform sets it",
    "PYM_ENV": "PyMacaron sets it",
    "PYM_RELEASE": "PyMacaron sets it",
    "K_SERVICE": "Cloud Run sets it",
    "K_REVISION": "Cloud Run sets it",
    "K_CONFIGURATION": "Cloud Run sets it",
    "PATH": "the container needs its own",
    "HOME": "the container needs its own",
    "HOSTNAME": "the container has its own",
    "PYTHONPATH": "the container needs its own",
    "LD_PRELOAD": "it changes every program in the container",
    "LD_LIBRARY_PATH": "the container needs its own",
}
_ALMOST_NAME = re.compile(r"[A-Z][A-Z0-9]*([ ._-]+[A-Z0-9]+)+")
_NAME_LIKE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
# A name that says that the value is secret; a URL or a path of something secret is not.
_SECRET_KEY = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|secret_key|private_key|api_key|apikey|access_token"
    r"|auth_token|token|credentials?)$"
)


def find(case: Case) -> Iterator[Problem]:
    yield from _entries(case)
    for where, value in _texts(case.document.data, ()):
        if where[0] not in ("env_secrets", *PLATFORMS_SECRETS):
            yield from _text(case, where, value)


def is_secret(where: Where, value: object, secret_names: Container[str]) -> bool:
    """Whether a value of the file must not be shown: a literal where a secret belongs."""
    if not where or value is None or isinstance(value, (Mapping, list)):
        return False
    text = str(value)
    if where[0] == "env_secrets":
        entry = len(where) == 1 or (len(where) == 2 and isinstance(where[1], int))
        return not (entry and (isinstance(value, bool) or _shows_no_secret(text)))
    if isinstance(value, bool) or text in secret_names:
        return False
    names_secrets = where[0] in PLATFORMS_SECRETS
    if not names_secrets and any(isinstance(key, str) and is_secret_name(key) for key in where):
        return not _NAME_LIKE.fullmatch(text)
    return SECRET_VALUE.search(text) is not None


def is_secret_name(key: str) -> bool:
    """Whether a key says that its value is a secret."""
    option = OPTIONS.get(key)
    return option.facts.sensitive if option else _SECRET_KEY.search(key.lower()) is not None


def _shows_no_secret(entry: str) -> bool:
    return bool(VARIABLE.fullmatch(entry) or (len(entry) < 50 and _ALMOST_NAME.fullmatch(entry)))


def _entries(case: Case) -> Iterator[Problem]:
    listed = case.document.data.get("env_secrets")
    seen: dict[str, int] = {}
    for i, entry in enumerate(listed if isinstance(listed, list) else []):
        place = case.at_value("env_secrets", i)
        if not isinstance(entry, str):
            continue  # its type is reported already
        if not VARIABLE.fullmatch(entry):
            yield error(f"entry {i + 1} of env_secrets {_why_no_name(entry)}", _meant(entry), place)
        elif entry in RESERVED:
            yield error(
                f"env_secrets can't hold {entry}: {RESERVED[entry]}", "use another name", place
            )
        elif entry in seen:
            yield warning(
                f"{entry} is listed twice in env_secrets: it is entry {seen[entry] + 1} already",
                "remove one of them",
                place,
            )
        seen.setdefault(entry, i)
    for setting in PLATFORMS_SECRETS:
        named = case.document.data.get(setting)
        for name in named if isinstance(named, Mapping) else ():
            if name in RESERVED:
                yield error(
                    f"{setting} can't fill {name}: {RESERVED[name]}",
                    "use another name",
                    case.at_key(setting, name),
                )
            elif name in seen:
                yield error(
                    f"{name} stands in env_secrets and in {setting}",
                    "remove one of them",
                    case.at_key(setting, name),
                )


def _why_no_name(entry: str) -> str:
    if "=" in entry:
        return "holds a value: only the name of the variable belongs here"
    if entry.startswith("$"):
        return "starts with $: only the name of the variable belongs here"
    return "is not the name of an environment variable"


def _meant(entry: str) -> str:
    if "=" in entry:
        return "keep the part before the `=`, and change a secret that was committed"
    if entry.startswith("$"):
        return "write it without the $ and braces"
    if _shows_no_secret(entry):
        return f"did you mean {re.sub('[^A-Z0-9]+', '_', entry)}?"
    return "a name has letters, digits and _, and does not start with a digit"


def _texts(value: object, where: Where) -> Iterator[tuple[Where, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*where, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _texts(inner, (*where, i))


def _text(case: Case, where: Where, value: str) -> Iterator[Problem]:
    name = ".".join(str(w) for w in where)
    option = OPTIONS.get(str(where[0])) if len(where) == 1 else None
    source = case.secret_names.get(value)
    if source is not None:
        if option and not option.facts.container:
            yield error(
                f"{name} can't come from {source}: it is needed before the secrets are",
                "write the value itself",
                case.at_value(*where),
            )
        elif case.target and not OPTIONS[source].used_by(case.target):
            yield error(
                f"{name} is {value}, which {source} names: {case.target} does not read that",
                f"add `- {value}` to env_secrets",
                case.at_value(*where),
            )
        return
    bare = value.removeprefix("$").strip("{}")
    if bare != value and bare in case.secret_names:
        yield warning(
            f"{name} is the text `{value}`: nothing replaces it",
            f"write {bare}, without $ or braces",
            case.at_value(*where),
        )
    elif _NAME_LIKE.fullmatch(value) and (near := nearest(value, case.secret_names)):
        yield warning(
            f"{name} is {value}, which no setting names",
            f"did you mean {near}?",
            case.at_value(*where),
        )
    elif _wants_secret(where, value):
        if _NAME_LIKE.fullmatch(value):
            yield warning(
                f"{name} is the text {value} itself: env_secrets does not list that name",
                f"add `- {value}` to env_secrets",
                case.at_value(*where),
            )
        else:
            yield warning(
                f"{name} holds a secret: everybody who reads this file has it",
                "put the name of an environment variable here, list it in env_secrets, "
                "and change the secret",
                case.at_value(*where),
            )


def _wants_secret(where: Where, value: str) -> bool:
    if not value.strip():
        return False
    key = str(next((w for w in reversed(where) if isinstance(w, str)), ""))
    if len(where) == 1 and key in OPTIONS:
        return key in LITERALS or SECRET_VALUE.search(value) is not None
    return bool(_SECRET_KEY.search(key.lower()) or SECRET_VALUE.search(value))


# A broker's or a store's URL is no secret as such: only one with a password is.
LITERALS = {"jwt_secret", "aws_secret_access_key", "scout_key"}
