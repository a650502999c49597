"""Kubernetes' REST API over an HTTP session: objects as JSON, errors as sentences.

Knows nothing of deployments. A call that does no harm twice is repeated where its answer got lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pymacaron_ci.targets.calls import BUSY, TIMEOUT, CallFailed, repeated, retry_after
from pymacaron_ci.waiting import Clock, SystemClock

T = TypeVar("T")
Body = dict[str, Any]
APPLY = "application/apply-patch+yaml"  # JSON is YAML
MERGE = "application/merge-patch+json"
JSON = "application/json"
CREATED = 201


class Answer(Protocol):
    """The part of requests.Response that is used here."""

    status_code: int
    headers: Any

    @property
    def content(self) -> bytes: ...

    def json(self) -> Any: ...


class Http(Protocol):
    """The part of requests.Session that is used here; it says by itself who we are."""

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: tuple[float, float] | None = None,
        allow_redirects: bool = True,
    ) -> Answer: ...


@dataclass(frozen=True)
class Cause:
    """One of the reasons that an answer gives: which field, and what is wrong with it."""

    reason: str = ""
    field: str = ""
    message: str = ""


class Refused(CallFailed):
    """What the API server refused, in its own words."""

    def __init__(
        self, text: str, *, reason: str = "", causes: tuple[Cause, ...] = (), **options: Any
    ) -> None:
        super().__init__(text, **options)
        self.reason = reason
        self.causes = causes

    @property
    def others_fields(self) -> tuple[Cause, ...]:
        """Fields that another manager holds: why an apply was refused, if that was it."""
        return tuple(c for c in self.causes if c.reason == "FieldManagerConflict")


@dataclass(frozen=True)
class Resource:
    """Where objects of a kind are found."""

    version: str
    plural: str
    namespaced: bool = True


RESOURCES: Mapping[str, Resource] = {
    "Namespace": Resource("v1", "namespaces", namespaced=False),
    "ServiceAccount": Resource("v1", "serviceaccounts"),
    "Secret": Resource("v1", "secrets"),
    "Service": Resource("v1", "services"),
    "Pod": Resource("v1", "pods"),
    "Event": Resource("v1", "events"),
    "Deployment": Resource("apps/v1", "deployments"),
    "ReplicaSet": Resource("apps/v1", "replicasets"),
    "HorizontalPodAutoscaler": Resource("autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": Resource("policy/v1", "poddisruptionbudgets"),
    "Ingress": Resource("networking.k8s.io/v1", "ingresses"),
    "ManagedCertificate": Resource("networking.gke.io/v1", "managedcertificates"),
    "FrontendConfig": Resource("networking.gke.io/v1beta1", "frontendconfigs"),
    "BackendConfig": Resource("cloud.google.com/v1", "backendconfigs"),
}


def path(kind: str, namespace: str, name: str = "") -> str:
    """`apis/apps/v1/namespaces/hello/deployments/hello`"""
    resource = RESOURCES[kind]
    parts = ["apis" if "/" in resource.version else "api", resource.version]
    if resource.namespaced:
        parts += ["namespaces", namespace]
    parts.append(resource.plural)
    return "/".join([*parts, name] if name else parts)


class Kubernetes:
    """One cluster's API server at `base`. `where` names it in messages."""

    def __init__(
        self,
        http: Http,
        base: str,
        *,
        where: str = "the cluster",
        unreachable: str = "check the address and that the API server lets this machine in",
        clock: Clock | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._http = http
        self._base = base.rstrip("/")
        self._where = where
        self._unreachable = unreachable
        self.clock = clock or SystemClock()
        self._progress = progress

    def version(self) -> str:
        """Asked first: whether anybody answers is known after two tries, not after minutes."""
        try:
            told = self._call("GET", "version")
        except Refused as error:
            if not error.transient:
                raise
            told = self._call("GET", "version")
        return str(told.get("gitVersion", ""))

    def read(self, path: str, query: Mapping[str, str] | None = None) -> Body:
        return self._repeated(lambda: self._call("GET", path, query))

    def find(self, path: str, query: Mapping[str, str] | None = None) -> Body | None:
        """Like `read`, and None for what does not exist: something will be made or taken away for
        it, so that it is worth asking twice."""
        found = _none_if_absent(lambda: self.read(path, query))
        return _none_if_absent(lambda: self.read(path, query)) if found is None else found

    def items(
        self, kind: str, namespace: str, labels: Mapping[str, str] | None = None
    ) -> list[Body]:
        """Every object of a kind; none where the namespace is not there."""
        query = {"limit": "500"}
        if labels:
            query["labelSelector"] = ",".join(f"{k}={v}" for k, v in labels.items())
        found: list[Body] = []
        while True:
            page = self.read(path(kind, namespace), query)
            found += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            query["continue"] = str(token)

    def ask(self, path: str, body: Body, query: Mapping[str, str] | None = None) -> Body:
        """A POST that changes nothing."""
        return self._repeated(lambda: self._call("POST", path, query, body))

    def apply(
        self,
        manifest: Mapping[str, Any],
        manager: str,
        *,
        force: bool = False,
        dry_run: bool = False,
        once: bool = False,
    ) -> tuple[Body, bool]:
        """Server-side apply: the object, and whether it is a new one. `force` takes over fields
        that others hold. `once`: sent once, for a manifest that names the version of the object
        which it is meant for."""
        query = {"fieldManager": manager, "fieldValidation": "Strict"}
        if force:
            query["force"] = "true"
        if dry_run:
            query["dryRun"] = "All"

        def call() -> tuple[Body, bool]:
            where = path_of(manifest)
            answer = self._answered("PATCH", where, query, manifest, kind=APPLY)
            return self._object(answer), answer.status_code == CREATED

        return call() if once else self._repeated(call)

    def merge(self, path: str, body: Mapping[str, Any], manager: str) -> Body:
        """A merge patch, sent once."""
        return self._call("PATCH", path, {"fieldManager": manager}, body, kind=MERGE)

    def delete(self, path: str) -> None:
        """Gone already is fine."""
        query = {"propagationPolicy": "Background"}
        _none_if_absent(lambda: self._repeated(lambda: self._call("DELETE", path, query)))

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """What is not JSON: logs."""
        answer = self._repeated(lambda: self._answered("GET", path, query))
        return answer.content.decode("utf-8", "replace")

    def pass_on(self, method: str, path: str, headers: Mapping[str, str], data: bytes) -> Answer:
        """A request as it is to what is behind a proxy's path, and its answer as it is, errors too.
        Raises Refused where the API server itself has none."""
        import requests

        try:
            answer = self._http.request(
                method,
                f"{self._base}/{path}",
                data=data or None,
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
            )
            answer.content  # noqa: B018  (reads it)
        except requests.RequestException as error:
            raise self._lost(error) from error
        if answer.status_code >= 400 and _status(answer):
            raise self._refusal(answer)
        return answer

    def _repeated(self, call: Callable[[], T]) -> T:
        return repeated(f"asking {self._where}", call, clock=self.clock, progress=self._progress)

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        kind: str = JSON,
    ) -> Body:
        return self._object(self._answered(method, path, query, body, kind=kind))

    def _object(self, answer: Answer) -> Body:
        try:
            value = answer.json()
        except ValueError as error:
            raise self._lost(error) from error
        return value if isinstance(value, dict) else {}

    def _answered(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        kind: str = JSON,
    ) -> Answer:
        """One call, sent once. The body never shows in an error: it may hold secrets."""
        import requests
        from google.auth.exceptions import GoogleAuthError

        try:
            answer = self._http.request(
                method,
                f"{self._base}/{path}",
                params=query,
                data=None if body is None else json.dumps(body).encode(),
                headers={"Content-Type": kind} if body is not None else {},
                timeout=TIMEOUT,
            )
            answer.content  # noqa: B018  (reads it: a connection may break half-way)
        except requests.exceptions.SSLError as error:
            raise Refused(
                f"{self._where} has a certificate that can't be trusted: {_innermost(error)}",
                hint="is the address the cluster's own? Its authority is the one that GKE's API "
                "or the kubeconfig file tells",
            ) from error
        except requests.RequestException as error:
            raise self._lost(error) from error
        except GoogleAuthError as error:
            text = str(error.args[0] if error.args else error)
            raise Refused(
                f"no access token for {self._where}: {text}", code=401, hint=_LOG_IN
            ) from error
        if answer.status_code >= 400:
            raise self._refusal(answer)
        return answer

    def _lost(self, error: Exception) -> Refused:
        """No answer, or half of one: whether the call was carried out is not known."""
        return Refused(
            f"{self._where} gave no usable answer ({type(error).__name__})",
            transient=True,
            hint=self._unreachable,
        )

    def _refusal(self, answer: Answer) -> Refused:
        code = answer.status_code
        status = _status(answer)
        reason = str(status.get("reason") or "")
        message = str(status.get("message") or "no reason given")
        causes = (status.get("details") or {}).get("causes") or []
        return Refused(
            f"{self._where} answers {code} {reason}: {message}".replace("  ", " "),
            code=code,
            reason=reason,
            message=message,
            causes=tuple(
                Cause(str(c.get("reason", "")), str(c.get("field", "")), str(c.get("message", "")))
                for c in causes
            ),
            # the API server says 500 to a manifest that isn't of the right types, and will again
            transient=code in BUSY and not message.startswith("failed to create typed patch"),
            retry_after=retry_after(answer.headers),
            hint=_hint(code, reason),
        )


def path_of(manifest: Mapping[str, Any]) -> str:
    metadata = manifest["metadata"]
    return path(manifest["kind"], metadata.get("namespace", ""), metadata["name"])


_LOG_IN = (
    "check the log-in of this job: the credentials are expired, revoked, or not this cluster's"
)


def _hint(code: int, reason: str) -> str | None:
    if code == 401:
        return _LOG_IN
    if code == 403:
        return "give the deployer the permissions that docs/targets/gke.md lists"
    if code == 429:
        return "the API server is busy: run it again in a minute"
    if code in BUSY:
        return "run it again: what is done already is kept"
    if reason == "Invalid":
        return "an object of the same name that was made otherwise may be in the way"
    return None


def _status(answer: Answer) -> Body:
    """The Status object of an error, if it is one."""
    try:
        value = answer.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) and value.get("kind") == "Status" else {}


def _none_if_absent(call: Callable[[], Body]) -> Body | None:
    try:
        return call()
    except Refused as error:
        if error.code == 404:
            return None
        raise


def _innermost(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error)
