"""One step of a workflow, put together: context, inputs, log, masks, reporter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, cast

from pymacaron_ci.github import context, id_token, inputs
from pymacaron_ci.github.commands import Commands, Log
from pymacaron_ci.github.reporter import GitHubReporter
from pymacaron_ci.model import Secret
from pymacaron_ci.oidc import TokenSource
from pymacaron_ci.reporter import Reporter


class Run:
    """Made once, before the first line is printed."""

    def __init__(
        self, environ: Mapping[str, str], found: context.Context, out: IO[str], folder: Path
    ) -> None:
        self._environ = environ
        self.context = found
        self.commands = Commands(out, root=found.workspace, folder=folder)
        self.log = cast(IO[str], Log(out, self.commands))

    def mask(self, secrets: Iterable[Secret]) -> None:
        self.commands.mask(secrets)

    def mask_text(self, value: str) -> None:
        """Masks a token that no setting names."""
        self.commands.emit("add-mask", value)

    def tokens(self) -> TokenSource:
        """Raises DeployError where GitHub gives this run no identity."""
        return id_token.source(self._environ, self.context, mask=self.mask_text)

    def inputs(self) -> inputs.Inputs:
        return inputs.read(self._environ)

    def reporter(
        self,
        text: Reporter,
        *,
        redact: Callable[[str], str],
        report_file: Path | None = None,
    ) -> GitHubReporter:
        """`text` must write to `log`."""
        return GitHubReporter(
            text,
            self.commands,
            self.context,
            redact=redact,
            report_file=report_file,
            with_summary=self._environ.get(f"{inputs.PREFIX}SUMMARY", "").strip() != "false",
        )
