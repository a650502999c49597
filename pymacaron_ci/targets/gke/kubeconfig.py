"""A kubeconfig file as the way into a cluster: server, authority, and who we are.

https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import requests
import yaml
from requests.adapters import HTTPAdapter

from pymacaron_ci.errors import DeployError
from pymacaron_ci.targets.gke.client import Kubernetes
from pymacaron_ci.targets.gke.tls import TrustingAdapter, context
from pymacaron_ci.waiting import Clock

EXEC_TIMEOUT = 60
EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
EARLY = timedelta(seconds=60)  # a token is replaced that long before its end


class Kubeconfig:
    """Implements access.Clusters: whatever its name, the cluster is the context's."""

    def __init__(
        self,
        file: Path,
        chosen: str | None,
        environ: Mapping[str, str],
        *,
        clock: Clock | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._file = file
        self._chosen = chosen
        self._environ = environ
        self._clock = clock
        self._progress = progress
        self.notes: list[str] = []

    def open(self, cluster: str) -> Kubernetes:  # noqa: ARG002  (the context's own)
        data = self._read()
        name = self._chosen or str(data.get("current-context") or "")
        if not name:
            raise self._wrong("it has no current context", "name one in kube_context")
        described = self._entry(data, "contexts", "context", name)
        server = self._entry(data, "clusters", "cluster", str(described.get("cluster")))
        user = self._entry(data, "users", "user", str(described.get("user")))
        url = str(server.get("server") or "")
        if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise self._wrong(f"the cluster of {name} has no https server", "look at the file")
        if server.get("insecure-skip-tls-verify"):
            raise self._wrong(
                f"the cluster of {name} has insecure-skip-tls-verify",
                "give it its certificate-authority-data: secrets would go to whoever answers",
            )
        http = requests.Session()
        http.auth = self._auth(user)
        self._trust(http, url, server, user)
        return Kubernetes(
            http, url, where=f"the cluster of {name}", clock=self._clock, progress=self._progress
        )

    def _read(self) -> dict[str, Any]:
        try:
            data = yaml.safe_load(self._file.read_text(encoding="utf-8"))
        except OSError as error:
            raise self._wrong(f"it can't be read: {error.strerror}", "kubeconfig") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise self._wrong("it is not YAML", "make it anew") from error
        if not isinstance(data, dict):
            raise self._wrong("it is empty", "make it anew")
        return data

    def _entry(self, data: Mapping[str, Any], kind: str, key: str, name: str) -> dict[str, Any]:
        entries = [e for e in data.get(kind) or [] if isinstance(e, dict)]
        found = next((e.get(key) for e in entries if e.get("name") == name), None)
        if not isinstance(found, dict):
            known = ", ".join(str(e.get("name")) for e in entries) or "none"
            raise self._wrong(f"it has no {key} {name}", f"there are: {known}")
        return found

    def _trust(
        self,
        http: requests.Session,
        url: str,
        server: Mapping[str, Any],
        user: Mapping[str, Any],
    ) -> None:
        authority = self._content(server, "certificate-authority")
        certificate = self._content(user, "client-certificate")
        key = self._content(user, "client-key")
        host = server.get("tls-server-name")
        if not (authority or certificate or host):
            return  # a public authority vouches for it
        with ExitStack() as files:
            pair = None
            if certificate and key:
                # Python's ssl takes these from files only; they are gone when this returns
                pair = (_file(files, certificate), _file(files, key))
            try:
                made = context(authority, pair)
            except OSError as error:  # ssl.SSLError is one
                raise self._wrong(
                    f"its certificates can't be used ({error})", "make it anew"
                ) from error
        http.mount(url, TrustingAdapter(made, host))

    def _content(self, entry: Mapping[str, Any], key: str) -> str | None:
        """What stands in `<key>-data`, or in the file that `<key>` names."""
        try:
            if entry.get(f"{key}-data"):
                return base64.b64decode(str(entry[f"{key}-data"])).decode("utf-8")
            return self._beside(str(entry[key])) if entry.get(key) else None
        except (OSError, ValueError) as error:
            raise self._wrong(f"its {key} can't be read", "make it anew") from error

    def _beside(self, name: str) -> str:
        return (self._file.parent / name).read_text(encoding="utf-8")

    def _auth(self, user: Mapping[str, Any]) -> requests.auth.AuthBase:
        if user.get("exec"):
            return BearerAuth(ExecPlugin(user["exec"], self._file, self._environ).token)
        if user.get("tokenFile"):
            # its content is renewed by somebody else
            return BearerAuth(lambda _anew: (self._content(user, "tokenFile") or "").strip())
        if user.get("token"):
            return BearerAuth(lambda _anew: str(user["token"]))
        if user.get("client-certificate") or user.get("client-certificate-data"):
            return NoAuth()
        raise self._wrong(
            "its user has no token, client certificate or exec plugin",
            "auth-provider, username and password are gone from Kubernetes",
        )

    def _wrong(self, what: str, hint: str) -> DeployError:
        return DeployError(f"the kubeconfig {self._file}: {what}", hint=hint)


class NoAuth(requests.auth.AuthBase):
    """The connection's certificate says who we are. Keeps requests from looking into ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class BearerAuth(requests.auth.AuthBase):
    """Sends a token; one that is refused is asked for anew, once."""

    def __init__(self, token: Callable[[bool], str]) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token(False)}"
        request.hooks["response"].append(self._again)
        return request

    def _again(self, answer: requests.Response, **options: Any) -> requests.Response:
        if answer.status_code != 401:
            return answer
        anew = f"Bearer {self._token(True)}"
        if answer.request.headers.get("Authorization") == anew:
            return answer
        answer.content  # noqa: B018  (the connection is free for the next)
        again = answer.request.copy()
        again.headers["Authorization"] = anew
        again.hooks["response"].remove(self._again)
        adapter: HTTPAdapter = answer.connection
        return adapter.send(again, **options)


class ExecPlugin:
    """A command that prints a token, such as gke-gcloud-auth-plugin.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    """

    def __init__(
        self, described: Mapping[str, Any], file: Path, environ: Mapping[str, str]
    ) -> None:
        self._described = described
        self._file = file
        self._environ = environ
        self._known = ""
        self._until: datetime | None = None

    def token(self, anew: bool) -> str:
        ended = self._until is not None and datetime.now(timezone.utc) > self._until - EARLY
        if anew or ended or not self._known:
            self._known, self._until = self._ask()
        return self._known

    def _ask(self) -> tuple[str, datetime | None]:
        described = self._described
        version = str(described.get("apiVersion"))
        command = str(described.get("command"))
        if version not in EXEC_VERSIONS:
            raise self._failed(command, f"its apiVersion {version} is unknown")
        if os.sep in command and not Path(command).is_absolute():
            command = str(self._file.parent / command)
        info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
        given = {str(e["name"]): str(e["value"]) for e in described.get("env") or []}
        try:
            done = subprocess.run(
                [command, *map(str, described.get("args") or [])],
                env={**self._environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(info)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=EXEC_TIMEOUT,
                check=True,
            )
            status = json.loads(done.stdout)["status"]
            token = str(status["token"])
            ends = status.get("expirationTimestamp")
            until = datetime.fromisoformat(ends.replace("Z", "+00:00")) if ends else None
        except FileNotFoundError as error:
            raise self._failed(command, "it is not installed") from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode("utf-8", "replace").strip().splitlines()
            raise self._failed(command, said[-1] if said else "it failed") from error
        except subprocess.TimeoutExpired as error:
            raise self._failed(command, f"it took longer than {EXEC_TIMEOUT} s") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._failed(command, "it prints no token") from error
        return token, until

    def _failed(self, command: str, why: str) -> DeployError:
        hint = self._described.get("installHint")
        return DeployError(
            f"the kubeconfig {self._file}: {command} gives no token: {why}",
            hint=str(hint) if hint else "run it by hand",
        )


def _file(files: ExitStack, content: str) -> str:
    """A file that only we can read, for as long as the stack is open."""
    made = files.enter_context(tempfile.NamedTemporaryFile("w"))  # noqa: SIM115
    made.write(content)
    made.flush()
    return made.name
