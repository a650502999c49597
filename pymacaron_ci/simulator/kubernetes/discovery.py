"""What a cluster says it serves: its version, groups and resources, and their OpenAPI documents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

from pymacaron_ci.simulator.kubernetes.objects import Json
from pymacaron_ci.simulator.kubernetes.patches import PATCHES, STRATEGIC_PATCH
from pymacaron_ci.simulator.kubernetes.resources import Resource
from pymacaron_ci.simulator.kubernetes.schema import schemas
from pymacaron_ci.simulator.kubernetes.statuses import unknown_path
from pymacaron_ci.simulator.web import Request, Response, json_response

SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
AGGREGATED = "as=APIGroupDiscoveryList"
PREFERRED = {"networking.gke.io": "v1"}
OPENAPI = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"


def answer(request: Request, path: str, resources: Sequence[Resource], gke: str) -> Response | None:
    """What is said about the cluster at `path`; None where that is about its objects. Raises 404.

    `gke`: its version, `1.36.1-gke.1000`.
    """
    parts = path.strip("/").split("/")
    if parts[0] in ("healthz", "livez", "readyz"):
        return Response(200, b"ok", (("Content-Type", "text/plain; charset=utf-8"),))
    if parts in (["api"], ["apis"]) and AGGREGATED in request.headers.get("Accept", ""):
        found = aggregated(resources, core=parts == ["api"])
        kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        return Response(200, json.dumps(found).encode(), (("Content-Type", kind),))
    if not _is_about_the_cluster(parts):
        return None
    document = _document(parts, resources, gke)
    if document is None:
        raise unknown_path()
    return json_response(document)


def _is_about_the_cluster(parts: Sequence[str]) -> bool:
    most = {"version": 1, "api": 2, "apis": 3, "openapi": 5}
    return len(parts) <= most.get(parts[0], 0)


def _document(parts: list[str], resources: Sequence[Resource], gke: str) -> Json | None:
    match parts:
        case ["version"]:
            return version(gke)
        case ["api"]:
            return {"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]}
        case ["apis"]:
            return group_list(resources)
        case ["apis", name] if name in groups(resources):
            return {"kind": "APIGroup", "apiVersion": "v1", **group(resources, name)}
        case ["api", _] | ["apis", _, _]:
            found = resource_list(resources, "/".join(parts[1:]))
            return found if found["resources"] else None
        case ["openapi", "v3"]:
            return openapi_index(resources)
        case ["openapi", "v3", *place]:
            return openapi(resources, "/".join(place), gke)
    return None


def version(gke: str) -> Json:
    major, minor, _ = gke.split(".", 2)
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{gke}",
        "gitCommit": hashlib.sha1(gke.encode()).hexdigest(),  # noqa: S324 - as git names commits
        "gitTreeState": "clean",
        "buildDate": "2026-06-01T00:00:00Z",
        "goVersion": "go1.26.1",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def versions(resources: Sequence[Resource], group: str) -> list[str]:
    found = list(dict.fromkeys(r.version for r in resources if r.group == group))
    first = PREFERRED.get(group)
    return sorted(found, key=lambda version: version != first)


def groups(resources: Sequence[Resource]) -> list[str]:
    return list(dict.fromkeys(r.group for r in resources if r.group))


def group(resources: Sequence[Resource], name: str) -> Json:
    found = [{"groupVersion": f"{name}/{v}", "version": v} for v in versions(resources, name)]
    return {"name": name, "versions": found, "preferredVersion": found[0]}


def group_list(resources: Sequence[Resource]) -> Json:
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [group(resources, name) for name in groups(resources)],
    }


def resource_list(resources: Sequence[Resource], api_version: str) -> Json:
    found: list[Json] = []
    for resource in resources:
        if resource.api_version != api_version:
            continue
        entry: Json = {
            "name": resource.plural,
            "singularName": resource.kind.lower(),
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
        }
        if resource.short:
            entry["shortNames"] = list(resource.short)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        found.append(entry)
        for name in resource.subresources:
            found.append(
                {
                    "name": f"{resource.plural}/{name}",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                    **(SCALE if name == "scale" else {"kind": resource.kind}),
                    "verbs": _verbs(name),
                }
            )
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": found,
    }


def _verbs(subresource: str) -> list[str]:
    known = {"log": ["get"], "proxy": ["create", "delete", "get", "patch", "update"]}
    return known.get(subresource, ["get", "patch", "update"])


def aggregated(resources: Sequence[Resource], *, core: bool) -> Json:
    """APIGroupDiscoveryList: all of it in one answer."""
    names = [""] if core else groups(resources)
    items: list[Json] = [
        {
            "metadata": {"name": name} if name else {},
            "versions": [
                {
                    "version": number,
                    "freshness": "Current",
                    "resources": [
                        _aggregated(r) for r in resources if (r.group, r.version) == (name, number)
                    ],
                }
                for number in versions(resources, name)
            ],
        }
        for name in names
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated(resource: Resource) -> Json:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: Json = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.kind.lower(),
        "verbs": list(resource.verbs),
    }
    if resource.short:
        entry["shortNames"] = list(resource.short)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": SCALE if name == "scale" else kind,
                "verbs": _verbs(name),
            }
            for name in resource.subresources
        ]
    return entry


def openapi_index(resources: Sequence[Resource]) -> Json:
    """/openapi/v3: where the document of each group and version is."""
    paths = dict.fromkeys(_base(resource) for resource in resources)
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash=SIMULATED"} for path in paths
        }
    }


def _base(resource: Resource) -> str:
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


def openapi(resources: Sequence[Resource], path: str, gke: str) -> Json | None:
    """The document of `apis/apps/v1`; None for one that isn't served."""
    served = [resource for resource in resources if _base(resource) == path]
    if not served:
        return None
    wanted, found = [OPENAPI, *(resource.schema for resource in served)], dict[str, Json]()
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = schemas()[name]
            wanted.extend(_references(found[name]))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": f"v{gke}"},
        "paths": dict(entry for resource in served for entry in _paths(resource)),
        "components": {"schemas": found},
    }


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def patch_types(resource: Resource) -> list[str]:
    """The kinds of patches that a resource takes: its schema has no merge keys if it's custom."""
    return [t for t in PATCHES if t != STRATEGIC_PATCH or not resource.custom]


def _paths(resource: Resource) -> Iterator[tuple[str, Json]]:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    place = "/namespaces/{namespace}" if resource.namespaced else ""
    base = f"/{_base(resource)}{place}/{resource.plural}"
    names = ("dryRun", "fieldManager", "fieldValidation")
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in names
    ]
    force = {"name": "force", "in": "query", "schema": {"type": "boolean", "uniqueItems": True}}

    def operation(action: str, *more: Json) -> Json:
        return {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind,
            "parameters": [*parameters, *more],
            "responses": {"200": {"description": "OK"}},
        }

    yield base, {"get": operation("list"), "post": operation("post")}
    yield (
        f"{base}/{{name}}",
        {
            "get": operation("get"),
            "put": operation("put"),
            "patch": {
                **operation("patch", force),
                "requestBody": {"content": {name: {} for name in patch_types(resource)}},
            },
            "delete": operation("delete"),
        },
    )
