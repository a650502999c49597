"""Kubernetes' REST API over an HTTP session: objects as JSON, errors as sentences.

Knows nothing of deployments. A call that does no harm twice is repeated where its answer got lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from pymacaron_ci.targets.calls import TIMEOUT, repeated
from pymacaron_ci.targets.gke.refusals import (
    LOG_IN,
    Answer,
    Refused,
    innermost,
    refusal_of,
    status_of,
)
from pymacaron_ci.targets.gke.resources import path, path_of
from pymacaron_ci.waiting import Clock, SystemClock

T = TypeVar("T")
Body = dict[str, Any]
APPLY = "application/apply-patch+yaml"  # JSON is YAML
MERGE = "application/merge-patch+json"
JSON = "application/json"
CREATED = 201


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
        if answer.status_code >= 400 and status_of(answer):
            raise refusal_of(answer, self._where)
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
                f"{self._where} has a certificate that can't be trusted: {innermost(error)}",
                hint="is the address the cluster's own? Its authority is the one that GKE's API "
                "or the kubeconfig file tells",
            ) from error
        except requests.RequestException as error:
            raise self._lost(error) from error
        except GoogleAuthError as error:
            text = str(error.args[0] if error.args else error)
            raise Refused(
                f"no access token for {self._where}: {text}", code=401, hint=LOG_IN
            ) from error
        if answer.status_code >= 400:
            raise refusal_of(answer, self._where)
        return answer

    def _lost(self, error: Exception) -> Refused:
        """No answer, or half of one: whether the call was carried out is not known."""
        return Refused(
            f"{self._where} gave no usable answer ({type(error).__name__})",
            transient=True,
            hint=self._unreachable,
        )


def _none_if_absent(call: Callable[[], Body]) -> Body | None:
    try:
        return call()
    except Refused as error:
        if error.code == 404:
            return None
        raise
