"""Cloud Run's calls over a Google session, and the one way in which a service is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pymacaron_ci.errors import DeployError
from pymacaron_ci.targets.cloud_run import state
from pymacaron_ci.targets.cloud_run.state import Revision, Service
from pymacaron_ci.targets.cloud_run.wanted import SecretVersion, Wanted
from pymacaron_ci.targets.gcp import ApiError, GoogleSession, finished
from pymacaron_ci.waiting import Pending, Ready, at_most, wait_for

CHANGE_TIMEOUT = 300.0  # seconds in which a refused or lost change must get through


class OperationFailed(DeployError):
    """Cloud Run took the change and could not make it work."""


class Moved(DeployError):
    """Somebody else changed the service while we did."""


@dataclass(frozen=True)
class Patch:
    """Fields of a service to write; the mask is their names."""

    fields: Mapping[str, Any]


class Api:
    """`write_timeout`: seconds that one change may take until Cloud Run has it."""

    def __init__(
        self,
        session: GoogleSession,
        wanted: Wanted,
        *,
        progress: Callable[[str], None] = lambda _: None,
        write_timeout: float = 600,
    ) -> None:
        self.session = session
        self._wanted = wanted
        self.progress = progress
        self._timeout = write_timeout
        self._generations: dict[str, str] = {}

    def path(self, service: str) -> str:
        return self._wanted.path(service)

    def service(self, name: str) -> Service | None:
        body = self.session.find("run", f"v2/{self._wanted.path(name)}")
        return state.service(body) if body is not None else None

    def observe(self, name: str) -> Service | None:
        """Like `service`; a later change stops where the service is no longer as seen here."""
        service = self.service(name)
        if service is None:
            self._generations.pop(name, None)
        else:
            self._generations[name] = service.generation
        return service

    def require_unmoved(self, service: Service) -> None:
        """Raises Moved where the service is no longer as we saw or left it."""
        if self._generations.get(service.name, service.generation) != service.generation:
            raise Moved(
                f"somebody else changed {service.name} while this deployment ran",
                hint="see who it was (the audit log tells), then run this again",
            )

    def revisions(self, name: str) -> tuple[Revision, ...]:
        found: list[Revision] = []
        query = {"pageSize": "1000"}
        while True:
            path = f"v2/{self._wanted.path(name)}/revisions"
            page = self.session.find("run", path, query=query) or {}
            found += [state.revision(r) for r in page.get("revisions", [])]
            if not page.get("nextPageToken"):
                return tuple(found)
            query["pageToken"] = str(page["nextPageToken"])

    def revision(self, service: str, name: str) -> Revision | None:
        path = f"v2/{self._wanted.path(service)}/revisions/{name}"
        body = self.session.find("run", path)
        return state.revision(body) if body is not None else None

    def create(
        self, name: str, body: dict[str, Any], is_ours: Callable[[Service], bool]
    ) -> Service:
        """Creates a service; one that `is_ours` already is adopted."""

        def attempt() -> Ready[Service] | Pending:
            found = self.service(name)
            if found:
                if not is_ours(found):
                    raise Moved(
                        f"somebody else created the service {name} in the meantime",
                        hint="look at it, then run this again",
                    )
                return Ready(self._settled(name)) if found.settled else Pending(f"{name} starts…")
            try:
                operation = self.session.change(
                    "POST",
                    "run",
                    f"v2/{self._wanted.location}/services",
                    query={"serviceId": name},
                    body=body,
                )
            except ApiError as error:
                return self.again(error)
            self._finish(operation, f"creating {name}")
            return Ready(self._settled(name))

        made: Service = self.until(f"creating {name}", attempt)
        return made

    def change(
        self,
        name: str,
        intent: Callable[[Service], Patch | None],
        *,
        what: str,
        guarded: bool = True,
    ) -> Service:
        """Makes the service such that `intent` wants nothing any more.

        Each try reads first, and sends the etag it read: an answer that got lost is recognised by
        its effect, and what somebody else changed is never overwritten. An undo is not `guarded`.
        """

        def attempt() -> Ready[Service] | Pending:
            service = self.service(name)
            if service is None:
                raise DeployError(f"the service {name} is gone", hint="run this again")
            patch = intent(service)
            if patch is None:
                if not service.settled:
                    return Pending(f"{what}…")
                self._generations[name] = service.generation
                return Ready(service)
            if guarded:
                self.require_unmoved(service)
            try:
                operation = self.session.change(
                    "PATCH",
                    "run",
                    f"v2/{self._wanted.path(name)}",
                    query={"updateMask": ",".join(sorted(patch.fields))},
                    body={**patch.fields, "etag": service.etag},
                )
            except ApiError as error:
                return self.again(error)
            try:
                self._finish(operation, what)
            except OperationFailed:
                if "template" in patch.fields or not self._routed(name):
                    raise
            settled = self._settled(name)
            self._generations[name] = settled.generation
            return Ready(settled) if intent(settled) is None else Pending(f"{what}…")

        made: Service = self.until(what, attempt)
        return made

    def validate(self, name: str, fields: Mapping[str, Any]) -> None:
        """Asks whether Cloud Run would take a change. Raises ApiError if not."""
        self._dry(
            "PATCH", self._wanted.path(name), {"updateMask": ",".join(sorted(fields))}, fields
        )

    def validate_creation(self, name: str, body: Mapping[str, Any]) -> None:
        self._dry("POST", f"{self._wanted.location}/services", {"serviceId": name}, body)

    def pinned(self, secret: SecretVersion) -> SecretVersion:
        """The version as a number, so that a rollback brings back the very value."""
        if secret.version.isdigit():
            return secret
        found = self.session.read("secretmanager", f"v1/{secret.path(self._wanted.project)}")
        number = state.short(found.get("name"))
        return SecretVersion(name=secret.name, version=number or secret.version)

    def _dry(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any]
    ) -> None:
        query = {**query, "validateOnly": "true"}
        self.session.read("run", f"v2/{path}", query=query, post=dict(body), method=method)

    def delete(self, name: str) -> None:
        def attempt() -> Ready[None] | Pending:
            service = self.service(name)
            if service is None:
                return Ready(None)
            try:
                operation = self.session.change("DELETE", "run", f"v2/{self._wanted.path(name)}")
            except ApiError as error:
                return Ready(None) if error.code == 404 else self.again(error)
            self._finish(operation, f"deleting {name}")
            return Pending(f"deleting {name}…")

        self.until(f"deleting {name}", attempt)

    def again(self, error: ApiError) -> Pending:
        """Another try is right for what may have changed or been lost; raises for the rest."""
        conflict = error.code == 409
        if not (error.transient or conflict):
            raise error
        if error.retry_after:
            self._pause(error.retry_after)
        return Pending(f"{error}; looking again")

    def _pause(self, seconds: float) -> None:
        clock = self.session.clock
        end = clock.now() + seconds
        with at_most(None):
            wait_for(
                "waiting as Google asks",
                lambda: Ready(None) if clock.now() >= end else Pending(),
                timeout=seconds + 5,
                clock=clock,
                first=seconds,
                most=seconds,
            )

    def until(self, what: str, attempt: Callable[[], Ready[Any] | Pending]) -> Any:
        return wait_for(
            what,
            attempt,
            timeout=CHANGE_TIMEOUT,
            clock=self.session.clock,
            progress=self.progress,
            first=0.3,
            most=5,
        )

    def _finish(self, operation: Mapping[str, Any], what: str) -> None:
        """Waits for an operation. One that is lost is no error: the service tells how it went."""
        name = str(operation.get("name", ""))
        if not operation.get("done") and name:
            try:
                operation = finished(
                    self.session,
                    "run",
                    f"v2/{name}",
                    what=what,
                    timeout=self._timeout,
                    held=True,
                    progress=self.progress,
                )
            except ApiError as error:
                if error.code != 404:
                    raise
                return
        failure = operation.get("error")
        if failure:
            raise OperationFailed(str(failure.get("message") or f"{what} failed"))

    def _routed(self, name: str) -> bool:
        """Whether requests go where they should: a broken latest revision fails every operation,
        also one that only moves requests between others."""
        service = self._settled(name)
        return dict(service.served) == dict(service.traffic)

    def _settled(self, name: str) -> Service:
        def probe() -> Ready[Service] | Pending:
            service = self.service(name)
            if service is None:
                raise DeployError(f"the service {name} is gone", hint="run this again")
            return Ready(service) if service.settled else Pending(f"{name} is being changed…")

        return wait_for(
            f"waiting for {name}",
            probe,
            timeout=self._timeout,
            clock=self.session.clock,
            progress=self.progress,
            first=0.2,
            most=3,
        )
