"""Cloud Run's verdict on a revision, and why one failed: its log lines, a probable cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Change, Phase, Problem, Verdict
from pymacaron_ci.targets.cloud_run.api import Api
from pymacaron_ci.targets.cloud_run.invokers import is_public
from pymacaron_ci.targets.cloud_run.state import Condition
from pymacaron_ci.targets.cloud_run.steps import ServiceStep, ShiftTraffic
from pymacaron_ci.targets.cloud_run.wanted import Wanted
from pymacaron_ci.targets.cloud_run.watch import Watch
from pymacaron_ci.targets.gcp import ApiError
from pymacaron_ci.waiting import Pending, Ready, wait_for

LOG_LINES = 30
READY_TIMEOUT = 120.0


class Proof:
    def __init__(self, api: Api, wanted: Wanted, progress: Callable[[str], None]) -> None:
        self._api = api
        self._wanted = wanted
        self._progress = progress

    def verify(self, phase: Phase, changes: Sequence[Change]) -> Verdict:
        """Healthy: the revision is ready, stays so while it is watched, and has a URL."""
        change = next((c for c in reversed(changes) if c.undo.get("revision")), None)
        if change is None or not isinstance(change.step, ServiceStep):
            return Verdict(ok=False, reason=f"nothing was done in the phase {phase.name}")
        name, revision = change.step.service, str(change.undo["revision"])
        condition, headers = self._judged(name, revision), self.headers(name)
        shifted = any(isinstance(c.step, ShiftTraffic) for c in changes)
        soaks = phase.proof == "tests" and self._wanted.soak_seconds > 0  # a rollback is in a hurry
        if condition.ready and shifted and change.url and soaks:
            watch = Watch(self._api, self._wanted, self._progress)
            condition = watch.soak(name, revision, change.url, headers)
        if not condition.ready:
            return Verdict(
                ok=False,
                url=change.url,
                reason=condition.message or f"the revision {revision} is not ready",
                hint=probable_cause(condition.message, condition.reason),
                details=self.log_lines(revision),
            )
        return Verdict(ok=True, url=change.url, headers=headers)

    def failure(self, service: str, revision: str, message: str) -> DeployError:
        """The error for a revision that does not work, with its last words."""
        found = self._api.revision(service, revision) if revision else None
        condition = found.condition if found else Condition()
        text = message
        if condition.message and condition.message not in message:
            text = f"{message} ({condition.message})"
        hint = probable_cause(text, condition.reason)
        return DeployError(
            problems=[Problem(text=f"{service}: {text}", hint=hint)],
            details=self.log_lines(revision),
        )

    def log_lines(self, revision: str) -> tuple[str, ...]:
        """The revision's last log lines, oldest first; none where we may not read them."""
        body = {
            "resourceNames": [f"projects/{self._wanted.project}"],
            "filter": 'resource.type="cloud_run_revision" AND '
            f'resource.labels.revision_name="{revision}" AND '
            f'logName!="projects/{self._wanted.project}/logs/run.googleapis.com%2Frequests"',
            "orderBy": "timestamp desc",
            "pageSize": LOG_LINES,
        }
        try:
            answer = self._api.session.read("logging", "v2/entries:list", post=body)
        except ApiError as error:
            return (f"the log of {revision} can't be read: {error}",)
        lines = [_line(entry) for entry in answer.get("entries", [])]
        return tuple(f"{revision}: {line}" for line in reversed(lines) if line)

    def _judged(self, service: str, revision: str) -> Condition:
        def probe() -> Ready[Condition] | Pending:
            found = self._api.revision(service, revision)
            if found is None:
                return Ready(Condition(ready=False, message=f"the revision {revision} is gone"))
            if found.condition.ready is None:
                return Pending(f"{revision} is not ready yet")
            return Ready(found.condition)

        return wait_for(
            f"waiting for {revision}",
            probe,
            timeout=READY_TIMEOUT,
            clock=self._api.session.clock,
            progress=self._progress,
        )

    def headers(self, service: str) -> Mapping[str, str]:
        """What a caller of a private service must send: an ID token of the deployer's account."""
        found = self._api.service(service)
        if found:
            self._api.require_unmoved(found)
        if found is None or (self._wanted.public and is_public(self._api, found) is not False):
            return {}
        account = self._api.session.account
        if not account:
            raise DeployError(
                "the service is private, and the log-in has no service account to call it as",
                hint="log in as a service account with roles/run.invoker that may make tokens for "
                "itself (roles/iam.serviceAccountOpenIdTokenCreator)",
            )
        answer = self._api.session.read(
            "iamcredentials",
            f"v1/projects/-/serviceAccounts/{account}:generateIdToken",
            post={"audience": found.uri or "", "includeEmail": True},
        )
        # not Authorization: that is the service's own, and its acceptance tests use it
        return {"X-Serverless-Authorization": f"Bearer {answer.get('token', '')}"}


def probable_cause(message: str, reason: str = "") -> str | None:
    """What to look at, from Cloud Run's words."""
    text = f"{message} {reason}".lower()
    for signs, hint in _CAUSES:
        if any(sign in text for sign in signs):
            return hint
    return None


_CAUSES = (
    (
        ("failed to start and listen", "health_check_container_error", "startup probe"),
        "the container must listen on 0.0.0.0 and the port that PORT names, and answer the startup "
        "probe: its log lines tell why it did not",
    ),
    (
        ("memory limit", "out of memory", "oom"),
        "the container needs more memory than it has: raise gcp_memory, or start fewer workers",
    ),
    (
        ("container_permission_denied", "permission to read the image"),
        "the Cloud Run service agent needs roles/artifactregistry.reader on the image's repository",
    ),
    (
        ("container_missing", "not found"),
        "the image is not in the registry: check docker_registry and the project it was pushed to",
    ),
    (
        ("secrets_access_check_failed", "secretmanager"),
        "give the service account of the service roles/secretmanager.secretAccessor on the secret",
    ),
    (
        ("manifest", "amd64/linux"),
        "Cloud Run runs linux/amd64: build the image for it",
    ),
    (
        ("quota", "resource_exhausted"),
        "a quota is used up: lower gcp_max_instances or ask for more in the console",
    ),
    (
        ("deadline exceeded", "progress_deadline_exceeded"),
        "Cloud Run took too long: run it again",
    ),
)  # fmt: skip


def _line(entry: Mapping[str, object]) -> str:
    payload = entry.get("textPayload") or entry.get("jsonPayload") or ""
    if isinstance(payload, dict):
        payload = payload.get("message") or payload
    return str(payload).rstrip()
