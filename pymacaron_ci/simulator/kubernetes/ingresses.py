"""Ingresses: each a load balancer on a loopback port of its own, which it keeps."""

from __future__ import annotations

from pathlib import Path

from pymacaron_ci.simulator.files import read_json, write_json
from pymacaron_ci.simulator.kubernetes.control.recorder import Recorder
from pymacaron_ci.simulator.kubernetes.objects import Json, annotations_of, at, terminating
from pymacaron_ci.simulator.kubernetes.resources import CERTIFICATES, INGRESSES
from pymacaron_ci.simulator.kubernetes.traffic import NoEndpoint, Traffic, service_port
from pymacaron_ci.simulator.kubernetes.writing import Writer
from pymacaron_ci.simulator.web import Request, Response, Server

SOURCE = "loadbalancer-controller"
CERTIFICATE = "networking.gke.io/managed-certificates"
BUSY = (
    b"<html><head><title>502 Server Error</title></head><body><h1>Error: Server Error</h1><h2>The "
    b"server encountered a temporary error and could not complete your request.<p>Please try again "
    b"in 30 seconds.</h2></body></html>\n"
)
NOWHERE = b"response 404 (backend NotFound), service rules for the path non-existent\n"
LOOPBACK = ("127.0.0.1", "localhost")


class Ingresses:
    """`certified`: whether managed certificates become active."""

    def __init__(self, file: Path, writer: Writer, recorder: Recorder, traffic: Traffic) -> None:
        self._file = file
        self._writer, self._recorder, self._traffic = writer, recorder, traffic
        self._store = writer.store
        self._ports: dict[str, int] = read_json(file) or {}
        self._fronts: dict[str, Server] = {}
        self.certified = True

    def reconcile(self) -> None:
        wanted = {_key(found): found for found in self._store.list(INGRESSES)}
        for key, found in wanted.items():
            if not terminating(found):
                self._open(key, found)
                self._certify(found)
        for key in list(self._fronts):
            if key not in wanted:
                self._fronts.pop(key).stop()

    def close(self) -> None:
        for front in self._fronts.values():
            front.stop()

    def url(self, namespace: str, name: str) -> str | None:
        front = self._fronts.get(f"{namespace}/{name}")
        return front.url if front else None

    def _open(self, key: str, found: Json) -> None:
        if key not in self._fronts:
            namespace, _, name = key.partition("/")

            def serve(request: Request) -> Response:
                return self._serve(namespace, name, request)

            front = Server(serve, port=self._ports.get(key, 0))
            self._fronts[key] = front
            self._ports[key] = front.port
            write_json(self._file, self._ports)
            self._recorder.normal(found, "Sync", "Scheduled for sync", SOURCE)
        port = {"port": self._fronts[key].port, "protocol": "TCP"}

        def change(thing: Json) -> None:
            thing["status"] = {"loadBalancer": {"ingress": [{"ip": LOOPBACK[0], "ports": [port]}]}}

        metadata = found["metadata"]
        self._writer.change(
            INGRESSES, metadata["namespace"], metadata["name"], change, subresource="status"
        )

    def _certify(self, found: Json) -> None:
        """Managed certificates that an ingress names become active."""
        namespace = found["metadata"]["namespace"]
        state = "Active" if self.certified else "Provisioning"
        for name in annotations_of(found).get(CERTIFICATE, "").split(","):

            def change(thing: Json) -> None:
                domains = at(thing, "spec", "domains", default=[])
                thing["status"] = {
                    "certificateName": f"mcrt-{thing['metadata']['uid']}",
                    "certificateStatus": state,
                    "domainStatus": [{"domain": d, "status": state} for d in domains],
                }

            if name.strip():
                self._writer.change(
                    CERTIFICATES, namespace, name.strip(), change, subresource="status"
                )

    def _serve(self, namespace: str, name: str, request: Request) -> Response:
        found = self._store.get(INGRESSES, namespace, name)
        backend = _backend(found, request) if found else None
        service = self._traffic.service(namespace, backend["name"]) if backend else None
        if backend is None or service is None:
            return Response(404, NOWHERE, (("Content-Type", "text/plain"),))
        wanted = backend.get("port") or {}
        port = service_port(service, wanted.get("number") or wanted.get("name", ""))
        try:
            if port is None:
                raise NoEndpoint("the service has no such port")
            return self._traffic.to_service(service, port, request)
        except NoEndpoint:
            return Response(502, BUSY, (("Content-Type", "text/html; charset=UTF-8"),))


def _key(found: Json) -> str:
    return f"{found['metadata']['namespace']}/{found['metadata']['name']}"


def _backend(found: Json, request: Request) -> Json | None:
    """The service for a request's host and path. The loopback address itself means any host."""
    host = request.headers.get("Host", "").partition(":")[0].lower()
    best: tuple[int, Json] | None = None
    for rule in at(found, "spec", "rules", default=[]):
        name = rule.get("host", "").lower()
        if not (host in LOOPBACK or _is_host(host, name)):
            continue
        for path in at(rule, "http", "paths", default=[]):
            wanted = path.get("path") or "/"
            if _is_path(request.raw_path, wanted, path["pathType"]) and (
                best is None or len(wanted) > best[0]
            ):
                best = (len(wanted), path["backend"]["service"])
    if best is not None:
        return best[1]
    default: Json | None = at(found, "spec", "defaultBackend", "service")
    return default


def _is_host(host: str, wanted: str) -> bool:
    if wanted.startswith("*."):
        return host.partition(".")[2] == wanted[2:]
    return wanted in ("", host)


def _is_path(path: str, wanted: str, kind: str) -> bool:
    wanted = wanted.removesuffix("*") if kind == "ImplementationSpecific" else wanted
    if kind == "Exact":
        return path == wanted
    return path == wanted or path.startswith(wanted.rstrip("/") + "/")
