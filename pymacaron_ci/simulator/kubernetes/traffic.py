"""Requests to Services and pods: through the API server's proxy, and through ingresses."""

from __future__ import annotations

import itertools
from dataclasses import replace
from email.message import Message
from urllib.parse import urlsplit

from pymacaron_ci.simulator.forwarding import Refused, forward
from pymacaron_ci.simulator.kubernetes.control.endpoints import backing, pod_port
from pymacaron_ci.simulator.kubernetes.nodes.kubelet import Kubelet
from pymacaron_ci.simulator.kubernetes.objects import Json
from pymacaron_ci.simulator.kubernetes.paths import Place
from pymacaron_ci.simulator.kubernetes.resources import PODS, SERVICES
from pymacaron_ci.simulator.kubernetes.statuses import KubeError, not_found
from pymacaron_ci.simulator.kubernetes.store import Store
from pymacaron_ci.simulator.web import Request, Response

TIMEOUT = 60.0


class NoEndpoint(Exception):
    """No pod takes the request; the text says why."""


class Traffic:
    """Hands requests on to pods that are ready, each in its turn."""

    def __init__(self, store: Store, kubelet: Kubelet) -> None:
        self._store, self._kubelet = store, kubelet
        self._turns = itertools.count()

    def to_service(self, service: Json, port: Json, request: Request) -> Response:
        """Raises NoEndpoint."""
        name = service["metadata"]["name"]
        pods = backing(self._store, service)
        if not pods:
            raise NoEndpoint(f'no endpoints available for service "{name}"')
        turn = next(self._turns)
        refusal = ""
        for number in range(len(pods)):
            pod = pods[(turn + number) % len(pods)]
            target = pod_port(pod, port["targetPort"])
            url = self._kubelet.url(pod, target) if target is not None else None
            if url is None:
                where = f"{pod['status'].get('podIP')}:{port['targetPort']}"
                refusal = f"dial tcp {where}: connect: connection refused"
                continue
            try:
                return forward(request, url, TIMEOUT, lambda: None)
            except Refused:
                continue  # one that ends just now
        raise NoEndpoint(f"error trying to reach service: {refusal or 'connection refused'}")

    def proxy(self, place: Place, request: Request) -> Response:
        """…/services/web:http/proxy/ping and …/pods/web-1:8080/proxy/ping."""
        parts = place.name.split(":")
        name, port = (parts[-2], parts[-1]) if len(parts) > 1 else (parts[0], "")
        handed_on = _inner(request)
        thing = self._store.get(place.resource, place.namespace, name)
        if thing is None:
            raise not_found(place.resource, name)
        if place.resource is PODS:
            url = self._kubelet.url(thing, int(port) if port.isdigit() else port or 80)
            if url is None:
                raise _unavailable("error trying to reach service: connection refused")
            try:
                return forward(handed_on, url, TIMEOUT, lambda: None)
            except Refused as error:
                raise _unavailable(f"error trying to reach service: {error}") from error
        found = service_port(thing, port)
        if found is None:
            raise _unavailable(f'no service port "{port}" found for service "{name}"')
        try:
            return self.to_service(thing, found, handed_on)
        except NoEndpoint as error:
            raise _unavailable(str(error)) from error

    def service(self, namespace: str, name: str) -> Json | None:
        return self._store.get(SERVICES, namespace, name)


def service_port(service: Json, port: str | int) -> Json | None:
    """By its name or number; the only one where none is named."""
    ports: list[Json] = service["spec"].get("ports") or []
    if port == "":
        return ports[0] if len(ports) == 1 else None
    return next((p for p in ports if str(port) in (str(p["port"]), p.get("name"))), None)


def _unavailable(text: str) -> KubeError:
    return KubeError(503, "ServiceUnavailable", text)


def _inner(request: Request) -> Request:
    """The request as the pod gets it: its own path, without the caller's token."""
    query = urlsplit(request.target).query
    headers = Message()
    for name, value in request.headers.items():
        if name.lower() != "authorization":
            headers[name] = value
    tail = urlsplit(request.target).path.partition("/proxy")[2] or "/"
    target = tail + (f"?{query}" if query else "")
    return replace(request, target=target, headers=headers)
