"""The registry against the distribution specification, and with the clients that people have."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pymacaron_ci.simulator.registry import Registry
from tests.ci.simulator.images import MANIFEST, digest, push, push_blob

NAME = "demo/hello"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def registry(folder: Path) -> Iterator[str]:
    server = Registry(folder).serve()
    yield f"127.0.0.1:{server.port}"
    server.stop()


def code(answer: requests.Response) -> str:
    found = answer.json()["errors"][0]
    assert isinstance(found["message"], str)
    return str(found["code"])


def start(registry: str, **query: str) -> requests.Response:
    url = f"http://{registry}/v2/{NAME}/blobs/uploads/"
    return requests.post(url, params=query, timeout=5)


def test_the_version_check_answers(registry: str) -> None:
    answer = requests.get(f"http://{registry}/v2/", timeout=5)
    assert answer.status_code == 200
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


def test_a_pushed_image_comes_back_byte_for_byte(registry: str) -> None:
    image = push(registry, NAME, tag="v1")
    wanted = image.partition("@")[2]
    by_tag = requests.get(f"http://{registry}/v2/{NAME}/manifests/v1", timeout=5)
    assert by_tag.headers["Docker-Content-Digest"] == wanted == digest(by_tag.content)
    assert by_tag.headers["Content-Type"] == MANIFEST
    head = requests.head(f"http://{registry}/v2/{NAME}/manifests/{wanted}", timeout=5)
    assert head.status_code == 200
    assert head.headers["Content-Length"] == str(len(by_tag.content))
    for layer in by_tag.json()["layers"]:
        url = f"http://{registry}/v2/{NAME}/blobs/{layer['digest']}"
        assert digest(requests.get(url, timeout=5).content) == layer["digest"]


def test_a_blob_arrives_in_chunks(registry: str) -> None:
    content = os.urandom(300_000)
    location = start(registry).headers["Location"]
    for first in range(0, len(content), 100_000):
        piece = content[first : first + 100_000]
        answer = requests.patch(
            f"http://{registry}{location}",
            data=piece,
            headers={"Content-Range": f"{first}-{first + len(piece) - 1}"},
            timeout=5,
        )
        assert answer.status_code == 202
        assert answer.headers["Range"] == f"0-{first + len(piece) - 1}"
        location = answer.headers["Location"]
    done = requests.put(
        f"http://{registry}{location}", params={"digest": digest(content)}, timeout=5
    )
    assert done.status_code == 201
    blob = requests.get(f"http://{registry}{done.headers['Location']}", timeout=5)
    assert blob.content == content


def test_a_chunk_out_of_order_is_refused_and_tells_where_to_go_on(registry: str) -> None:
    location = start(registry).headers["Location"]
    url = f"http://{registry}{location}"
    requests.patch(url, data=b"12345", headers={"Content-Range": "0-4"}, timeout=5)
    answer = requests.patch(url, data=b"x", headers={"Content-Range": "9-9"}, timeout=5)
    assert answer.status_code == 416
    status = requests.get(url, timeout=5)
    assert status.status_code == 204
    assert status.headers["Range"] == "0-4"


def test_an_upload_may_be_given_up(registry: str) -> None:
    url = f"http://{registry}{start(registry).headers['Location']}"
    assert requests.delete(url, timeout=5).status_code == 204
    assert code(requests.patch(url, data=b"x", timeout=5)) == "BLOB_UPLOAD_UNKNOWN"


def test_content_that_is_not_what_its_digest_says_is_refused(registry: str) -> None:
    answer = requests.post(
        f"http://{registry}/v2/{NAME}/blobs/uploads/",
        params={"digest": digest(b"one")},
        data=b"other",
        timeout=5,
    )
    assert answer.status_code == 400
    assert code(answer) == "DIGEST_INVALID"
    blob = requests.head(f"http://{registry}/v2/{NAME}/blobs/{digest(b'one')}", timeout=5)
    assert blob.status_code == 404


def test_a_blob_that_was_damaged_on_disk_is_not_served(registry: str, folder: Path) -> None:
    wanted = push_blob(registry, NAME, b"content")
    (folder / "blobs" / wanted.replace(":", "/")).write_bytes(b"c0ntent")
    answer = requests.get(f"http://{registry}/v2/{NAME}/blobs/{wanted}", timeout=5)
    assert answer.status_code == 500
    assert "damaged" in answer.text


def test_sha512_is_a_digest_too(registry: str) -> None:
    wanted = "sha512:" + hashlib.sha512(b"content").hexdigest()
    url = f"http://{registry}/v2/{NAME}/blobs/uploads/"
    assert requests.post(url, params={"digest": wanted}, data=b"content", timeout=5).ok
    assert requests.get(f"http://{registry}/v2/{NAME}/blobs/{wanted}", timeout=5).ok


def test_a_blob_is_mounted_from_another_repository(registry: str) -> None:
    wanted = push_blob(registry, "other", b"content")
    answer = start(registry, mount=wanted, **{"from": "other"})
    assert answer.status_code == 201
    assert requests.get(f"http://{registry}{answer.headers['Location']}", timeout=5).ok


def test_a_mount_of_what_is_not_there_starts_an_upload(registry: str) -> None:
    answer = start(registry, mount=digest(b"nothing"), **{"from": "other"})
    assert answer.status_code == 202
    assert "/blobs/uploads/" in answer.headers["Location"]


def test_part_of_a_blob_is_served(registry: str) -> None:
    url = f"http://{registry}/v2/{NAME}/blobs/{push_blob(registry, NAME, b'0123456789')}"
    answer = requests.get(url, headers={"Range": "bytes=3-5"}, timeout=5)
    assert (answer.status_code, answer.content) == (206, b"345")
    assert answer.headers["Content-Range"] == "bytes 3-5/10"
    assert requests.get(url, headers={"Range": "bytes=20-"}, timeout=5).status_code == 416


def put(registry: str, body: object, kind: str = MANIFEST, tag: str = "t") -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://{registry}/v2/{NAME}/manifests/{tag}"
    return requests.put(url, data=data, headers={"Content-Type": kind}, timeout=5)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", "MANIFEST_INVALID"),
        (b"[]", "MANIFEST_INVALID"),
        ({"schemaVersion": 1}, "MANIFEST_INVALID"),
        ({"schemaVersion": 2}, "MANIFEST_INVALID"),
        (
            {"schemaVersion": 2, "config": {"digest": "x", "size": 1}, "layers": []},
            "MANIFEST_INVALID",
        ),
        (
            {
                "schemaVersion": 2,
                "config": {"digest": digest(b"nothing"), "size": 7},
                "layers": [],
            },
            "MANIFEST_BLOB_UNKNOWN",
        ),
        (b" " * 5_000_000, "SIZE_INVALID"),
    ],
)
def test_a_manifest_must_be_right_and_complete(registry: str, body: object, expected: str) -> None:
    assert code(put(registry, body)) == expected


def test_a_size_that_lies_is_refused(registry: str) -> None:
    config = {"digest": push_blob(registry, NAME, b"{}"), "size": 3}
    answer = put(registry, {"schemaVersion": 2, "config": config, "layers": []})
    assert code(answer) == "SIZE_INVALID"


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        (f"{NAME}/manifests/none", 404, "NAME_UNKNOWN"),
        (f"{NAME}/blobs/{digest(b'x')}", 404, "BLOB_UNKNOWN"),
        (f"{NAME}/blobs/sha256:short", 400, "DIGEST_INVALID"),
        ("UPPER/manifests/x", 400, "NAME_INVALID"),
        ("../../etc/manifests/x", 404, "NAME_UNKNOWN"),
        ("a/..%2f..%2fb/manifests/x", 400, "NAME_INVALID"),
        (f"{NAME}/tags/list", 404, "NAME_UNKNOWN"),
    ],
)
def test_what_is_not_there_is_told_in_the_form_of_the_specification(
    registry: str, path: str, status: int, expected: str
) -> None:
    answer = requests.get(f"http://{registry}/v2/{path}", timeout=5)
    assert (answer.status_code, code(answer)) == (status, expected)


def test_tags_come_in_pages(registry: str) -> None:
    for tag in ("a", "b", "c"):
        push(registry, NAME, tag=tag)
    first = requests.get(f"http://{registry}/v2/{NAME}/tags/list?n=2", timeout=5)
    assert first.json() == {"name": NAME, "tags": ["a", "b"]}
    rest = requests.get(f"http://{registry}{first.links['next']['url']}", timeout=5)
    assert rest.json()["tags"] == ["c"]
    assert "Link" not in rest.headers
    catalog = requests.get(f"http://{registry}/v2/_catalog", timeout=5)
    assert catalog.json() == {"repositories": [NAME]}


def test_a_deleted_manifest_is_gone_with_its_tags(registry: str) -> None:
    wanted = push(registry, NAME, tag="v1").partition("@")[2]
    url = f"http://{registry}/v2/{NAME}/manifests"
    assert requests.delete(f"{url}/{wanted}", timeout=5).status_code == 202
    assert code(requests.get(f"{url}/v1", timeout=5)) == "MANIFEST_UNKNOWN"


def test_images_are_there_after_a_restart(folder: Path) -> None:
    server = Registry(folder).serve()
    image = push(f"127.0.0.1:{server.port}", NAME)
    server.stop()
    server = Registry(folder).serve()
    wanted = image.partition("@")[2]
    url = f"{server.url}/v2/{NAME}/manifests/{wanted}"
    assert requests.get(url, timeout=5).status_code == 200
    server.stop()


@pytest.mark.real("skopeo")
def test_skopeo_pushes_pulls_and_inspects(registry: str, tmp_path: Path) -> None:
    push(registry, NAME, tag="v1")
    skopeo = shutil.which("skopeo") or ""

    def run(*arguments: str) -> str:
        return subprocess.run(
            [skopeo, *arguments], capture_output=True, text=True, timeout=60, check=True
        ).stdout

    source = f"docker://{registry}/{NAME}:v1"
    run("copy", "--src-tls-verify=false", source, f"dir:{tmp_path}/image")
    copy = f"docker://{registry}/copy/of:v2"
    run("copy", "--dest-tls-verify=false", f"dir:{tmp_path}/image", copy)
    first, second = (
        json.loads(run("inspect", "--tls-verify=false", name)) for name in (source, copy)
    )
    assert first["Digest"] == second["Digest"]
    assert first["Layers"] == second["Layers"]


@pytest.mark.real("docker")
def test_a_docker_engine_pushes_and_pulls(registry: str, tmp_path: Path) -> None:
    import docker

    client = docker.from_env()
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY file /pym/file\nCMD ["/none"]\n')
    (tmp_path / "file").write_text("content")
    name = f"{registry}/built/image"
    image, _ = client.images.build(path=str(tmp_path), tag=f"{name}:v1")
    pushed = list(client.images.push(name, tag="v1", stream=True, decode=True))
    found = next(line["aux"]["Digest"] for line in pushed if "aux" in line)
    client.images.remove(f"{name}:v1")
    again = client.images.pull(f"{name}@{found}")
    assert again.id == image.id
    client.images.remove(str(again.id), force=True)
    client.close()
