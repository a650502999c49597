"""Watches: what changes among the objects that a request asked for, as it happens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pymacaron_ci.simulator.kubernetes.objects import Json
from pymacaron_ci.simulator.kubernetes.resources import Resource
from pymacaron_ci.simulator.kubernetes.selectors import Matches
from pymacaron_ci.simulator.kubernetes.statuses import KubeError
from pymacaron_ci.simulator.kubernetes.store import Change, Store

INITIAL_END = "k8s.io/initial-events-end"
# how often one that asked for bookmarks gets one, though nothing changes
QUIET = 5.0


@dataclass(frozen=True, kw_only=True)
class Watch:
    """`since`: the version after which changes are wanted; None for the state as it is now first.

    `shown` makes of an object what the client wants to see (a table's row).
    """

    resource: Resource
    namespace: str
    matches: Matches
    since: int | None
    timeout: float
    bookmarks: bool = False
    mark_initial_end: bool = False
    shown: Callable[[Json], Json] = lambda thing: thing


def events(store: Store, watch: Watch) -> Iterator[bytes]:
    """JSON lines until the time is over, or the history doesn't reach back any more."""
    end = time.monotonic() + watch.timeout
    with store.lock:
        seen = store.version
        initial = []
        if watch.since is None:
            initial = [
                thing
                for thing in store.list(watch.resource, watch.namespace)
                if watch.matches(thing)
            ]
        else:
            seen = watch.since
    for thing in initial:
        yield _line("ADDED", watch.shown(thing))
    if watch.mark_initial_end:
        yield _bookmark(watch, seen, {INITIAL_END: "true"})
    quiet = time.monotonic() + QUIET
    while True:
        with store.changed:
            if store.closed:
                return
            try:
                changes = store.since(seen)
            except KubeError as error:
                yield _line("ERROR", error.status)
                return
            if not changes:
                left = min(end, quiet) - time.monotonic()
                if left > 0:
                    store.changed.wait(left)
                    continue
        if not changes:
            if time.monotonic() >= end:
                return
            quiet = time.monotonic() + QUIET
            if watch.bookmarks:
                yield _bookmark(watch, seen, {})
            continue
        seen = changes[-1].version
        for change in changes:
            line = _told(watch, change)
            if line:
                yield line


def _told(watch: Watch, change: Change) -> bytes | None:
    """One that comes to match is added for this client, one that ceases to is deleted."""
    if change.resource is not watch.resource:
        return None
    if watch.namespace not in ("", change.thing["metadata"].get("namespace", "")):
        return None
    before = change.former is not None and watch.matches(change.former)
    after = change.kind != "DELETED" and watch.matches(change.thing)
    kind = {
        (True, True): "MODIFIED",
        (False, True): "ADDED",
        (True, False): "DELETED",
        (False, False): None,
    }[before, after]
    return _line(kind, watch.shown(change.thing)) if kind else None


def _bookmark(watch: Watch, version: int, annotations: dict[str, str]) -> bytes:
    metadata: Json = {"resourceVersion": str(version), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    thing = {
        "kind": watch.resource.kind,
        "apiVersion": watch.resource.api_version,
        "metadata": metadata,
    }
    return _line("BOOKMARK", thing)


def _line(kind: str, thing: Json) -> bytes:
    return json.dumps({"type": kind, "object": thing}, separators=(",", ":")).encode() + b"\n"
