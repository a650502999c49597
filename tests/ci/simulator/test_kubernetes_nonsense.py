"""Nonsense is refused with a Status, whatever field it is in: a write never fails otherwise."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymacaron_ci.simulator.kubernetes.patches import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
)
from pymacaron_ci.simulator.kubernetes.statuses import KubeError
from pymacaron_ci.simulator.kubernetes.store import Store
from pymacaron_ci.simulator.kubernetes.writing import Options, Writer
from tests.ci.simulator.kubernetes_world import (
    NAMESPACE,
    PLURALS,
    deployment,
    env,
    ingress,
    namespace,
    secret,
    service,
)

Json = dict[str, Any]
OPTIONS = Options(manager="test", force=True)
NONSENSE: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, -1, True, 1.5, "", "x", "ö /", [], {}, [1], ["x"], {"x": 1}, [None], [[]], [{}]]
)
TARGET = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
THINGS: list[Json] = [
    deployment("registry/image:v1", env=env(A="1")),
    service(),
    ingress(),
    secret(A="x"),
    {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"scaleTargetRef": TARGET, "maxReplicas": 2},
    },
    {
        "apiVersion": "cloud.google.com/v1",
        "kind": "BackendConfig",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"healthCheck": {"requestPath": "/ping"}, "timeoutSec": 3},
    },
]


def places(value: Any, base: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = list(value.items()) if isinstance(value, dict) else []
    for step, child in [*enumerate(value)] if isinstance(value, list) else items:
        yield (*base, step)
        yield from places(child, (*base, step))


PLACES = [(index, place) for index, thing in enumerate(THINGS) for place in places(thing)]


def spoilt(index: int, place: tuple[Any, ...], nonsense: Any) -> Json:
    thing = copy.deepcopy(THINGS[index])
    inner: Any = thing
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = nonsense
    return thing


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Writer:
    made = Writer(Store(Path(tmp_path_factory.mktemp("store"))))
    space = namespace()
    made.create(PLURALS["Namespace"], "", space, OPTIONS)
    return made


def refused_or_not(write: Callable[[], object]) -> None:
    with contextlib.suppress(KubeError):
        write()


FEW = settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FEW
@given(st.sampled_from(PLACES), NONSENSE)
def test_of_objects_that_are_made(
    writer: Writer, place: tuple[int, tuple[Any, ...]], nonsense: Any
) -> None:
    thing = spoilt(*place, nonsense)
    resource = PLURALS[THINGS[place[0]]["kind"]]
    dry = Options(manager="test", dry_run=True)
    refused_or_not(lambda: writer.create(resource, NAMESPACE, thing, dry))
    refused_or_not(lambda: writer.patch(resource, NAMESPACE, "web", APPLY_PATCH, thing, dry))


@FEW
@given(st.sampled_from(PLACES), NONSENSE, st.sampled_from([MERGE_PATCH, STRATEGIC_PATCH]))
def test_of_patches(
    writer: Writer, place: tuple[int, tuple[Any, ...]], nonsense: Any, kind: str
) -> None:
    thing = THINGS[place[0]]
    resource, name = PLURALS[thing["kind"]], thing["metadata"]["name"]
    if writer.store.get(resource, NAMESPACE, name) is None:
        writer.create(resource, NAMESPACE, thing, OPTIONS)
    dry = Options(manager="test", dry_run=True)
    patch = spoilt(*place, nonsense)
    refused_or_not(lambda: writer.patch(resource, NAMESPACE, name, kind, patch, dry))
    refused_or_not(lambda: writer.patch(resource, NAMESPACE, name, kind, nonsense, dry))
    refused_or_not(lambda: writer.patch(resource, NAMESPACE, name, APPLY_PATCH, patch, dry))
    pointer = "/" + "/".join(map(str, place[1]))
    for verb, where in itertools.product(("add", "replace", "remove"), (pointer, "", None)):
        steps = [{"op": verb, "path": where, "value": nonsense}]
        refused_or_not(
            functools.partial(writer.patch, resource, NAMESPACE, name, JSON_PATCH, steps, dry)
        )
