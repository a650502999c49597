"""A loopback AWS for Elastic Beanstalk: one address for all its services, and faults to order."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any, Literal

from pymacaron_ci.simulator.beanstalk.account import AccountApi, Buckets
from pymacaron_ci.simulator.beanstalk.api import ElasticBeanstalk
from pymacaron_ci.simulator.beanstalk.engine import Engine
from pymacaron_ci.simulator.beanstalk.logs import Logs
from pymacaron_ci.simulator.beanstalk.secrets import SecretStores
from pymacaron_ci.simulator.beanstalk.state import Store, Timings, Version
from pymacaron_ci.simulator.beanstalk.wire import AwsError, answer, error, operation_of
from pymacaron_ci.simulator.faults import Counted, due
from pymacaron_ci.simulator.instances import Runner
from pymacaron_ci.simulator.web import Request, Reset, Response, Server

_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
_SERVICES = {"elasticbeanstalk", "sts", "iam", "ec2", "acm", "ecr", "secretsmanager", "ssm", "logs"}

FaultKind = Literal[
    "throttled", "429", "500", "503", "timeout", "reset", "slow",
    "expired", "denied", "missing", "busy", "truncated",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AwsFault(Counted):
    """Only calls of `operation` count; "": all."""

    kind: FaultKind
    operation: str = ""
    seconds: float = 1.0


@dataclass(frozen=True)
class Call:
    service: str
    operation: str


class BeanstalkServer:
    """`calls` and `on_call` are for tests; it is told of each call before and after it is served.
    Raises it Reset before, the call never arrived."""

    def __init__(
        self,
        folder: Path,
        runner: Runner,
        *,
        port: int = 0,
        timings: Timings | None = None,
        on_call: Callable[[Call, bool], None] = lambda *_: None,
    ) -> None:
        self.calls: list[Call] = []
        self._faults: list[AwsFault] = []
        self.on_call = on_call
        self._lock = threading.Lock()
        self.store = Store(folder / "beanstalk.json")
        timings = timings or Timings()
        account = self.store.state.account
        self._buckets = Buckets(folder / "s3", account)
        stores = SecretStores(account)
        self.engine = Engine(self.store, runner, timings, self._bundle, stores.value)
        self._eb = ElasticBeanstalk(self.store, self.engine, timings, self._bundle)
        self._others = (AccountApi(account), stores, Logs(self.store, self.engine))
        self.engine.start()
        self._server = Server(self._serve, port=port)
        self._eb.url = self.url

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def port(self) -> int:
        return self._server.port

    def stop(self) -> None:
        self._server.stop()
        self.engine.close()

    def services(self) -> list[dict[str, object]]:
        """Each environment: its name, its URL, the version it runs."""
        with self.store.lock:
            state = self.store.state
            return [
                {
                    "name": environment.name,
                    "url": f"http://127.0.0.1:{environment.port}",
                    "revision": environment.version if environment.instances else None,
                    "instances": len(environment.instances),
                }
                for environment in state.there()
            ]

    def add_faults(self, *faults: AwsFault) -> None:
        with self._lock:
            self._faults.extend(faults)

    def clear_faults(self) -> int:
        """How many were never met."""
        with self._lock:
            unmet = len(self._faults)
            self._faults.clear()
            return unmet

    def _bundle(self, version: Version) -> bytes | None:
        return self._buckets.get(version.bucket, version.key)

    # --- serving

    def _serve(self, request: Request) -> Response:
        if request.path.startswith("/_simulator/"):
            return self._ours(request)
        request_id = str(uuid.uuid4())
        scope = _SCOPE.search(
            request.headers.get("Authorization", "")
            or f"Credential={request.query.get('X-Amz-Credential', '')}"
        )
        service = scope.group(3) if scope else "s3"
        if service == "s3":
            name, act = (
                self._buckets.operation(request),
                lambda: self._buckets.serve(request, request_id),
            )
        else:
            body = request.body.read()
            name, act = self._query(service, request, body, request_id)
        call = Call(service, name)
        with self._lock:
            self.calls.append(call)
            fault = self._fault(name)
        self.on_call(call, False)
        response = self._answer(call, scope.group(1) if scope else "", act, fault, request_id)
        self.on_call(call, True)
        headers = (("x-amzn-RequestId", request_id), ("Date", formatdate(usegmt=True)))
        return replace(response, headers=(*response.headers, *headers))

    def _answer(
        self,
        call: Call,
        key: str,
        act: Callable[[], Response],
        fault: AwsFault | None,
        request_id: str,
    ) -> Response:
        def refuse(problem: AwsError) -> Response:
            kind, body = error(call.service, problem, request_id)
            return Response(problem.status, body, (("Content-Type", kind),))

        account = self.store.state.account
        if not key:
            return refuse(
                AwsError(
                    "MissingAuthenticationToken", "Request is missing Authentication Token", 403
                )
            )
        if key in account.expired_keys or (fault and fault.kind == "expired"):
            return refuse(EXPIRED)
        if f"{call.service}:{call.operation}" in account.denied or (
            fault and fault.kind == "denied"
        ):
            who = "arn:aws:iam::123456789012:user/simulated"
            right = f"{call.service}:{call.operation}"
            return refuse(
                AwsError(
                    "AccessDenied",
                    f"User: {who} is not authorized to perform: {right} because no identity-based "
                    f"policy allows the {right} action",
                    403,
                )
            )
        if fault is None:
            return act()
        if fault.kind == "slow":
            time.sleep(fault.seconds)  # being slow is the fault
            return act()
        response = act() if fault.acted or fault.kind == "truncated" else None
        if fault.kind == "reset":
            raise Reset
        if fault.kind == "timeout":
            time.sleep(fault.seconds)  # being slow is the fault
            raise Reset
        if response and fault.kind == "truncated":
            return replace(response, cut=True)
        s3_is_busy = call.service == "s3" and fault.kind == "throttled"
        refusal = refuse(_SLOW_DOWN if s3_is_busy else _FAULTS[fault.kind])
        if fault.kind == "429":
            return replace(refusal, headers=(*refusal.headers, ("Retry-After", "1")))
        return refusal

    def _fault(self, operation: str) -> AwsFault | None:
        return due(self._faults, lambda fault: fault.operation in ("", operation))

    def _query(
        self, service: str, request: Request, body: bytes, request_id: str
    ) -> tuple[str, Callable[[], Response]]:
        if service not in _SERVICES:
            refused = AwsError("UnknownService", f"the simulator has no {service}")
            kind, text = error("sts", refused, request_id)
            return "?", lambda: Response(400, text, (("Content-Type", kind),))
        name = re.search(rb"(?:^|&)Action=(\w+)", body)
        target = str(request.headers.get("X-Amz-Target", ""))
        label = name.group(1).decode() if name else target.rpartition(".")[2]
        return label, lambda: self._act(service, request, body, request_id)

    def _act(self, service: str, request: Request, body: bytes, request_id: str) -> Response:
        try:
            operation, values = operation_of(service, request.headers, body)  # type: ignore[arg-type]
            method = self._method(service, operation.name)
            if method is None:
                raise AwsError("InvalidAction", f"the simulator has no {service}:{operation.name}")
            with self.store.lock:
                self._eb.request_id = request_id
                kind, text = answer(operation, method(values), request_id)
                if not operation.name.startswith(("Describe", "List", "Check", "Get")):
                    self.store.save()
        except AwsError as problem:
            kind, text = error(service, problem, request_id)
            return Response(problem.status, text, (("Content-Type", kind),))
        return Response(200, text, (("Content-Type", kind),))

    def _method(self, service: str, operation: str) -> Callable[[Any], Any] | None:
        if service == "elasticbeanstalk":
            return getattr(self._eb, operation, None)
        name = f"{service}_{operation}"
        return next((getattr(o, name) for o in self._others if hasattr(o, name)), None)

    # --- what is no AWS: where names lead, logs, the account, faults

    def _ours(self, request: Request) -> Response:
        _, _, kind, *rest = request.path.split("/")
        with self.store.lock:
            state = self.store.state
            if kind == "logs" and rest and rest[0] in state.environments:
                text = self.engine.logs(state.environments[rest[0]])
                return Response(200, text.encode(), (("Content-Type", "text/plain"),))
            if kind == "names":
                urls = {n: f"http://127.0.0.1:{p}" for n, p in state.ports.items()}
                leads = {
                    n: f"127.0.0.1:{state.environments[e].port}"
                    for n, e in state.dns.items()
                    if e in state.environments
                }
                return _json({"urls": urls, "leads": leads})
            if kind == "account" and request.method == "PUT":
                for name, value in json.loads(request.body.read()).items():
                    if name not in asdict(state.account):
                        return _json({"error": f"an account has no {name}"}, 400)
                    setattr(state.account, name, value)
                self.store.save()
                return _json(asdict(state.account))
            if kind == "faults" and request.method == "POST":
                self.add_faults(*(AwsFault(**f) for f in json.loads(request.body.read())))
                return _json({})
        return _json({"error": "not found"}, 404)


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(value).encode(), (("Content-Type", "application/json"),))


EXPIRED = AwsError("ExpiredToken", "The security token included in the request is expired", 403)
_SLOW_DOWN = AwsError("SlowDown", "Please reduce your request rate.", 503)
_FAULTS = {
    "throttled": AwsError("Throttling", "Rate exceeded", 400),
    "429": AwsError("TooManyRequestsException", "Too Many Requests", 429),
    "500": AwsError("InternalFailure", "An internal error occurred", 500),
    "503": AwsError("ServiceUnavailable", "The service is temporarily unavailable", 503),
    # a moment after something was made, not every server knows of it
    "missing": AwsError("ResourceNotFoundException", "The resource does not exist.", 404),
    "busy": AwsError("OperationInProgressFailure", "Another operation is in progress.", 400),
}
