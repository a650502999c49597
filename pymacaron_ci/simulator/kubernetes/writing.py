"""Creates, changes and deletes objects as an API server does: with defaults, rules, owners."""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from pymacaron_ci.simulator.kubernetes import ownership, rules
from pymacaron_ci.simulator.kubernetes.admission import Admission
from pymacaron_ci.simulator.kubernetes.defaults import fill_in
from pymacaron_ci.simulator.kubernetes.objects import Json, at, terminating, timestamp
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
    PODS,
    SERVICES,
    Resource,
)
from pymacaron_ci.simulator.kubernetes.schema import Node
from pymacaron_ci.simulator.kubernetes.statuses import (
    KubeError,
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
# what only the server writes
SERVERS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
# objects with a status whose changes aren't counted
UNCOUNTED = (NAMESPACES, NODES, SERVICES)


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
            resource, _identified(resource, namespace, body), options.validation
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
        thing = copy.deepcopy(thing)
        fill_in(resource, thing)
        name = thing["metadata"]["name"]
        if not subresource:
            warnings += self._admission.admit(resource, former, thing)
            wrong = rules.faults(resource, thing)
            if former:
                wrong += rules.changes(resource, former, thing)
            if wrong:
                raise invalid(resource, name, wrong)
            if former and "generation" in former["metadata"] and _respecified(former, thing):
                thing["metadata"]["generation"] = former["metadata"]["generation"] + 1
        node = Node.of(resource)
        if by is not None:
            thing = by(thing)
        else:
            thing = ownership.updated(former, thing, node, options.manager, subresource)
        if former and _same(former, thing):
            return former
        if options.dry_run:
            return thing
        if _may_end(resource, thing):
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
            resource, _identified(resource, namespace, body), options.validation
        )
        if thing["metadata"].get("name") != name:
            raise bad_request(
                f"the name of the object ({thing['metadata'].get('name', '')}) does not match the "
                f"name on the URL ({name})"
            )
        with self.store.lock:
            former = self.get(resource, namespace, name)
            thing = _continued(resource, former, thing, subresource)
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
        config = _identified(resource, namespace, config)
        if at(config, "metadata", "managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        config["metadata"].setdefault("name", name)
        if config["metadata"]["name"] != name:
            raise bad_request(
                f"name in URL does not match name in {resource.kind} object: {name} != "
                f"{config['metadata']['name']}"
            )
        check_applied(resource, config)
        version = config["metadata"].pop("resourceVersion", None)
        if (resource.has_status or resource.custom) and not subresource:
            config.pop("status", None)
        node = Node.of(resource)
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
                thing = _continued(resource, live, thing, subresource)

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
            thing = copy.deepcopy(former)
            change(thing)
            if thing == former:
                return former
            options = Options(manager=manager)
            return self._kept(resource, former, thing, options, subresource, [])

    def delete(self, resource: Resource, namespace: str, name: str, options: Json) -> Json:
        """Gives the object, where it still has to end, else a Status."""
        with self.store.lock:
            former = self.get(resource, namespace, name)
            self._check_preconditions(resource, former, options.get("preconditions") or {})
            done: Json = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Success",
                "details": {
                    "name": name,
                    **({"group": resource.group} if resource.group else {}),
                    "kind": resource.plural,
                    "uid": former["metadata"]["uid"],
                },
            }
            grace = self._grace(resource, former, options)
            if options.get("dryRun"):
                return former if grace else done
            finalizers = list(former["metadata"].get("finalizers") or ())
            policy = options.get("propagationPolicy")
            if policy in ("Foreground", "Orphan"):
                finalizers.append(FOREGROUND if policy == "Foreground" else ORPHAN)
            if resource is NAMESPACES or finalizers or grace:
                return self._marked(resource, former, grace, sorted(set(finalizers)))
            self.store.remove(resource, namespace, name)
            return done

    def _marked(self, resource: Resource, former: Json, grace: int, finalizers: list[str]) -> Json:
        metadata = {**former["metadata"]}
        if finalizers:
            metadata["finalizers"] = finalizers
        end = datetime.now(timezone.utc) + timedelta(seconds=grace)
        earlier = metadata.get("deletionTimestamp")
        if earlier is None or (grace < metadata.get("deletionGracePeriodSeconds", 0)):
            metadata["deletionTimestamp"] = timestamp(end)
            metadata["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata:
                metadata["generation"] += 1
        thing = {**former, "metadata": metadata}
        if resource is NAMESPACES:
            thing["status"] = {**(former.get("status") or {}), "phase": "Terminating"}
        return former if thing == former else self.store.put(resource, thing)

    @staticmethod
    def _grace(resource: Resource, former: Json, options: Json) -> int:
        if resource is not PODS or not at(former, "spec", "nodeName"):
            return 0
        own = at(former, "spec", "terminationGracePeriodSeconds", default=30)
        wanted = options.get("gracePeriodSeconds")
        return int(own if wanted is None else wanted)

    @staticmethod
    def _check_preconditions(resource: Resource, former: Json, wanted: Json) -> None:
        for name, field_ in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            has = former["metadata"][name]
            if wanted.get(name) not in (None, has):
                why = (
                    f"Precondition failed: {field_} in precondition: {wanted[name]}, {field_} in "
                    f"object meta: {has}"
                )
                raise stale(resource, former["metadata"]["name"], why)


def _identified(resource: Resource, namespace: str, body: Any) -> Json:
    """A copy of what a client sent, with kind and namespace. Raises 400 where they don't fit."""
    if not isinstance(body, dict):
        raise bad_request("couldn't get version/kind; json parse error: the body is no object")
    thing = copy.deepcopy(body)
    found = (thing.get("apiVersion") or resource.api_version, thing.get("kind") or resource.kind)
    if found != (resource.api_version, resource.kind):
        group, _, version = found[0].rpartition("/")
        raise bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a '
            f'{resource.kind}: no kind "{found[1]}" is registered for version '
            f'"{f"{group}/" if group else ""}{version}"'
        )
    thing["apiVersion"], thing["kind"] = found
    metadata = thing.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise bad_request("metadata must be an object")
    if resource.namespaced and metadata.setdefault("namespace", namespace) != namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    return thing


def _continued(resource: Resource, former: Json, thing: Json, subresource: str) -> Json:
    """What an update makes of the former object. Raises 409 for an older version."""
    old, new = former["metadata"], thing["metadata"]
    version = new.get("resourceVersion")
    if version not in (None, "", old["resourceVersion"]):
        raise stale(resource, old["name"])
    if new.get("uid") not in (None, old["uid"]):
        why = (
            f"Precondition failed: UID in precondition: {new['uid']}, UID in object meta: "
            f"{old['uid']}"
        )
        raise stale(resource, old["name"], why)
    if subresource:
        part = "status" if subresource == "status" else "spec"
        return {**former, **({part: thing[part]} if part in thing else {})}
    kept = {name: old[name] for name in (*SERVERS, "generation") if name in old}
    fields = new.get("managedFields")
    if fields is None or fields:
        kept["managedFields"] = old.get("managedFields", [])
    metadata = {**{k: v for k, v in new.items() if k not in SERVERS}, **kept}
    metadata["resourceVersion"] = old["resourceVersion"]
    found = {**thing, "metadata": metadata}
    if resource.has_status or (resource.custom and "status" in former):
        found.pop("status", None)
        if "status" in former:
            found["status"] = former["status"]
    return found


def _may_end(resource: Resource, thing: Json) -> bool:
    """Nothing holds up its deletion any more; pods and namespaces have somebody who ends them."""
    held = resource in (PODS, NAMESPACES) or thing["metadata"].get("finalizers")
    return terminating(thing) and not held


def _respecified(former: Json, thing: Json) -> bool:
    return {k: v for k, v in former.items() if k not in ("metadata", "status")} != {
        k: v for k, v in thing.items() if k not in ("metadata", "status")
    }


def _same(former: Json, thing: Json) -> bool:
    """But for when its fields were last written."""

    def timeless(found: Json) -> Json:
        fields = [
            {k: v for k, v in entry.items() if k != "time"}
            for entry in at(found, "metadata", "managedFields", default=[])
        ]
        return {**found, "metadata": {**found["metadata"], "managedFields": fields}}

    return timeless(former) == timeless(thing)


def must_name_manager(manager: str) -> None:
    if not manager:
        text = "fieldManager: Required value: is required for apply patch"
        raise KubeError(
            422, "Invalid", f'PatchOptions.meta.k8s.io "" is invalid: {text}', details={}
        )
