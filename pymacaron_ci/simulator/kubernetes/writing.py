"""Creates, changes and deletes objects as an API server does: with defaults, rules, owners."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pymacaron_ci.simulator.kubernetes import ownership, rules
from pymacaron_ci.simulator.kubernetes.admission import Admission
from pymacaron_ci.simulator.kubernetes.defaults import fill_in
from pymacaron_ci.simulator.kubernetes.deleting import delete
from pymacaron_ci.simulator.kubernetes.objects import Json, at, copied, timestamp
from pymacaron_ci.simulator.kubernetes.patches import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    PATCHES,
    STRATEGIC_PATCH,
    json_patched,
    merged,
    strategically_merged,
)
from pymacaron_ci.simulator.kubernetes.resources import (
    NAMESPACES,
    NODES,
    SERVICES,
    Resource,
)
from pymacaron_ci.simulator.kubernetes.schema import Node, without_unknown
from pymacaron_ci.simulator.kubernetes.sent import (
    SERVERS,
    continued,
    identified,
    may_end,
    respecified,
    same,
)
from pymacaron_ci.simulator.kubernetes.statuses import (
    already_exists,
    bad_request,
    invalid,
    not_found,
    required,
    stale,
    wrong_type,
)
from pymacaron_ci.simulator.kubernetes.store import Store
from pymacaron_ci.simulator.kubernetes.strict import WARN, check_applied, checked

LETTERS = "bcdfghjklmnpqrstvwxz2456789"
# objects with a status whose changes aren't counted
UNCOUNTED = (NAMESPACES, NODES, SERVICES)
# subresources that don't change what an object declares
BESIDE_THE_SPEC = ("status", "binding")


@dataclass(frozen=True, kw_only=True)
class Options:
    """`manager` is the field manager; `validation` one of strict's."""

    manager: str = "unknown"
    dry_run: bool = False
    validation: str = WARN
    force: bool = False


@dataclass(frozen=True)
class Written:
    """An object as it is now."""

    thing: Json
    created: bool = False
    warnings: list[str] = field(default_factory=list)


def suffix(length: int = 5) -> str:
    """The end of a generated name."""
    return "".join(random.choices(LETTERS, k=length))  # noqa: S311 - a name, not a secret


class Writer:
    """All writes to one cluster's store; each is one step under its lock."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._admission = Admission(store)

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        thing = self.store.get(resource, namespace, name)
        if thing is None:
            raise not_found(resource, name)
        return thing

    def create(
        self,
        resource: Resource,
        namespace: str,
        body: Json,
        options: Options,
    ) -> Written:
        thing, warnings = checked(
            resource, identified(resource, namespace, body), options.validation
        )
        with self.store.lock:
            thing = self._begun(resource, thing)
            return Written(self._kept(resource, {}, thing, options, "", warnings), True, warnings)

    def _begun(self, resource: Resource, thing: Json) -> Json:
        metadata = {k: v for k, v in thing["metadata"].items() if k not in SERVERS}
        metadata.pop("resourceVersion", None)
        metadata.pop("managedFields", None)
        if metadata.get("generateName") and not metadata.get("name"):
            metadata["name"] = metadata["generateName"] + suffix()
        name = metadata.get("name")
        if not name:
            raise invalid(
                resource, "", [required("metadata.name", "name or generateName is required")]
            )
        if self.store.get(resource, metadata.get("namespace", ""), name) is not None:
            raise already_exists(resource, name)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
        if resource.has_status or resource.custom:
            thing = {k: v for k, v in thing.items() if k != "status"}
            if resource not in UNCOUNTED:
                metadata["generation"] = 1
        return {**thing, "metadata": metadata}

    def _kept(
        self,
        resource: Resource,
        former: Json,
        thing: Json,
        options: Options,
        subresource: str,
        warnings: list[str],
        by: Callable[[Json], Json] | None = None,
    ) -> Json:
        """Judges what is to be written and, if it's not a dry run, writes it. `by` tells whose the
        fields are now; without it they are the updater's who changed them.
        """
        thing = copied(thing)
        fill_in(resource, thing)
        name = thing["metadata"]["name"]
        if subresource not in BESIDE_THE_SPEC:
            warnings += self._admission.admit(resource, former, thing)
            wrong = rules.faults(resource, thing)
            if former:
                wrong += rules.changes(resource, former, thing)
            if wrong:
                raise invalid(resource, name, wrong)
            if former and "generation" in former["metadata"] and respecified(former, thing):
                thing["metadata"]["generation"] = former["metadata"]["generation"] + 1
        node = Node.of(resource)
        if by is not None:
            thing = by(thing)
        else:
            thing = ownership.updated(former, thing, node, options.manager, subresource)
        if former and same(former, thing):
            return former
        if options.dry_run:
            return thing
        if may_end(resource, thing):
            self.store.remove(resource, thing["metadata"].get("namespace", ""), name)
            return thing
        return self.store.put(resource, thing)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Json,
        options: Options,
        subresource: str = "",
    ) -> Written:
        thing, warnings = checked(
            resource, identified(resource, namespace, body), options.validation
        )
        if thing["metadata"].get("name") != name:
            raise bad_request(
                f"the name of the object ({thing['metadata'].get('name', '')}) does not match the "
                f"name on the URL ({name})"
            )
        with self.store.lock:
            former = self.get(resource, namespace, name)
            thing = continued(resource, former, thing, subresource)
            kept = self._kept(resource, former, thing, options, subresource, warnings)
            return Written(kept, False, warnings)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        kind: str,
        patch: Any,
        options: Options,
        subresource: str = "",
    ) -> Written:
        """`kind` is the patch's content type. Raises 415 for one that isn't known."""
        if kind == APPLY_PATCH:
            return self._apply(resource, namespace, name, patch, options, subresource)
        with self.store.lock:
            former = self.get(resource, namespace, name)
            if kind == JSON_PATCH:
                thing = json_patched(former, patch)
            elif kind == MERGE_PATCH:
                thing = merged(former, patch)
            elif kind == STRATEGIC_PATCH and not resource.custom:
                thing = strategically_merged(former, patch, Node.of(resource))
            else:
                raise wrong_type(PATCHES)
            if not isinstance(at(thing, "metadata"), dict):
                raise bad_request("the patch leaves no object")
            if at(patch, "metadata", "resourceVersion") is None and isinstance(patch, dict):
                thing["metadata"]["resourceVersion"] = former["metadata"]["resourceVersion"]
            return self.update(resource, namespace, name, thing, options, subresource)

    def _apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        config: Json,
        options: Options,
        subresource: str,
    ) -> Written:
        config = identified(resource, namespace, config)
        if at(config, "metadata", "managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        config["metadata"].setdefault("name", name)
        if config["metadata"]["name"] != name:
            raise bad_request(
                f"name in URL does not match name in {resource.kind} object: {name} != "
                f"{config['metadata']['name']}"
            )
        check_applied(resource, config)
        node = Node.of(resource)
        config = without_unknown(config, node)
        version = config["metadata"].pop("resourceVersion", None)
        if (resource.has_status or resource.custom) and not subresource:
            config.pop("status", None)
        with self.store.lock:
            live = self.store.get(resource, namespace, name)
            if version is not None and (
                live is None or at(live, "metadata", "resourceVersion") != version
            ):
                raise stale(resource, name)
            base = live or {
                "apiVersion": config["apiVersion"],
                "kind": config["kind"],
                "metadata": {},
            }
            thing = ownership.applied(
                base, config, node, options.manager, force=options.force, subresource=subresource
            )
            entries = at(thing, "metadata", "managedFields", default=[])
            if live is None:
                thing = self._begun(resource, thing)
            else:
                thing = continued(resource, live, thing, subresource)

            def by(written: Json) -> Json:
                metadata = {**written["metadata"], "managedFields": entries}
                return {**written, "metadata": metadata}

            warnings: list[str] = []
            kept = self._kept(resource, live or {}, thing, options, subresource, warnings, by)
            return Written(kept, live is None, warnings)

    def change(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Json], None],
        manager: str = "kube-controller-manager",
        subresource: str = "",
    ) -> Json | None:
        """For controllers: `change` gets a copy of the object as it is now. None: it's gone."""
        with self.store.lock:
            former = self.store.get(resource, namespace, name)
            if former is None:
                return None
            thing = copied(former)
            change(thing)
            if thing == former:
                return former
            options = Options(manager=manager)
            return self._kept(resource, former, thing, options, subresource, [])

    def delete(self, resource: Resource, namespace: str, name: str, options: Json) -> Json:
        """Gives the object, where it still has to end, else a Status."""
        with self.store.lock:
            return delete(self.store, resource, self.get(resource, namespace, name), options)
