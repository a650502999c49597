"""Watches a rollout to its end, or to the first thing that shows it won't come; and tells why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import Problem
from pymacaron_ci.targets.gke import rollout
from pymacaron_ci.targets.gke.refusals import Refused
from pymacaron_ci.targets.gke.resources import path
from pymacaron_ci.targets.gke.rollout import Trouble
from pymacaron_ci.targets.gke.site import Site
from pymacaron_ci.waiting import Pending, Ready, wait_for

LOG_LINES = 30
EVENTS = 10


@dataclass(frozen=True, kw_only=True)
class Watch:
    """`patience`: 1 as a cluster needs it; a simulated one is quicker."""

    progress: Callable[[str], None] = lambda _: None
    patience: float = 1

    def rollout(self, site: Site, release: str, *, patient: bool = False) -> str:
        """How it ended. Raises DeployError with pods, events and log lines. `patient`: an undo
        waits for what Kubernetes itself says."""
        first_seen: dict[str, float] = {}
        before, observed = "", False  # a former rollout's end is told until this one has moved
        clock = site.kube.clock

        def probe() -> Ready[str] | Pending:
            nonlocal before, observed
            deployment = site.kube.find(site.deployment_path)
            if deployment is None:
                raise DeployError(
                    f"the Deployment in {site.namespace} is gone", hint="run this again"
                )
            state = rollout.progress(deployment)
            if not observed:
                before, observed = state.given_up, state.observed
            if state.done:
                return Ready(state.text)
            pods = site.pods(release) if release else []
            events = site.warnings([_name(p) for p in pods]) if any(map(_struggles, pods)) else []
            found = rollout.troubles(deployment, pods, events)
            for trouble in found:
                since = first_seen.setdefault(f"{trouble.about} {trouble.hint}", clock.now())
                if not patient and clock.now() - since >= trouble.patience * self.patience:
                    raise self.failure(site, release, trouble.text, trouble.hint, pods)
            if state.given_up and state.given_up != before:
                text = found[0].text if found else f"{state.text}: {_unready(pods)}"
                hint = found[0].hint if found else rollout.NEVER_READY
                raise self.failure(site, release, text, hint, pods)
            return Pending(f"{site.namespace}: {_told(state.text, found)}")

        return wait_for(
            f"the rollout in {site.namespace}",
            probe,
            timeout=site.wanted.progress_seconds * 3 + 120,
            clock=clock,
            progress=self.progress,
            first=0.2,
            most=3,
            hint="see its pods: kubectl get pods -n " + site.namespace,
        )

    def failure(
        self,
        site: Site,
        release: str,
        text: str,
        hint: str | None,
        pods: list[dict[str, Any]] | None = None,
    ) -> DeployError:
        return DeployError(
            problems=[Problem(text=f"{site.namespace}: {text}", hint=hint)],
            details=self.dossier(site, site.pods(release) if pods is None else pods),
        )

    def dossier(self, site: Site, pods: list[dict[str, Any]]) -> tuple[str, ...]:
        """Pods, what happened to them, and the last words of one of them."""
        told = [f"{_name(p)}: {_state(p)}" for p in pods]
        try:
            about = [site.wanted.name, *map(_name, pods), *map(_replica_set, pods)]
            warnings = [e for e in site.warnings(about) if e.get("type") != "Normal"]
            told += [_event(e) for e in warnings[-EVENTS:]]
            troubled = [p for p in pods if not _is_ready(p)] or pods
            if troubled:
                told += self._last_words(site, troubled[0])
        except Refused as error:
            told.append(f"events and logs can't be read: {error}")
        return tuple(told)

    def _last_words(self, site: Site, pod: Mapping[str, Any]) -> list[str]:
        """Of the container that ended, where it was started again."""
        query = {"container": site.wanted.name, "tailLines": str(LOG_LINES)}
        statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
        ended = statuses[0].get("restartCount", 0) and not (statuses[0].get("state") or {}).get(
            "terminated"
        )
        where = f"{path('Pod', site.namespace, _name(pod))}/log"
        text = ""
        for previous in (True, False) if ended else (False,):
            try:
                text = site.kube.text(
                    where, {**query, **({"previous": "true"} if previous else {})}
                )
            except Refused as error:
                if error.code not in (400, 404):
                    raise
            if text.strip():
                break
        return [f"{_name(pod)}: {line}" for line in text.splitlines() if line.strip()]


def _told(text: str, troubles: list[Trouble]) -> str:
    return f"{text} ({troubles[0].text})" if troubles else text


def _name(body: Mapping[str, Any]) -> str:
    return str((body.get("metadata") or {}).get("name"))


def _replica_set(pod: Mapping[str, Any]) -> str:
    owners = (pod.get("metadata") or {}).get("ownerReferences") or [{}]
    return str(owners[0].get("name", ""))


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _struggles(pod: Mapping[str, Any]) -> bool:
    status = pod.get("status") or {}
    restarts = any(c.get("restartCount") for c in status.get("containerStatuses") or [])
    return restarts or status.get("phase", "Pending") == "Pending"


def _unready(pods: list[dict[str, Any]]) -> str:
    names = [_name(p) for p in pods if not _is_ready(p)]
    return f"not ready: {', '.join(names)}" if names else "no pod is ready"


def _state(pod: Mapping[str, Any]) -> str:
    status = pod.get("status") or {}
    told = [str(status.get("phase", "Pending")), "ready" if _is_ready(pod) else "not ready"]
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            told.append(str(waiting["reason"]))
        if container.get("restartCount"):
            told.append(f"{container['restartCount']} restarts")
    return ", ".join(told)


def _event(event: Mapping[str, Any]) -> str:
    times = f" ({event['count']} times)" if event.get("count", 1) > 1 else ""
    about = (event.get("involvedObject") or {}).get("name")
    return f"{about}: {event.get('reason')}: {event.get('message')}{times}"
