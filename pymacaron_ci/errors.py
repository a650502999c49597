"""The ways a run can end badly, each with its exit code.

A bug is none of these: it shows a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence

from pymacaron_ci.model import Problem


class Failure(Exception):
    """A failure the user can understand: problems, each with what to do; no traceback."""

    exit_code = 5

    def __init__(
        self,
        text: str = "",
        *,
        hint: str | None = None,
        problems: Sequence[Problem] = (),
        details: Sequence[str] = (),
    ) -> None:
        self.problems = tuple(problems) or (Problem(text=text, hint=hint),)
        self.details = tuple(details)
        super().__init__(text or "\n".join(str(p) for p in self.problems))


class ConfigError(Failure):
    """pym-config.yaml can't be used as it is."""

    exit_code = 2


class SecretsError(Failure):
    """Secrets that env_secrets names are missing or empty."""

    exit_code = 3


class BuildError(Failure):
    """The image could not be built or pushed, or the unit tests failed. Nothing was deployed."""

    exit_code = 4


class RegistryError(BuildError):
    """A container registry does not answer, or not us."""


class DeployError(Failure):
    """The platform refused or failed a step."""

    exit_code = 5


class NoCredentials(DeployError):
    """Nothing says who asks the cloud: a dry run can do without, a deployment can't."""


class VerificationError(Failure):
    """The new release did not prove itself; the former one serves."""

    exit_code = 6


class UndoError(Failure):
    """Undoing failed: a human is needed."""

    exit_code = 7


class OutOfTime(Failure):
    """A deadline passed."""

    exit_code = 70


class Stopped(BaseException):
    """A signal asked us to stop. Not an Exception: nothing but the pipeline's undo may catch it."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(f"stopped by signal {signum}")

    @property
    def exit_code(self) -> int:
        return 128 + self.signum
