"""The frozen data that stages hand on. Knows nothing of files, clouds or terminals."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal

Severity = Literal["error", "warning"]
Proof = Literal["none", "version", "tests"]


@dataclass(frozen=True, kw_only=True)
class Location:
    """A place in a file the user wrote; lines and columns count from 1."""

    file: str
    line: int | None = None
    column: int | None = None
    length: int = 1

    def __str__(self) -> str:
        parts = [self.file]
        if self.line is not None:
            parts.append(str(self.line))
            if self.column is not None:
                parts.append(str(self.column))
        return ":".join(parts)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something the user can mend: what is wrong, where, and what to do about it."""

    text: str
    severity: Severity = "error"
    hint: str | None = None
    location: Location | None = None

    def __str__(self) -> str:
        where = f"{self.location}: " if self.location else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.severity}: {self.text}{hint}"


class Secret:
    """A named value that never shows itself: no repr, no pickle; `reveal()` hands it over."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.name == other.name and self._value == other._value

    def __hash__(self) -> int:
        return hash((self.name, self._value))

    def __reduce__(self) -> str:
        raise TypeError(f"{self!r} must not be pickled")


def fingerprint(secrets: Iterable[Secret], salt: str) -> str:
    """One digest over all secrets, slow to compute, once: a weak value can't be guessed from it.
    Empty where there are none."""
    listed = tuple(sorted(secrets, key=lambda s: s.name))
    return _slow_digest(listed, salt) if listed else ""


@lru_cache(maxsize=4)
def _slow_digest(secrets: tuple[Secret, ...], salt: str) -> str:
    text = "\0".join(f"{s.name}={s.reveal()}" for s in secrets)
    return hashlib.scrypt(
        text.encode("utf-8", "surrogatepass"), salt=salt.encode(), n=2**14, r=8, p=1, dklen=16
    ).hex()


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the code comes from. `revision` names its content, whether git knows it or not."""

    revision: str
    version: str
    created: int
    url: str | None = None
    dirty: bool = False


@dataclass(frozen=True, kw_only=True)
class Image:
    """A container image; `digest` is what the registry answered when it was pushed."""

    repository: str
    tag: str
    digest: str | None = None

    def __str__(self) -> str:
        return (
            f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"
        )


@dataclass(frozen=True, kw_only=True)
class Release:
    """An image and its environment. `id` is the same for the same commit, settings and secrets.

    `environment` holds what the configuration and env_secrets give the container; a target adds
    PORT, PYM_ENV and PYM_RELEASE. A release read back from the cloud has no environment (`kept`).
    """

    id: str
    version: str
    revision: str
    image: Image
    environment: Mapping[str, str | Secret] = field(default_factory=dict)
    run_url: str | None = None
    kept: bool = False

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return tuple(v for v in self.environment.values() if isinstance(v, Secret))


@dataclass(frozen=True)
class Step:
    """One change a target knows how to make and undo. Targets subclass it.

    `brief`: a moment's work that a signal does not interrupt, such as noting that a release is
    proven: without the note the next run would have to prove it again, or go back."""

    brief: ClassVar[bool] = False

    def __str__(self) -> str:
        return type(self).__name__


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Steps that are proven together. `proof` says how: the platform's health always comes first,
    then /version must carry the release, then the acceptance tests run.

    A phase with proof "none" tidies up after the proof (marks the release as proven, removes what
    is no longer needed): when it fails, the release stays and the next run tidies up."""

    name: str
    steps: tuple[Step, ...]
    proof: Proof = "tests"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a deployment would do. No phases: the release is live and proven already.

    `prepare` comes before the image is made, and stays: what the push itself needs."""

    target: str
    release: Release
    phases: tuple[Phase, ...]
    prepare: tuple[Step, ...] = ()
    current: Release | None = None
    url: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Change:
    """A step that was made, what is needed to undo it, and the URL it serves if it has one."""

    step: Step
    undo: Mapping[str, object] = field(default_factory=dict)
    note: str = ""
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The platform's own judgement of a phase, and where the phase's release answers.

    `proof_url`: where our own checks reach it, if that is not where its callers do."""

    ok: bool
    url: str | None = None
    proof_url: str | None = None
    reason: str = ""
    hint: str | None = None
    details: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Live:
    """What runs now, as the cloud tells it. `previous` is what a rollback would bring back.

    `headers`: what its callers must send. `proof_url`: as a Verdict has it."""

    release: Release | None
    url: str | None = None
    proof_url: str | None = None
    previous: Release | None = None
    proven: bool = True
    details: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """One acceptance or unit test that failed."""

    __test__ = False

    name: str
    message: str


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The outcome of our own proof against a URL."""

    ok: bool
    reason: str = ""
    passed: int = 0
    failures: tuple[TestResult, ...] = ()
    output: str = field(default="", repr=False)


Status = Literal[
    "deployed",
    "unchanged",
    "planned",
    "built",
    "valid",
    "live",
    "nothing-live",
    "failed",
    "undone",
    "undo-failed",
    "stopped",
]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The end of a run: what users, the JSON report and the Action's outputs are told."""

    status: Status
    exit_code: int = 0
    target: str | None = None
    release: Release | None = None
    previous: Release | None = None
    url: str | None = None
    staging_url: str | None = None
    changed: bool = False
    simulated: bool = False
    problems: tuple[Problem, ...] = ()
    failures: tuple[TestResult, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
