"""The way into a cluster: whom the client trusts, and who a kubeconfig file says we are."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pymacaron_ci.errors import DeployError
from pymacaron_ci.targets.gcp import FixedToken
from pymacaron_ci.targets.gke.access import Endpoint, connected
from pymacaron_ci.targets.gke.client import Kubernetes
from pymacaron_ci.targets.gke.kubeconfig import Kubeconfig
from pymacaron_ci.targets.gke.refusals import Refused
from tests.ci.targets.cloud_run_world import FastClock


@dataclass
class Authority:
    """Signs certificates; everything as PEM."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    name: x509.Name = field(
        default_factory=lambda: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
    )

    @property
    def pem(self) -> str:
        own = x509.BasicConstraints(ca=True, path_length=None)
        return _pem(self._certificate(self.name, self.key).add_extension(own, True), self.key)

    def issue(self, subject: str) -> tuple[str, str]:
        """A certificate for 127.0.0.1 and localhost, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
        names = x509.SubjectAlternativeName(
            [x509.DNSName("api.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        made = self._certificate(name, key).add_extension(names, False)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return _pem(made, self.key), private.decode()

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
        )


def _pem(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> str:
    made = builder.sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class ApiServer:
    """Answers /version over TLS to whoever has the token or a certificate of the authority."""

    url: str
    authority: Authority
    seen: list[tuple[str, str]]
    token: str = "good"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    authority = Authority()
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = authority.issue("api.test")
    (folder / "cert.pem").write_text(certificate)
    (folder / "key.pem").write_text(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.load_verify_locations(cadata=authority.pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            peer: Any = self.connection.getpeercert()
            subject = dict(pair[0] for pair in peer["subject"]) if peer else {}
            who = str(subject.get("commonName", ""))
            sent = self.headers.get("Authorization", "")
            seen.append((who, sent))
            known = who or sent == f"Bearer {made.token}"
            body = json.dumps({"gitVersion": "v1.36.0"} if known else {"kind": "Status"}).encode()
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    made = ApiServer(f"https://127.0.0.1:{server.server_port}", authority, seen)
    yield made
    server.shutdown()
    server.server_close()


def test_an_address_is_trusted_by_the_clusters_own_authority_alone(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connect = connected(FixedToken("good"))
    http, base = connect("main", Endpoint(api.url, api.authority.pem))
    assert Kubernetes(http, base).version() == "v1.36.0"
    assert api.seen[-1] == ("", "Bearer good")

    # a public authority, here one that the environment names, does not vouch for it
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(api.authority.pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    http, base = connect("main", Endpoint(api.url, Authority().pem))
    with pytest.raises(Refused, match="a certificate that can't be trusted"):
        Kubernetes(http, base).version()
    # but for the DNS endpoint it does
    http, base = connect("main", Endpoint(api.url))
    assert Kubernetes(http, base).version() == "v1.36.0"


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(folder: Path, api: ApiServer, user: Any, **server: Any) -> Path:
    file = folder / "config"
    named = {"server": api.url, "certificate-authority-data": coded(api.authority.pem), **server}
    data = {
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u"}},
            {"name": "broken", "context": {"cluster": "none", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {k: v for k, v in named.items() if v is not None}}],
        "users": [{"name": "u", "user": user}],
    }
    file.write_text(yaml.safe_dump(data))
    return file


def opened(file: Path, context: str | None = None) -> Kubernetes:
    return Kubeconfig(file, context, {"PATH": "/usr/bin:/bin"}, clock=FastClock()).open("any")


PLUGIN = """
import json, os, pathlib, sys
asked = pathlib.Path(sys.argv[1])
asked.write_text(asked.read_text() + "x" if asked.exists() else "x")
assert json.loads(os.environ["KUBERNETES_EXEC_INFO"])["kind"] == "ExecCredential"
token = os.environ["FIRST"] if asked.read_text() == "x" else "good"
print(json.dumps({"kind": "ExecCredential", "status": {"token": token}}))
"""


def plugin(folder: Path, first: str) -> Any:
    script = folder / "plugin.py"
    script.write_text(PLUGIN)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(script), str(folder / "asked")],
            "env": [{"name": "FIRST", "value": first}],
        }
    }


def test_a_kubeconfig_says_who_we_are(api: ApiServer, tmp_path: Path) -> None:
    certificate, key = api.authority.issue("somebody")
    (tmp_path / "token").write_text("good\n")
    users = {
        "token": ({"token": "good"}, ("", "Bearer good")),
        "file": ({"tokenFile": "token"}, ("", "Bearer good")),
        "plugin": (plugin(tmp_path, "good"), ("", "Bearer good")),
        "certificate": (
            {"client-certificate-data": coded(certificate), "client-key-data": coded(key)},
            ("somebody", ""),
        ),
    }
    for name, (user, expected) in users.items():
        kube = opened(kubeconfig(tmp_path, api, user))
        assert kube.version() == "v1.36.0", name
        assert api.seen[-1] == expected, name


def test_a_plugin_is_asked_again_when_its_token_is_refused(api: ApiServer, tmp_path: Path) -> None:
    kube = opened(kubeconfig(tmp_path, api, plugin(tmp_path, "expired")))
    assert kube.version() == kube.version() == "v1.36.0"
    assert (tmp_path / "asked").read_text() == "xx"


def test_a_token_that_stays_refused_is_an_error(api: ApiServer, tmp_path: Path) -> None:
    kube = opened(kubeconfig(tmp_path, api, {"token": "bad"}))
    with pytest.raises(Refused, match="401"):
        kube.version()


def test_the_servers_name_may_differ_from_its_address(api: ApiServer, tmp_path: Path) -> None:
    user = {"token": "good"}
    file = kubeconfig(tmp_path, api, user, **{"tls-server-name": "api.test"})
    assert opened(file).version() == "v1.36.0"
    file = kubeconfig(tmp_path, api, user, **{"tls-server-name": "other.test"})
    with pytest.raises(Refused, match="can't be trusted"):
        opened(file).version()


@pytest.mark.parametrize(
    ("user", "server", "context", "text"),
    [
        ({"token": "x"}, {"insecure-skip-tls-verify": True}, None, "insecure-skip-tls-verify"),
        ({"token": "x"}, {"server": "http://10.0.0.1"}, None, "no https server"),
        ({"token": "x"}, {"certificate-authority-data": "§"}, None, "certificate-authority can't"),
        ({"token": "x"}, {}, "other", "no context other"),
        ({"token": "x"}, {}, "broken", "no cluster none"),
        ({"username": "me", "password": "x"}, {}, None, "no token, client certificate or exec"),
        ({"tokenFile": "none"}, {}, None, "its tokenFile can't be read"),
        ({"exec": {"command": "nothing-there", "apiVersion": "client.authentication.k8s.io/v1"}},
         {}, None, "nothing-there gives no token: it is not installed"),
        ({"exec": {"command": "false", "apiVersion": "client.authentication.k8s.io/v1"}},
         {}, None, "false gives no token: it failed"),
        ({"exec": {"command": "true", "apiVersion": "client.authentication.k8s.io/v1"}},
         {}, None, "true gives no token: it prints no token"),
        ({"exec": {"command": "true", "apiVersion": "v0"}}, {}, None, "apiVersion v0 is unknown"),
    ],
)  # fmt: skip
def test_a_kubeconfig_that_can_not_be_used_is_told(
    api: ApiServer, tmp_path: Path, user: Any, server: Any, context: str | None, text: str
) -> None:
    with pytest.raises(DeployError, match=text) as caught:
        opened(kubeconfig(tmp_path, api, user, **server), context).version()
    assert caught.value.problems[0].hint
    if context == "other":
        assert caught.value.problems[0].hint == "there are: here, broken"


@pytest.mark.parametrize("content", ["", "a: [", "- 1", "current-context: x"])
def test_a_file_that_is_no_kubeconfig_is_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    with pytest.raises(DeployError, match="the kubeconfig"):
        opened(file)
    with pytest.raises(DeployError, match="can't be read"):
        opened(tmp_path / "none")
