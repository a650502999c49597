"""What a request's path and method ask for: a resource, an object, a verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from pymacaron_ci.simulator.kubernetes.access import Attempt
from pymacaron_ci.simulator.kubernetes.resources import Resource
from pymacaron_ci.simulator.kubernetes.statuses import unknown_path, wrong_method


@dataclass(frozen=True, kw_only=True)
class Place:
    """An object (`name`), one of its subresources, or all of a kind. `tail` is behind a proxy."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    tail: str = ""

    def attempt(self, verb: str) -> Attempt:
        plural = self.resource.plural
        return Attempt(
            verb=verb,
            resource=f"{plural}/{self.subresource}" if self.subresource else plural,
            group=self.resource.group,
            namespace=self.namespace,
            name=self.name,
        )


def place(resources: Sequence[Resource], path: str) -> Place:
    """`/apis/apps/v1/namespaces/shop/deployments/web/scale`. Raises 404 for what isn't served."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, parts = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        raise unknown_path()
    namespace = ""
    own = ("status", "finalize")
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in own:
        namespace, parts = unquote(parts[1]), parts[2:]
    plural, name, subresource, *tail = (*parts, "", "", "")[: max(3, len(parts))]
    for resource in resources:
        if (resource.group, resource.version, resource.plural) == (group, version, plural):
            if name and resource.namespaced and not namespace:
                break
            if subresource and subresource not in resource.subresources:
                break
            return Place(
                resource=resource,
                namespace=namespace,
                name=unquote(name),
                subresource=subresource,
                tail="/".join(tail),
            )
    raise unknown_path()


def verb(method: str, found: Place, query: Mapping[str, str]) -> str:
    """What RBAC calls it. Raises 405."""
    if found.subresource == "proxy":
        known = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update"}
        return {**known, "PATCH": "patch", "DELETE": "delete"}.get(method, "get")
    if found.name:
        verbs = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        if found.subresource:
            del verbs["DELETE"]
    else:
        watch = query.get("watch", "").lower() in ("1", "true")
        listing = "watch" if watch else "list"
        verbs = {"GET": listing, "POST": "create", "DELETE": "deletecollection"}
    wanted = verbs.get(method)
    if wanted is None or (not found.subresource and wanted not in found.resource.verbs):
        raise wrong_method()
    return wanted
