"""Images for the simulator's tests: files below /pym and a command, pushed as any client would push
them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence

import requests

MANIFEST = "application/vnd.oci.image.manifest.v1+json"

# answers /ping and /version; told by its environment to be broken in one way or another
SERVER = """
import http.server, json, os, sys, time
from urllib.parse import urlsplit

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        path = urlsplit(self.path).path
        if path == "/crash":
            print("going down", flush=True)
            os._exit(3)
        if path == "/slow":
            time.sleep(1)
        answer = {
            "path": self.path, "body": body.decode(), "release": os.environ.get("PYM_RELEASE"),
            "environment": dict(os.environ), "headers": dict(self.headers.items()),
            "pid": os.getpid(),
        }
        data = json.dumps({} if path == "/ping" else answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET
    def log_message(self, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

broken = os.environ.get("BROKEN")
if broken == "exits":
    print("ImportError: no module named nothing", flush=True)
    sys.exit(1)
if broken == "deaf":
    time.sleep(600)
port = int(os.environ["PORT"]) + (1 if broken == "port" else 0)
print("listening", flush=True)
Server((os.environ.get("BIND", "127.0.0.1"), port), Handler).serve_forever()
"""


def tarball(files: Mapping[str, str | bytes], *, compress: bool = True) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0) if compress else buffer.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def push_blob(registry: str, repository: str, content: bytes) -> str:
    answer = requests.post(
        f"http://{registry}/v2/{repository}/blobs/uploads/",
        params={"digest": digest(content)},
        data=content,
        timeout=10,
    )
    assert answer.status_code == 201, answer.text
    return digest(content)


def push(
    registry: str,
    repository: str = "demo/pymacaron/hello",
    *,
    tag: str = "v1",
    files: Mapping[str, str | bytes] | None = None,
    command: Sequence[str] = ("python3", "server.py"),
    environment: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Gives the image's name by digest."""
    layer = tarball({f"pym/{n}": c for n, c in (files or {"server.py": SERVER}).items()})
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Cmd": list(command),
                "WorkingDir": "/pym",
                "Env": [f"{name}={value}" for name, value in (environment or {}).items()],
                "Labels": {"pymacaron.base": "none", **(labels or {})},
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(gzip.decompress(layer))]},
        }
    ).encode()
    kind = "application/vnd.oci.image"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": f"{kind}.config.v1+json",
                "digest": push_blob(registry, repository, config),
                "size": len(config),
            },
            "layers": [
                {
                    "mediaType": f"{kind}.layer.v1.tar+gzip",
                    "digest": push_blob(registry, repository, layer),
                    "size": len(layer),
                }
            ],
        }
    ).encode()
    answer = requests.put(
        f"http://{registry}/v2/{repository}/manifests/{tag}",
        data=manifest,
        headers={"Content-Type": MANIFEST},
        timeout=10,
    )
    assert answer.status_code == 201, answer.text
    return f"{registry}/{repository}@{answer.headers['Docker-Content-Digest']}"
