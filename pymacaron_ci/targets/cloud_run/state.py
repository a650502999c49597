"""What Cloud Run answers, as frozen data: services, revisions, traffic. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymacaron_ci.model import Image, Release
from pymacaron_ci.targets.cloud_run import names

Traffic = Mapping[str, int]
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Cloud Run's judgement: `ready` is None while it is making up its mind."""

    ready: bool | None = None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Revision:
    name: str
    condition: Condition
    image: str = ""
    created: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_uri: str = ""

    @property
    def release(self) -> Release | None:
        """The release that this revision runs, if this tool made it."""
        marks = self.annotations
        if names.RELEASE not in marks:
            return None
        repository, _, digest = marks.get(names.IMAGE, self.image).partition("@")
        return Release(
            id=marks[names.RELEASE],
            version=marks.get(names.VERSION, ""),
            revision=marks.get(names.COMMIT, ""),
            image=Image(
                repository=repository, tag=marks.get(names.VERSION, ""), digest=digest or None
            ),
            run_url=marks.get(names.RUN_URL) or None,
            kept=True,
        )


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service. A share of "the latest revision" stands under that revision's name."""

    name: str
    etag: str
    generation: str
    settled: bool
    condition: Condition
    uri: str | None
    traffic: Traffic
    tags: Mapping[str, str]
    tag_uris: Mapping[str, str]
    served: Traffic
    follows_latest: bool
    latest_ready: str
    latest_created: str
    ingress: str = "INGRESS_TRAFFIC_ALL"
    invoker_iam_disabled: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def proven(self) -> Traffic:
        return parse_traffic(self.annotations.get(names.PROVEN, ""))

    @property
    def previous(self) -> Traffic:
        return parse_traffic(self.annotations.get(names.PREVIOUS, ""))

    @property
    def candidate(self) -> str | None:
        """The revision that a deployment made and has not proven: it is under way, or it died."""
        return self.annotations.get(names.CANDIDATE) or None

    @property
    def candidate_serves(self) -> bool:
        return self.candidate is not None and self.candidate in self.traffic

    @property
    def foreign_tags(self) -> dict[str, str]:
        """Tags that somebody else set: they stay."""
        return {t: r for t, r in self.tags.items() if not names.is_our_tag(t)}

    @property
    def our_tags(self) -> dict[str, str]:
        return {t: r for t, r in self.tags.items() if names.is_our_tag(t)}


def service(body: Mapping[str, Any]) -> Service:
    """A service from its JSON. proto3 leaves out what is zero, false or empty."""
    latest_ready = short(body.get("latestReadyRevision"))
    targets = body.get("traffic") or [{"type": LATEST, "percent": 100}]
    statuses = body.get("trafficStatuses") or []
    return Service(
        name=short(body.get("name")),
        etag=str(body.get("etag", "")),
        generation=str(body.get("generation", "")),
        settled=not body.get("reconciling")
        and str(body.get("observedGeneration", body.get("generation", "")))
        == str(body.get("generation", "")),
        condition=condition(body.get("terminalCondition")),
        uri=body.get("uri") or None,
        traffic=_percents(targets, latest_ready),
        tags={t["tag"]: short(t.get("revision")) or latest_ready for t in targets if t.get("tag")},
        tag_uris={s["tag"]: s.get("uri", "") for s in statuses if s.get("tag")},
        served=_percents(statuses, latest_ready),
        follows_latest=any(_is_latest(t) and t.get("percent") for t in targets),
        latest_ready=latest_ready,
        latest_created=short(body.get("latestCreatedRevision")),
        ingress=body.get("ingress") or "INGRESS_TRAFFIC_ALL",
        invoker_iam_disabled=bool(body.get("invokerIamDisabled")),
        labels=dict(body.get("labels") or {}),
        annotations=dict(body.get("annotations") or {}),
    )


def revision(body: Mapping[str, Any]) -> Revision:
    containers = body.get("containers") or [{}]
    ready = next((c for c in body.get("conditions") or [] if c.get("type") == "Ready"), None)
    return Revision(
        name=short(body.get("name")),
        condition=condition(ready),
        image=str(containers[0].get("image", "")),
        created=str(body.get("createTime", "")),
        labels=dict(body.get("labels") or {}),
        annotations=dict(body.get("annotations") or {}),
        log_uri=str(body.get("logUri", "")),
    )


def condition(body: Mapping[str, Any] | None) -> Condition:
    """A condition from its JSON; its reason stands in one of several fields."""
    body = body or {}
    state = body.get("state")
    reason = next((str(body[f]) for f in _REASONS if body.get(f)), "")
    ready = {"CONDITION_SUCCEEDED": True, "CONDITION_FAILED": False}.get(str(state))
    return Condition(ready=ready, reason=reason, message=str(body.get("message", "")))


_REASONS = ("revisionReason", "reason", "executionReason")


def of_release(revisions: Sequence[Revision], release_id: str) -> list[Revision]:
    """A release's revisions, the newest attempt first."""
    mine = [r for r in revisions if r.annotations.get(names.RELEASE) == release_id]
    return sorted(mine, key=lambda r: (r.created, len(r.name), r.name), reverse=True)


def parse_traffic(text: str) -> dict[str, int]:
    """What `write_traffic` wrote; anything else counts as nothing."""
    shares: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, percent = part.partition("=")
        if not name or not percent.isdigit():
            return {}
        shares[name] = int(percent)
    return shares if sum(shares.values()) == 100 else {}


def write_traffic(traffic: Traffic) -> str:
    return ",".join(f"{name}={percent}" for name, percent in traffic.items())


def short(name: object) -> str:
    """The last segment of a resource's full name."""
    return str(name or "").rpartition("/")[2]


def _is_latest(target: Mapping[str, Any]) -> bool:
    return target.get("type") == LATEST or not target.get("revision")


def _percents(targets: Sequence[Mapping[str, Any]], latest: str) -> dict[str, int]:
    shares: dict[str, int] = {}
    for target in targets:
        percent = int(target.get("percent") or 0)
        name = latest if _is_latest(target) else short(target["revision"])
        if percent and name:
            shares[name] = shares.get(name, 0) + percent
    return shares
