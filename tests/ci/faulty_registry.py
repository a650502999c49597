"""A registry in memory that follows the specification, until it is told to fail in some way."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

Fault = Callable[["Handler", str], bool]  # True: it has answered (or hung up) by itself


@dataclass
class State:
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    received: int = 0
    faults: list[Fault] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)  # the valid ones; none: everybody may
    token_requests: list[dict[str, list[str]]] = field(default_factory=list)
    accounts: dict[str, str] = field(default_factory=dict)
    port: int = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def count(self, method: str, pattern: str) -> int:
        return sum(1 for m, path in self.requests if m == method and re.search(pattern, path))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State
    consumed = False

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(
        self, status: int, body: bytes = b"", *, told: int | None = None, **headers: str
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if told is None else told))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status: int, code: str, **headers: str) -> None:
        self.body()
        body = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
        self.answer(status, body, told=None, Content_Type="application/json", **headers)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def body(self) -> bytes:
        """The request's body, once."""
        left = 0 if self.consumed else int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(left)
        self.consumed = True
        self.state.received += len(content)
        return content

    def handle_any(self) -> None:
        state = self.state
        self.consumed = False
        parts = urlsplit(self.path)
        state.requests.append((self.command, self.path))
        for fault in list(state.faults):
            if fault(self, parts.path):
                return None
        if parts.path == "/token":
            return self._token(parse_qs(parts.query))
        if state.tokens and self.headers.get("Authorization") not in state.tokens:
            challenge = (
                f'Bearer realm="http://{state.host}/token",service="test",'
                f'scope="repository:{parts.path.split("/")[2]}:pull,push"'
            )
            return self.error(401, "UNAUTHORIZED", WWW_Authenticate=challenge)
        found = re.fullmatch(r"/v2/(.+?)/(blobs|manifests|referrers)/(.*)", parts.path)
        if not found:
            return self.answer(200, b"{}")
        name, kind, rest = found.groups()
        if rest.startswith("uploads/"):
            return self._upload(name, rest, parse_qs(parts.query))
        return self._blob(name, rest) if kind == "blobs" else self._manifest(name, rest)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any

    def _token(self, query: dict[str, list[str]]) -> None:
        import base64

        self.state.token_requests.append(query)
        told = self.headers.get("Authorization", "").removeprefix("Basic ")
        user, _, password = base64.b64decode(told).decode().partition(":")
        if self.state.accounts and self.state.accounts.get(user) != password:
            return self.error(401, "UNAUTHORIZED")
        token = f"t{len(self.state.token_requests)}"
        self.state.tokens.append(f"Bearer {token}")
        return self.answer(200, json.dumps({"token": token}).encode())

    def _blob(self, name: str, digest: str) -> None:
        content = self.state.blobs.get((name, digest))
        if content is None:
            return self.error(404, "BLOB_UNKNOWN")
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        return self.answer(206 if asked else 200, content[start:], Docker_Content_Digest=digest)

    def _manifest(self, name: str, reference: str) -> None:
        state = self.state
        if self.command == "PUT":
            content = self.body()
            data = json.loads(content)
            for needed in [data.get("config"), *data.get("layers", [])]:
                if needed and (name, needed["digest"]) not in state.blobs:
                    return self.error(400, "MANIFEST_BLOB_UNKNOWN")
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            for key in (reference, digest):
                state.manifests[name, key] = (self.headers["Content-Type"], content)
            return self.answer(201, Docker_Content_Digest=digest)
        if (name, reference) not in state.manifests:
            return self.error(404, "MANIFEST_UNKNOWN")
        kind, content = state.manifests[name, reference]
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return self.answer(200, content, Content_Type=kind, Docker_Content_Digest=digest)

    def _upload(self, name: str, rest: str, query: dict[str, list[str]]) -> None:
        state, upload = self.state, rest.removeprefix("uploads/")
        if self.command == "POST":
            if "mount" in query and (query["from"][0], query["mount"][0]) in state.blobs:
                digest = query["mount"][0]
                state.blobs[name, digest] = state.blobs[query["from"][0], digest]
                return self.answer(201)
            upload = f"u{len(state.uploads)}"
            state.uploads[upload] = bytearray()
            return self.answer(202, Location=f"/v2/{name}/blobs/uploads/{upload}")
        if upload not in state.uploads:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN")
        held = state.uploads[upload]
        place = f"/v2/{name}/blobs/uploads/{upload}"
        if self.command == "GET":
            return self.answer(204, Range=f"0-{max(len(held) - 1, 0)}", Location=place)
        told = self.headers.get("Content-Range")
        if told and int(told.split("-")[0]) != len(held):
            self.body()
            return self.error(416, "RANGE_INVALID")
        held += self.body()
        if self.command == "PATCH":
            return self.answer(202, Range=f"0-{len(held) - 1}", Location=place)
        digest = f"sha256:{hashlib.sha256(held).hexdigest()}"
        if digest != query["digest"][0]:
            return self.error(400, "DIGEST_INVALID")
        state.blobs[name, digest] = bytes(held)
        return self.answer(201, Docker_Content_Digest=digest)


@contextmanager
def faulty_registry() -> Iterator[State]:
    state = State()
    handler = type("Bound", (Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def first(times: int, method: str, pattern: str, act: Callable[[Handler], None]) -> Fault:
    """Acts on the first matching requests, and lets the later ones pass."""
    left = [times]

    def fault(handler: Handler, path: str) -> bool:
        if handler.command != method or not re.search(pattern, path) or not left[0]:
            return False
        left[0] -= 1
        act(handler)
        return True

    return fault
