"""What a client sent, beside what is there: which object it means, what of it counts."""

from __future__ import annotations

from typing import Any

from pymacaron_ci.simulator.kubernetes.objects import Json, at, copied, terminating
from pymacaron_ci.simulator.kubernetes.resources import NAMESPACES, PODS, Resource
from pymacaron_ci.simulator.kubernetes.statuses import bad_request, stale

# what only the server writes
SERVERS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def identified(resource: Resource, namespace: str, body: Any) -> Json:
    """A copy of what a client sent, with kind and namespace. Raises 400 where they don't fit."""
    if not isinstance(body, dict):
        raise bad_request("couldn't get version/kind; json parse error: the body is no object")
    thing: Json = copied(body)
    if not isinstance(thing.get("apiVersion", ""), str):
        raise bad_request("apiVersion must be a string")
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


def continued(resource: Resource, former: Json, thing: Json, subresource: str) -> Json:
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


def may_end(resource: Resource, thing: Json) -> bool:
    """Nothing holds up its deletion any more; pods and namespaces have somebody who ends them."""
    held = resource in (PODS, NAMESPACES) or thing["metadata"].get("finalizers")
    return terminating(thing) and not held


def respecified(former: Json, thing: Json) -> bool:
    return {k: v for k, v in former.items() if k not in ("metadata", "status")} != {
        k: v for k, v in thing.items() if k not in ("metadata", "status")
    }


def same(former: Json, thing: Json) -> bool:
    """But for when its fields were last written."""

    def timeless(found: Json) -> Json:
        fields = [
            {k: v for k, v in entry.items() if k != "time"}
            for entry in at(found, "metadata", "managedFields", default=[])
        ]
        return {**found, "metadata": {**found["metadata"], "managedFields": fields}}

    return timeless(former) == timeless(thing)
