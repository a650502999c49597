"""A simulated cluster, called as any client would; Kubernetes' schemas judge what it keeps."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
import requests

from pymacaron_ci.simulator.google.projects import Projects
from pymacaron_ci.simulator.google.tokens import TokenDesk
from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.kubernetes.nodes.containers import Patience
from pymacaron_ci.simulator.kubernetes.resources import RESOURCES
from pymacaron_ci.simulator.kubernetes.server import KubernetesServer
from pymacaron_ci.simulator.registry import Registry
from pymacaron_ci.waiting import SystemClock
from tests.ci.simulator.images import push
from tests.ci.simulator.runners import ThreadRunner
from tests.contracts.kubernetes_schema import definitions

Json = dict[str, Any]
T = TypeVar("T")
QUICK = Patience(backoff=0.3, longest=0.6, look=0.02)
NAMESPACE = "shop"
MANAGER = "pymacaron-ci"
PLACE = "p/europe-west1/main"
APPLY = {"Content-Type": "application/apply-patch+yaml"}
PLURALS = {resource.kind: resource for resource in RESOURCES}


class World:
    """`call` wants a success, `error` a Status; paths are below the cluster's URL."""

    def __init__(
        self, server: KubernetesServer, runner: ThreadRunner, image: str, registry: str
    ) -> None:
        self.server, self.runner, self.image, self.registry = server, runner, image, registry
        self.cluster = server.cluster(*PLACE.split("/"))
        self.base = f"{server.url}/clusters/{PLACE}"
        self._numbers = itertools.count()

    # --- calls

    def try_call(
        self, method: str, path: str, body: Any = None, headers: Json | None = None, **query: Any
    ) -> requests.Response:
        data = None if body is None else json.dumps(body)
        wanted = {"Content-Type": "application/json", **(headers or {})}
        return requests.request(
            method, self.base + path, data=data, headers=wanted, params=query, timeout=20
        )

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Json:
        answer = self.try_call(method, path, body, **more)
        assert answer.ok, answer.text
        found: Json = answer.json()
        return found

    def error(self, method: str, path: str, body: Any = None, **more: Any) -> Json:
        answer = self.try_call(method, path, body, **more)
        found: Json = answer.json()
        assert (found["kind"], found["status"]) == ("Status", "Failure"), answer.text
        assert answer.status_code == found["code"]
        return found

    @staticmethod
    def path(thing: Json, name: bool = True) -> str:
        resource = PLURALS[thing["kind"]]
        base = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
        if resource.namespaced:
            base += f"/namespaces/{thing['metadata'].get('namespace', NAMESPACE)}"
        return f"{base}/{resource.plural}" + (f"/{thing['metadata']['name']}" if name else "")

    def apply(self, *things: Json, manager: str = MANAGER, **query: Any) -> Json:
        query = {"fieldManager": manager, "fieldValidation": "Strict", **query}
        for thing in things:
            found = self.call("PATCH", self.path(thing), thing, headers=APPLY, **query)
        return found

    def try_apply(self, thing: Json, manager: str = MANAGER, **query: Any) -> requests.Response:
        query = {"fieldManager": manager, "fieldValidation": "Strict", **query}
        return self.try_call("PATCH", self.path(thing), thing, headers=APPLY, **query)

    def create(self, thing: Json, **query: Any) -> Json:
        return self.call("POST", self.path(thing, name=False), thing, **query)

    def get(self, thing: Json) -> Json:
        return self.call("GET", self.path(thing))

    def delete(self, thing: Json, **options: Any) -> Json:
        return self.call("DELETE", self.path(thing), options or None)

    # --- what there is

    def pods(self) -> list[Json]:
        found: list[Json] = self.call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
        return found

    def events(self, reason: str) -> list[str]:
        items = self.call("GET", f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
        return [event["message"] for event in items if event["reason"] == reason]

    def until(self, probe: Callable[[], T | None], seconds: float = 20) -> T:
        """What `probe` gives once it's something."""
        end = time.monotonic() + seconds
        while True:
            found = probe()
            if found:
                return found
            assert time.monotonic() < end, json.dumps(self.pods(), indent=1)[:4000]
            time.sleep(0.02)

    def rolled_out(self, thing: Json) -> Json:
        """The deployment once it's complete, by kubectl's rules."""

        def complete() -> Json | None:
            found = self.get(thing)
            status, count = found.get("status", {}), found["spec"]["replicas"]
            seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
            names = ("updatedReplicas", "replicas", "availableReplicas")
            return found if seen and all(status.get(n, 0) == count for n in names) else None

        return self.until(complete)

    def waiting(self, reason: str) -> str:
        """The message of a container that waits for this reason."""

        def found() -> str | None:
            for pod in self.pods():
                for status in pod.get("status", {}).get("containerStatuses", ()):
                    waiting = status["state"].get("waiting", {})
                    if waiting.get("reason") == reason:
                        return str(waiting.get("message", reason))
            return None

        return self.until(found)

    def condition(self, thing: Json, kind: str) -> Json:
        conditions = self.get(thing).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def judge(self) -> None:
        """All that the cluster keeps is as Kubernetes' own schemas want it."""
        for resource in RESOURCES:
            for thing in self.cluster.store.list(resource):
                if not resource.custom:
                    _validator(resource.schema).validate(thing)


@functools.cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    """What `kubernetes_validate.validate(…, strict=True)` asks, loaded once."""
    schema = {"$defs": definitions(strict=True), "$ref": f"#/$defs/{name}"}
    return jsonschema.Draft202012Validator(schema)


@contextmanager
def cluster(folder: Path, **options: Any) -> Iterator[World]:
    registry = Registry(folder / "registry")
    front = registry.serve(0)
    host = f"127.0.0.1:{front.port}"
    images = Images(registry.store, host)
    runner = ThreadRunner(folder, images, {})
    server = KubernetesServer(
        folder / "kubernetes",
        runner,
        images,
        projects=Projects(folder / "projects.json"),
        tokens=TokenDesk(folder / "key.json", strict=options.pop("strict_tokens", False)),
        clock=SystemClock(),
        patience=QUICK,
        **options,
    )
    try:
        yield World(server, runner, push(host), host)
    finally:
        server.stop()
        runner.close()
        front.stop()


# --- objects


def namespace(**labels: str) -> Json:
    metadata = {"name": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def secret(name: str = "keys", **data: str) -> Json:
    import base64

    values = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": values,
    }


def service() -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }


def ingress(host: str = "api.example.com") -> Json:
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"rules": [{"host": host, "http": {"paths": [path]}}]},
    }


def deployment(image: str, release: str = "r1", *, replicas: int = 1, **container: Any) -> Json:
    """One that the restricted Pod Security Standard lets pass, ready once it answers /ping."""
    ping = {"httpGet": {"path": "/ping", "port": "http"}, "periodSeconds": 1}
    spec: Json = {
        "replicas": replicas,
        "progressDeadlineSeconds": 60,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        },
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "securityContext": {
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "terminationGracePeriodSeconds": 5,
                "containers": [
                    {
                        "name": "web",
                        "image": image,
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "env": [{"name": "PYM_RELEASE", "value": release}],
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "readinessProbe": ping,
                        **container,
                    }
                ],
            },
        },
    }
    metadata = {"name": "web", "namespace": NAMESPACE, "labels": {"app": "web"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def container(thing: Json) -> Json:
    found: Json = thing["spec"]["template"]["spec"]["containers"][0]
    return found


def changed(thing: Json, **spec: Any) -> Json:
    """A copy with other fields in its spec."""
    thing = copy.deepcopy(thing)
    thing["spec"].update(spec)
    return thing


def env(**values: str) -> list[Json]:
    return [{"name": name, "value": value} for name, value in values.items()]
