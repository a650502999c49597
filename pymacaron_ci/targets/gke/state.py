"""What the cluster answers, as far as a deployment asks: pure readings of its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pymacaron_ci.model import Image, Release
from pymacaron_ci.targets.gke import names, workload

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """One place: its Deployment, that Deployment's ReplicaSets, and the objects around them.

    `objects` are those by kind that a deployment would apply, as the cluster has them.
    """

    deployment: Body | None = None
    replica_sets: tuple[Body, ...] = ()
    objects: Mapping[str, Body] = field(default_factory=dict)

    @property
    def running(self) -> str:
        """The id of the release that the pod template is of; empty if it is not one of ours."""
        return marks_of(template_of(self.deployment)).get(names.RELEASE, "")

    @property
    def proven(self) -> str:
        return annotations_of(self.deployment).get(names.PROVEN, "")

    @property
    def former(self) -> str:
        return annotations_of(self.deployment).get(names.PREVIOUS, "")

    @property
    def template(self) -> Body | None:
        """The pod template to go back to. None: nothing here ever worked.

        What runs now, whoever arranged it; but where a run died while its unproven release was
        rolled out, the last proven one.
        """
        if self.deployment is None:
            return None
        if not self.running or self.running == self.proven:
            return template_of(self.deployment)
        return self.template_of_release(self.proven) if self.proven else None

    @property
    def serving(self) -> Release | None:
        """The release to go back to, if this tool made it."""
        return release_of(self.template, annotations_of(self.deployment))

    @property
    def release_running(self) -> Release | None:
        return release_of(template_of(self.deployment), annotations_of(self.deployment))

    @property
    def previous(self) -> Release | None:
        return release_of(self.template_of_release(self.former), {}) if self.former else None

    @property
    def unproven(self) -> bool:
        """A deployment is under way, or it died: its release runs and nobody has proven it."""
        return bool(self.running) and self.running != self.proven

    def template_of_release(self, release: str) -> Body | None:
        """A release's pod template: the Deployment's own, or the newest in its history."""
        if release and self.running == release:
            return template_of(self.deployment)
        found = [
            s for s in self.replica_sets if marks_of(template_of(s)).get(names.RELEASE) == release
        ]
        if not found or not release:
            return None
        return without_hash(template_of(max(found, key=revision_of)))

    @property
    def needed_secrets(self) -> set[str]:
        """Those that what runs or its history refers to."""
        owners = [self.deployment, *self.replica_sets]
        return {name for o in owners if o for name in workload.secrets_of(template_of(o))}


def owned_by(replica_sets: list[dict[str, Any]], deployment: Body) -> tuple[Body, ...]:
    uid = (deployment.get("metadata") or {}).get("uid")
    return tuple(
        s
        for s in replica_sets
        if any(o.get("uid") == uid for o in (s.get("metadata") or {}).get("ownerReferences") or [])
    )


def template_of(owner: Body | None) -> Body:
    found: Body = ((owner or {}).get("spec") or {}).get("template") or {}
    return found


def marks_of(template: Body) -> Mapping[str, str]:
    return (template.get("metadata") or {}).get("annotations") or {}


def annotations_of(body: Body | None) -> Mapping[str, str]:
    return ((body or {}).get("metadata") or {}).get("annotations") or {}


def is_ours(body: Body) -> bool:
    labels = (body.get("metadata") or {}).get("labels") or {}
    return bool(labels.get(names.MANAGED_BY) == names.MANAGER)


def revision_of(replica_set: Body) -> int:
    text = annotations_of(replica_set).get("deployment.kubernetes.io/revision", "0")
    return int(text) if text.isdigit() else 0


def without_hash(template: Body) -> Body:
    """A ReplicaSet's template as the Deployment had it."""
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {
        k: v for k, v in (metadata.get("labels") or {}).items() if k != "pod-template-hash"
    }
    return {**template, "metadata": metadata}


def release_of(template: Body | None, on_deployment: Mapping[str, str]) -> Release | None:
    """The release that a pod template is of, if this tool made it."""
    told = marks_of(template or {})
    if names.RELEASE not in told:
        return None
    repository, _, digest = told.get(names.IMAGE, "").partition("@")
    same = on_deployment.get(names.RELEASE) == told[names.RELEASE]
    return Release(
        id=told[names.RELEASE],
        version=told.get(names.TOLD_VERSION, ""),
        revision=told.get(names.COMMIT, ""),
        image=Image(
            repository=repository, tag=told.get(names.TOLD_VERSION, ""), digest=digest or None
        ),
        run_url=on_deployment.get(names.RUN_URL) if same else None,
        kept=True,
    )


def same(one: Body | None, other: Body | None) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
