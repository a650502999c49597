"""What the runner says about a run: event, repository, pull request, files to hand results on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A run for one of these asks what a change would do; it never is the change itself.
_PROPOSALS = ("pull_request", "pull_request_target", "pull_request_review", "merge_group")
_WITHOUT_SECRETS = ("pull_request", "pull_request_review")


@dataclass(frozen=True, kw_only=True)
class Context:
    """One run of one step."""

    event: str
    repository: str
    ref: str
    workspace: Path
    run_url: str | None = None
    outputs: Path | None = None
    summary: Path | None = None
    temp: Path | None = None
    actor: str = ""
    fork: str | None = None

    @property
    def is_proposal(self) -> bool:
        """A pull request or a merge queue: something that may never be merged."""
        return self.event in _PROPOSALS

    @property
    def stranger(self) -> str | None:
        """Why GitHub gives this run neither secrets nor an identity token, if it doesn't."""
        if self.event not in _WITHOUT_SECRETS:
            return None
        if self.fork:
            return f"this pull request comes from a fork ({self.fork})"
        if self.actor == "dependabot[bot]":
            return "this pull request was opened by Dependabot"
        return None


def read(environ: Mapping[str, str]) -> Context | None:
    """None outside GitHub Actions."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return None
    repository = environ.get("GITHUB_REPOSITORY", "")
    return Context(
        event=environ.get("GITHUB_EVENT_NAME", ""),
        repository=repository,
        ref=environ.get("GITHUB_REF", ""),
        workspace=Path(environ.get("GITHUB_WORKSPACE") or "."),
        run_url=_run_url(environ, repository),
        outputs=_path(environ, "GITHUB_OUTPUT"),
        summary=_path(environ, "GITHUB_STEP_SUMMARY"),
        temp=_path(environ, "RUNNER_TEMP"),
        actor=environ.get("GITHUB_ACTOR", ""),
        fork=_fork(environ.get("GITHUB_EVENT_PATH"), repository),
    )


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name)
    return Path(value) if value else None


def _run_url(environ: Mapping[str, str], repository: str) -> str | None:
    run = environ.get("GITHUB_RUN_ID")
    if not run or not repository:
        return None
    server = environ.get("GITHUB_SERVER_URL") or "https://github.com"
    return f"{server}/{repository}/actions/runs/{run}"


def _fork(event_path: str | None, repository: str) -> str | None:
    """The fork a pull request comes from; a head without a repository is a fork that is gone."""
    if not event_path:
        return None
    try:
        event: Any = json.loads(Path(event_path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    pull = event.get("pull_request") if isinstance(event, dict) else None
    head = pull.get("head") if isinstance(pull, dict) else None
    if not isinstance(head, dict) or "repo" not in head:
        return None
    repo = head["repo"]
    name = str(repo.get("full_name", "")) if isinstance(repo, dict) else "deleted"
    return name if name.lower() != repository.lower() else None
