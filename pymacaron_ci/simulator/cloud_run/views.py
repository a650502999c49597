"""Records as the API shows them: proto3 JSON, zero values left out, int64 as text."""

from __future__ import annotations

from pymacaron_ci.simulator.cloud_run.records import Json, Operation, Revision, Service, timestamp

SUCCEEDED, FAILED, RECONCILING = (
    "CONDITION_SUCCEEDED",
    "CONDITION_FAILED",
    "CONDITION_RECONCILING",
)
SERVICE_TYPE = "type.googleapis.com/google.cloud.run.v2.Service"


# the reasons that are a revision's own; the others are common to all resources
REVISION_REASONS = ("HEALTH_CHECK_CONTAINER_ERROR",)


def condition(kind: str, state: str, reason: str = "", message: str = "") -> Json:
    found: Json = {"type": kind, "state": state, "lastTransitionTime": timestamp()}
    if message:
        found["message"] = message
    if reason:
        found["revisionReason" if reason in REVISION_REASONS else "reason"] = reason
    if state == FAILED:
        found["severity"] = "ERROR"
    return found


def show_service(service: Service) -> Json:
    """A proto3 JSON Service."""
    shown: Json = {
        "name": service.name,
        "uid": service.uid,
        "generation": str(service.generation),
        "createTime": service.created,
        "updateTime": service.updated,
        "creator": service.creator,
        "lastModifier": service.modifier,
        **service.spec,
        "traffic": [_target(target) for target in service.spec["traffic"]],
        "observedGeneration": str(service.observed),
        "terminalCondition": service.terminal,
        "conditions": service.conditions,
        "latestReadyRevision": _full(service, service.latest_ready),
        "latestCreatedRevision": _full(service, service.latest_created),
        "trafficStatuses": [
            {
                **_target(target),
                **({"uri": tag_url(service, target["tag"])} if "tag" in target else {}),
            }
            for target in service.serving
        ],
        "uri": service.url,
        "urls": [service.url],
        "reconciling": service.reconciling,
        "etag": service.etag,
    }
    if service.spec.get("defaultUriDisabled"):
        del shown["uri"], shown["urls"]
    return _pruned(shown)


def tag_url(service: Service, tag: str) -> str:
    return f"http://127.0.0.1:{service.tag_ports.get(tag, 0)}"


def _target(target: Json) -> Json:
    return {key: value for key, value in target.items() if value not in (0, "", None)}


def _full(service: Service, revision: str) -> str:
    return f"{service.name}/revisions/{revision}" if revision else ""


def show_revision(revision: Revision, service: Service | None) -> Json:
    template = {
        key: value
        for key, value in revision.template.items()
        if key not in ("revision", "labels", "startupProbe")
    }
    project = revision.service.split("/")[1]
    states = {None: RECONCILING, True: SUCCEEDED, False: FAILED}
    state = states[revision.ready]
    kinds = ("Ready", "ContainerHealthy", "ContainerReady", "ResourcesAvailable")
    conditions = []
    for kind in kinds:
        missing = revision.reason in ("CONTAINER_MISSING", "SECRETS_ACCESS_CHECK_FAILED")
        holds = state == FAILED and (
            (kind == "ContainerReady" and not missing)
            or (kind == "ContainerHealthy" and missing)
            or kind == "ResourcesAvailable"
        )
        if holds:
            conditions.append(condition(kind, SUCCEEDED))
        elif state == FAILED:
            conditions.append(condition(kind, FAILED, revision.reason, revision.message))
        else:
            conditions.append(condition(kind, state))
        conditions[-1]["lastTransitionTime"] = revision.updated or revision.created
    shown: Json = {
        "name": revision.name,
        "uid": revision.uid,
        "generation": "1",
        "labels": revision.labels,
        "createTime": revision.created,
        "updateTime": revision.updated or revision.created,
        "launchStage": "GA",
        "service": revision.service.rsplit("/", 1)[-1],
        **template,
        "reconciling": revision.ready is None,
        "conditions": conditions,
        "observedGeneration": "1",
        "logUri": f"https://console.cloud.google.com/logs/viewer?project={project}",
        "creator": service.creator if service else "",
        "etag": f'"{revision.uid}"',
    }
    if revision.digest:
        image = revision.template["containers"][0]["image"]
        repository = image.partition("@")[0]
        if ":" in repository.rpartition("/")[2]:
            repository = repository.rpartition(":")[0]
        shown["containerStatuses"] = [{"imageDigest": f"{repository}@{revision.digest}"}]
    return _pruned(shown)


def show_operation(operation: Operation, service: Service | None) -> Json:
    shown: Json = {"name": operation.name}
    seen = operation.response or (show_service(service) if service else None)
    if seen:
        shown["metadata"] = {"@type": SERVICE_TYPE, **seen}
    if operation.done:
        shown["done"] = True
        if operation.error:
            shown["error"] = operation.error
        elif seen:
            shown["response"] = {"@type": SERVICE_TYPE, **seen}
    return shown


def _pruned(value: Json) -> Json:
    """Without what proto3 JSON leaves out: zero, false, empty."""
    return {k: v for k, v in value.items() if v not in (0, "", [], None, {}) or v is True}
