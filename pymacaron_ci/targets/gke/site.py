"""One place of the service: its namespace in its cluster, and the one way in which its Deployment
is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Release
from pymacaron_ci.targets.gke import names, surroundings, workload
from pymacaron_ci.targets.gke.client import Kubernetes
from pymacaron_ci.targets.gke.refusals import Refused
from pymacaron_ci.targets.gke.resources import path, path_of
from pymacaron_ci.targets.gke.state import Seen, annotations_of, owned_by, same, template_of
from pymacaron_ci.targets.gke.wanted import Place, Wanted
from pymacaron_ci.targets.gke.workload import Manifest
from pymacaron_ci.waiting import Pending, Ready, wait_for

Body = dict[str, Any]
CHANGE_TIMEOUT = 300.0  # seconds in which a refused or lost change must get through


class Moved(DeployError):
    """Somebody else changed the Deployment while we did."""


class Site:
    """`before`: what was there when the deployment was planned."""

    def __init__(
        self,
        kube: Kubernetes,
        wanted: Wanted,
        place: Place,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.kube = kube
        self.wanted = wanted
        self.place: Place = place
        self.namespace = wanted.spot(place).namespace
        self.before = Seen()
        self.made: set[str] = set()  # paths of objects that this run has created
        self._progress = progress
        self._left: Body | None = None

    def manifests(self, release: Release) -> list[Manifest]:
        """All that stands around the Deployment, in the order in which it is applied."""
        return [*self.provided(release), *self.opened()]

    def provided(self, release: Release) -> list[Manifest]:
        return surroundings.before_rollout(self.wanted, self.place, release)

    def opened(self) -> list[Manifest]:
        return surroundings.after_rollout(self.wanted, self.place)

    @property
    def deployment_path(self) -> str:
        return path("Deployment", self.namespace, self.wanted.name)

    def look(self, release: Release | None = None) -> Seen:
        """What is there now. With a release: the objects around it, too; and a later change stops
        where the Deployment is no longer as seen here."""
        deployment = self.kube.find(self.deployment_path)
        sets: tuple[Any, ...] = ()
        if deployment is not None:
            labels = (deployment["spec"].get("selector") or {}).get("matchLabels") or {}
            sets = owned_by(self.kube.items("ReplicaSet", self.namespace, labels), deployment)
        objects: dict[str, Body] = {}
        for manifest in self.manifests(release) if release else ():
            found = self.kube.find(path_of(manifest))
            if found is not None:
                objects[manifest["kind"]] = found
        seen = Seen(deployment, sets, objects)
        if release:
            self.before, self._left = seen, _template(deployment)
        return seen

    def change(
        self,
        intent: Callable[[Body | None], Manifest | None],
        *,
        what: str,
        guarded: bool = True,
        force: bool = False,
    ) -> Body | None:
        """Makes the Deployment such that `intent` wants nothing any more.

        Each try reads first, and names the version it read: an answer that got lost is recognised
        by its effect, and what somebody else changed is never overwritten. An undo is not
        `guarded`.
        """

        def attempt() -> Ready[Body | None] | Pending:
            found = self.kube.find(self.deployment_path)
            manifest = intent(found)
            if manifest is None:
                self._left = _template(found)
                return Ready(found)
            if guarded:
                self._require_unmoved(found)
            if found is not None:
                version = found["metadata"]["resourceVersion"]
                metadata = {**manifest["metadata"], "resourceVersion": version}
                manifest = {**manifest, "metadata": metadata}
            try:
                made, _ = self.kube.apply(manifest, names.MANAGER, force=force, once=True)
            except Refused as error:
                return self._again(error)
            self._left = _template(made)
            return Ready(made)

        return wait_for(
            what,
            attempt,
            timeout=CHANGE_TIMEOUT,
            clock=self.kube.clock,
            progress=self._progress,
            first=0.2,
            most=5,
        )

    def require_unmoved(self) -> None:
        self._require_unmoved(self.kube.find(self.deployment_path))

    def mark(self, *, proven: str, previous: str | None) -> None:
        """Sets annotations on the Deployment that no manifest has; None removes."""
        wanted = {names.PROVEN: proven, names.PREVIOUS: previous}

        def attempt() -> Ready[None] | Pending:
            found = self.kube.find(self.deployment_path)
            if found is None:
                raise DeployError(f"the Deployment in {self.namespace} is gone", hint=_AGAIN)
            told = annotations_of(found)
            if all(told.get(name) == value for name, value in wanted.items()):
                return Ready(None)
            self._require_unmoved(found)
            version = found["metadata"]["resourceVersion"]
            body = {"metadata": {"resourceVersion": version, "annotations": wanted}}
            try:
                self.kube.merge(self.deployment_path, body, names.MARKER)
            except Refused as error:
                return self._again(error)
            return Ready(None)

        wait_for(
            f"marking {self.namespace}",
            attempt,
            timeout=CHANGE_TIMEOUT,
            clock=self.kube.clock,
            progress=self._progress,
        )

    def delete_deployment(self) -> None:
        self.kube.delete(self.deployment_path)

        def gone() -> Ready[None] | Pending:
            if self.kube.find(self.deployment_path) is None:
                return Ready(None)
            return Pending(f"deleting the Deployment in {self.namespace}…")

        wait_for(
            f"deleting the Deployment in {self.namespace}",
            gone,
            timeout=CHANGE_TIMEOUT,
            clock=self.kube.clock,
            progress=self._progress,
        )
        self._left = None

    def pods(self, release_id: str) -> list[Body]:
        found = self.kube.items("Pod", self.namespace, workload.selector(self.wanted))
        return [p for p in found if annotations_of(p).get(names.RELEASE) == release_id]

    def warnings(self, about: Sequence[str]) -> list[Body]:
        """Events of the namespace that tell of trouble with these objects, oldest first."""
        found = [
            e
            for e in self.kube.items("Event", self.namespace)
            if (e.get("involvedObject") or {}).get("name") in about
        ]
        return sorted(found, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))

    def _require_unmoved(self, found: Body | None) -> None:
        if not same(_template(found), self._left):
            raise Moved(
                f"somebody else changed the Deployment {self.wanted.name} in {self.namespace} "
                "while this deployment ran",
                hint="see who it was (its managedFields and the audit log tell), then run this "
                "again",
            )

    def _again(self, error: Refused) -> Pending:
        """Another try is right for what may have changed or been lost; raises for the rest."""
        if error.others_fields or not (error.transient or error.code == 409):
            raise error
        if error.retry_after:
            clock, seconds = self.kube.clock, error.retry_after
            end = clock.now() + seconds
            wait_for(
                "waiting as Kubernetes asks",
                lambda: Ready(None) if clock.now() >= end else Pending(),
                timeout=seconds + 5,
                clock=clock,
                first=seconds,
                most=seconds,
            )
        return Pending(f"{error}; looking again")


def _template(deployment: Body | None) -> Body | None:
    return None if deployment is None else dict(template_of(deployment))


_AGAIN = "run this again"
