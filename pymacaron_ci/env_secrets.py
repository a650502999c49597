"""From the names of env_secrets to values, byte for byte; or every missing one at its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pymacaron_ci.config import Config
from pymacaron_ci.errors import SecretsError
from pymacaron_ci.model import Location, Problem, Secret
from pymacaron_ci.options import OPTIONS

# RFC 7518, section 3.2: a key of HS256 has at least the size of the hash.
STRONG_KEY = 32

_PLACEHOLDERS = {
    *("changeme", "change-me", "change_me", "placeholder", "todo", "tbd", "xxx", "secret"),
    *("password", "example", "dummy", "test", "none", "null", "undefined", "your-secret-here"),
}


def resolve(config: Config, environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """One Secret for each name, in the file's order. Raises SecretsError with all that lack, or
    can't be what a setting needs them for."""
    problems: list[Problem] = []
    secrets = []
    for name, place in _listed(config):
        value = environ.get(name)
        if value:
            secrets.append(Secret(name, value))
            problems += _unfit(config, name, value, place)
        else:
            problems.append(
                Problem(
                    text=f"the secret {name} is {'not set' if value is None else 'empty'}",
                    hint=f"set the environment variable {name}; in a workflow: "
                    f"`{name}: ${{{{ secrets.{name} }}}}` under `env:`",
                    location=place,
                )
            )
    if problems:
        raise SecretsError(problems=problems)
    return tuple(secrets)


def _unfit(config: Config, name: str, value: str, place: Location) -> Iterator[Problem]:
    """What a setting of which this is the value finds wrong with it."""
    for option in OPTIONS.values():
        # Only the checks of sensitive settings show nothing of a value.
        if option.facts.check is None or not option.facts.sensitive:
            continue
        complaint = option.facts.check(value) if config.data.get(option.name) == name else None
        if complaint and complaint.severity == "error":
            yield Problem(
                text=f"the secret {name} can't be {option.name}: {complaint.text}",
                hint=complaint.hint,
                location=place,
            )


def warnings(config: Config, secrets: tuple[Secret, ...]) -> tuple[Problem, ...]:
    """What looks wrong with values that are there: the flaw only, nothing of the value."""
    places = dict(_listed(config))
    return tuple(
        Problem(
            text=f"the secret {secret.name} {flaw}",
            severity="warning",
            hint=hint,
            location=places.get(secret.name),
        )
        for secret in secrets
        for flaw, hint in (*_flaws(secret), *_weakness(config, secret))
    )


def _listed(config: Config) -> list[tuple[str, Location]]:
    """Each name once, with its place."""
    places: dict[str, Location] = {}
    for i, name in enumerate(config.settings.env_secrets):
        places.setdefault(name, config.document.value_location("env_secrets", i))
    return list(places.items())


def _weakness(config: Config, secret: Secret) -> list[tuple[str, str]]:
    if secret.name != config.settings.jwt_secret:
        return []
    if len(secret.reveal().encode("utf-8", "surrogateescape")) >= STRONG_KEY:
        return []
    return [
        (
            f"signs tokens and has less than {STRONG_KEY} bytes: it can be guessed",
            'make one with python -c "import secrets; print(secrets.token_urlsafe(48))"',
        )
    ]


def _flaws(secret: Secret) -> list[tuple[str, str]]:
    value = secret.reveal()
    bare = value.strip()
    again = "set it again, if that is not meant"
    if not bare:
        return [("holds nothing but blanks", again)]
    if bare == secret.name:
        return [("has its own name as its value", "set it to the secret itself")]
    if bare.strip("<>").lower() in _PLACEHOLDERS:
        return [("looks like a placeholder", "set it to the secret itself")]
    flaws = []
    # A PEM file ends with a line break, and rightly so.
    if value != bare and not bare.startswith("-----BEGIN "):
        flaws.append(("has blanks or a line break at its start or end", again))
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'":
        flaws.append(("is in quotation marks, which are a part of it", again))
    if bare.startswith("${{"):
        flaws.append(("is an expression that no workflow has replaced", "check the workflow"))
    return flaws
