"""A small OCI registry on loopback: docker, skopeo and the simulator push to it and pull from it.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pymacaron_ci.simulator.registry_store import DIGEST, REPOSITORY, TAG, DigestMismatch, Store
from pymacaron_ci.simulator.web import Request, Response, Server, json_response

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPES = (
    OCI_MANIFEST,
    OCI_INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_LIMIT = 4 * 1024 * 1024

# code → status, as the specification lists them
ERRORS = {
    "BLOB_UNKNOWN": (404, "blob unknown to registry"),
    "BLOB_UPLOAD_INVALID": (400, "blob upload invalid"),
    "BLOB_UPLOAD_UNKNOWN": (404, "blob upload unknown to registry"),
    "DIGEST_INVALID": (400, "provided digest did not match uploaded content"),
    "MANIFEST_BLOB_UNKNOWN": (404, "manifest references a manifest or blob unknown to registry"),
    "MANIFEST_INVALID": (400, "manifest invalid"),
    "MANIFEST_UNKNOWN": (404, "manifest unknown to registry"),
    "NAME_INVALID": (400, "invalid repository name"),
    "NAME_UNKNOWN": (404, "repository name not known to registry"),
    "RANGE_INVALID": (416, "chunk is out of order"),
    "SIZE_INVALID": (400, "provided length did not match content length"),
    "TAG_INVALID": (400, "manifest tag did not match URI"),
    "UNSUPPORTED": (405, "the operation is unsupported"),
    "UNKNOWN": (500, "the content in the registry's folder is damaged"),
}

ROUTES = (
    (re.compile(r"/v2/(?P<name>.+)/blobs/uploads/?"), "uploads"),
    (re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<upload>[0-9a-f]{32})"), "upload"),
    (re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>[^/]+)"), "blob"),
    (re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)"), "manifest"),
    (re.compile(r"/v2/(?P<name>.+)/tags/list"), "tags"),
    (re.compile(r"/v2/(?P<name>.+)/referrers/(?P<digest>[^/]+)"), "referrers"),
)


class RegistryError(Exception):
    """An error of the specification; `code` is one of ERRORS."""

    def __init__(self, code: str, detail: object = None, headers: Mapping[str, str] | None = None):
        self.code, self.detail, self.headers = code, detail, headers or {}
        super().__init__(code)


class Registry:
    """The distribution API over a store. `handle` serves one request; `serve` opens a loopback
    port.
    """

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)

    def serve(self, port: int = 0) -> Server:
        return Server(self.handle, port=port)

    def handle(self, request: Request) -> Response:
        try:
            return self._dispatch(request)
        except DigestMismatch as error:
            damaged = request.method in ("GET", "HEAD")
            return _error(RegistryError("UNKNOWN" if damaged else "DIGEST_INVALID", str(error)))
        except RegistryError as error:
            return _error(error)

    def _dispatch(self, request: Request) -> Response:
        if request.path in ("/v2", "/v2/"):
            return json_response({}, 200, ("Docker-Distribution-API-Version", "registry/2.0"))
        if request.path == "/v2/_catalog":
            return _page(request, "repositories", self.store.repositories(), "/v2/_catalog")
        for pattern, kind in ROUTES:
            match = pattern.fullmatch(request.path)
            if match:
                found = match.groupdict()
                name = found.pop("name")
                if not REPOSITORY.fullmatch(name) or len(name) > 255:
                    raise RegistryError("NAME_INVALID", {"name": name})
                verb = "GET" if request.method == "HEAD" else request.method
                action: Callable[..., Response] | None = getattr(
                    self, f"_{verb.lower()}_{kind}", None
                )
                if action is None:
                    raise RegistryError("UNSUPPORTED")
                if "digest" in found and not DIGEST.fullmatch(found["digest"]):
                    raise RegistryError("DIGEST_INVALID", {"digest": found["digest"]})
                return action(request, name, **found)
        raise RegistryError("NAME_UNKNOWN", {"path": request.path})

    # blobs

    def _get_blob(self, request: Request, name: str, digest: str) -> Response:
        path = self.store.blob(name, digest)
        if path is None:
            raise RegistryError("BLOB_UNKNOWN", {"digest": digest})
        headers = (
            ("Content-Type", "application/octet-stream"),
            ("Docker-Content-Digest", digest),
            ("Accept-Ranges", "bytes"),
        )
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if not wanted:
            return Response(200, path, headers)
        size, first = path.stat().st_size, int(wanted[1])
        last = min(int(wanted[2]) if wanted[2] else size - 1, size - 1)
        if first > last:
            raise RegistryError("RANGE_INVALID", None, {"Content-Range": f"bytes */{size}"})
        with path.open("rb") as file:
            file.seek(first)
            piece = file.read(last - first + 1)
        return Response(206, piece, (*headers, ("Content-Range", f"bytes {first}-{last}/{size}")))

    def _delete_blob(self, _request: Request, name: str, digest: str) -> Response:
        if not self.store.delete_blob(name, digest):
            raise RegistryError("BLOB_UNKNOWN", {"digest": digest})
        return Response(202)

    # uploads

    def _post_uploads(self, request: Request, name: str) -> Response:
        mount, source = request.query.get("mount"), request.query.get("from")
        if mount and DIGEST.fullmatch(mount) and self._may_mount(mount, source):
            self.store.link_blob(name, mount)
            return self._created(name, mount)
        upload = self.store.start_upload()
        digest = request.query.get("digest")
        if digest is None:
            return self._progress(name, upload, 202)
        return self._finish(request, name, upload, digest)

    def _may_mount(self, digest: str, source: str | None) -> bool:
        if source is None:
            return self.store.has_content(digest)
        return bool(REPOSITORY.fullmatch(source)) and self.store.blob(source, digest) is not None

    def _get_upload(self, _request: Request, name: str, upload: str) -> Response:
        return self._progress(name, self._known(upload), 204)

    def _patch_upload(self, request: Request, name: str, upload: str) -> Response:
        self._append(request, upload)
        return self._progress(name, upload, 202)

    def _put_upload(self, request: Request, name: str, upload: str) -> Response:
        return self._finish(request, name, upload, request.query.get("digest", ""))

    def _delete_upload(self, _request: Request, _name: str, upload: str) -> Response:
        self.store.cancel_upload(self._known(upload))
        return Response(204)

    def _known(self, upload: str) -> str:
        if self.store.upload_size(upload) is None:
            raise RegistryError("BLOB_UPLOAD_UNKNOWN")
        return upload

    def _append(self, request: Request, upload: str) -> None:
        size = self.store.upload_size(self._known(upload))
        wanted = re.fullmatch(r"(?:bytes )?(\d+)-(\d+)", request.headers.get("Content-Range", ""))
        if wanted and int(wanted[1]) != size:
            raise RegistryError("RANGE_INVALID", None, {"Range": f"0-{max((size or 0) - 1, 0)}"})
        self.store.append(upload, request.body)

    def _finish(self, request: Request, name: str, upload: str, digest: str) -> Response:
        if not DIGEST.fullmatch(digest):
            raise RegistryError("DIGEST_INVALID", {"digest": digest})
        self._append(request, upload)
        self.store.finish_upload(name, upload, digest)
        return self._created(name, digest)

    def _progress(self, name: str, upload: str, status: int) -> Response:
        last = max((self.store.upload_size(upload) or 0) - 1, 0)
        return Response(
            status,
            b"",
            (
                ("Location", f"/v2/{name}/blobs/uploads/{upload}"),
                ("Range", f"0-{last}"),
                ("Docker-Upload-UUID", upload),
            ),
        )

    @staticmethod
    def _created(name: str, digest: str) -> Response:
        location = ("Location", f"/v2/{name}/blobs/{digest}")
        return Response(201, b"", (location, ("Docker-Content-Digest", digest)))

    # manifests

    def _get_manifest(self, _request: Request, name: str, reference: str) -> Response:
        manifest = self.store.manifest(name, reference)
        if manifest is None:
            unknown = self.store.tags(name) is None
            code = "NAME_UNKNOWN" if unknown else "MANIFEST_UNKNOWN"
            raise RegistryError(code, {"name": name, "reference": reference})
        return Response(
            200,
            manifest.content,
            (("Content-Type", manifest.media_type), ("Docker-Content-Digest", manifest.digest)),
        )

    def _put_manifest(self, request: Request, name: str, reference: str) -> Response:
        if ":" in reference:
            if not DIGEST.fullmatch(reference):
                raise RegistryError("DIGEST_INVALID", {"digest": reference})
        elif not TAG.fullmatch(reference):
            raise RegistryError("TAG_INVALID", {"tag": reference})
        content = request.body.read()
        media_type, data = self._checked(name, content, request.headers.get("Content-Type"))
        digest = self.store.put_manifest(name, reference, content, media_type)
        headers = [
            ("Location", f"/v2/{name}/manifests/{digest}"),
            ("Docker-Content-Digest", digest),
        ]
        if isinstance(data.get("subject"), dict):
            headers.append(("OCI-Subject", str(data["subject"].get("digest"))))
        return Response(201, b"", headers)

    def _checked(
        self, name: str, content: bytes, declared: str | None
    ) -> tuple[str, Mapping[str, Any]]:
        if len(content) > MANIFEST_LIMIT:
            raise RegistryError("SIZE_INVALID")
        try:
            data = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise RegistryError("MANIFEST_INVALID", str(error)) from error
        if not isinstance(data, dict) or data.get("schemaVersion") != 2:
            raise RegistryError("MANIFEST_INVALID", "schemaVersion must be 2")
        media_type = (declared or "").partition(";")[0].strip() or str(data.get("mediaType", ""))
        if data.get("mediaType", media_type) != media_type:
            raise RegistryError("MANIFEST_INVALID", "mediaType differs from the Content-Type")
        if media_type not in MANIFEST_TYPES:
            raise RegistryError("MANIFEST_INVALID", f"media type {media_type!r} is not supported")
        try:
            if "manifests" in data:
                children = [child["digest"] for child in data["manifests"]]
                missing = [d for d in children if self.store.manifest(name, d) is None]
            else:
                parts = [data["config"], *data["layers"]]
                missing = [p["digest"] for p in parts if not self._has_part(name, p)]
        except (KeyError, TypeError) as error:
            raise RegistryError("MANIFEST_INVALID", f"{error} is missing or malformed") from error
        if missing:
            raise RegistryError("MANIFEST_BLOB_UNKNOWN", {"digest": missing})
        return media_type, data

    def _has_part(self, name: str, part: Mapping[str, Any]) -> bool:
        if not DIGEST.fullmatch(part["digest"]):
            raise RegistryError("MANIFEST_INVALID", f"{part['digest']!r} is not a digest")
        path = self.store.blob(name, part["digest"])
        if path is not None and path.stat().st_size != part["size"]:
            raise RegistryError("SIZE_INVALID", {"digest": part["digest"]})
        return path is not None or bool(part.get("urls"))

    def _delete_manifest(self, _request: Request, name: str, reference: str) -> Response:
        if not self.store.delete_manifest(name, reference):
            raise RegistryError("MANIFEST_UNKNOWN", {"reference": reference})
        return Response(202)

    # lists

    def _get_tags(self, request: Request, name: str) -> Response:
        tags = self.store.tags(name)
        if tags is None:
            raise RegistryError("NAME_UNKNOWN", {"name": name})
        return _page(request, "tags", tags, f"/v2/{name}/tags/list", {"name": name})

    def _get_referrers(self, request: Request, name: str, digest: str) -> Response:
        found = []
        for candidate in self.store.manifests(name):
            manifest = self.store.manifest(name, candidate)
            data = json.loads(manifest.content) if manifest else {}
            if manifest and (data.get("subject") or {}).get("digest") == digest:
                kind = data.get("artifactType") or (data.get("config") or {}).get("mediaType")
                entry = {
                    "mediaType": manifest.media_type,
                    "digest": candidate,
                    "size": len(manifest.content),
                    **({"artifactType": kind} if kind else {}),
                    **({"annotations": data["annotations"]} if "annotations" in data else {}),
                }
                if request.query.get("artifactType", kind) == kind:
                    found.append(entry)
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}).encode()
        applied = (("OCI-Filters-Applied", "artifactType"),)
        filtered = applied if "artifactType" in request.query else ()
        return Response(200, body, (("Content-Type", OCI_INDEX), *filtered))


def _page(
    request: Request,
    key: str,
    values: Any,
    path: str,
    extra: Mapping[str, object] | None = None,
) -> Response:
    last, limit = request.query.get("last", ""), request.query.get("n", "")
    rest = [value for value in values if value > last]
    count = int(limit) if limit.isdigit() else len(rest)
    page = rest[:count]
    headers = []
    if len(page) < len(rest) and page:
        headers.append(("Link", f'<{path}?n={count}&last={page[-1]}>; rel="next"'))
    return json_response({**(extra or {}), key: page}, 200, *headers)


def _error(error: RegistryError) -> Response:
    status, message = ERRORS[error.code]
    entry: dict[str, object] = {"code": error.code, "message": message}
    if error.detail is not None:
        entry["detail"] = error.detail
    return json_response({"errors": [entry]}, status, *error.headers.items())
