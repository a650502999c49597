"""Reading images: layers upon layers, deletions, links, platforms; nothing leaves the folder."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from pymacaron_ci.simulator.images import Images, StoredImage, split_reference
from pymacaron_ci.simulator.instances import ImageNotFound, ImageUnusable
from pymacaron_ci.simulator.registry_store import Store, digest_of
from tests.ci.simulator.images import tarball

Link = tuple[str, str]  # kind (a tar type), target


def layer(store: Store, entries: dict[str, str | Link], compressed: bool = True) -> str:
    plain = {name: content for name, content in entries.items() if isinstance(content, str)}
    links = {name: content for name, content in entries.items() if not isinstance(content, str)}
    content = tarball(plain, compress=compressed and not links)
    if links:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, (kind, target) in links.items():
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind.encode(), target
                archive.addfile(info)
        content = buffer.getvalue()
    return put(store, content)


def put(store: Store, content: bytes) -> str:
    digest = digest_of(content)
    upload = store.start_upload()
    store.append(upload, [content])
    store.finish_upload("r", upload, digest)
    return digest


def unpacked(tmp_path: Path, *layers: dict[str, str | Link]) -> dict[str, str]:
    store = Store(tmp_path / "registry")
    image = StoredImage(
        repository="r", digest="d", layers=tuple((layer(store, entries), "") for entries in layers)
    )
    target = tmp_path / "pym"
    target.mkdir()
    Images(store, "").unpack(image, target)
    return {
        str(path.relative_to(target)): path.read_text()
        for path in sorted(target.rglob("*"))
        if path.is_file()
    }


def test_later_layers_lie_over_earlier_ones_and_only_the_code_is_taken(tmp_path: Path) -> None:
    files = unpacked(
        tmp_path,
        {"usr/bin/python3": "base", "pym/a": "1", "pym/b/c": "1"},
        {"./pym/a": "2", "/pym/d": "2", "pymore/x": "no"},
    )
    assert files == {"a": "2", "b/c": "1", "d": "2"}


def test_what_a_later_layer_deleted_is_gone(tmp_path: Path) -> None:
    files = unpacked(
        tmp_path,
        {"pym/a": "1", "pym/b/c": "1", "pym/b/d": "1", "pym/e/f": "1"},
        {"pym/.wh.a": "", "pym/b/.wh..wh..opq": "", "pym/b/new": "2", "pym/.wh.e": ""},
    )
    assert files == {"b/new": "2"}


SYMLINK, HARDLINK = "2", "1"


@pytest.mark.parametrize(
    "entries",
    [
        {"pym/../../escaped": "x"},
        {"pym/link": (SYMLINK, "../../..")},
        {"pym/link": (SYMLINK, "/etc/passwd")},
        {"../pym/escaped": "x"},
    ],
)
def test_nothing_leaves_the_folder(tmp_path: Path, entries: dict[str, str | Link]) -> None:
    before = set(tmp_path.parent.iterdir())
    assert unpacked(tmp_path, entries) == {}
    assert not list((tmp_path / "pym").iterdir())
    assert set(tmp_path.parent.iterdir()) == before


def test_a_file_behind_a_link_out_of_the_folder_is_not_written(tmp_path: Path) -> None:
    files = unpacked(tmp_path, {"pym/out": (SYMLINK, "..")}, {"pym/out/escaped": "x"})
    assert not (tmp_path / "escaped").exists()
    assert files == {"out/escaped": "x"}


def test_links_inside_the_folder_work(tmp_path: Path) -> None:
    files = unpacked(
        tmp_path,
        {"pym/a": "1"},
        {"pym/relative": (SYMLINK, "a"), "pym/absolute": (SYMLINK, "/pym/a")},
    )
    assert files == {"a": "1", "absolute": "1", "relative": "1"}


def test_a_layer_that_is_no_archive_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "registry")
    digest = put(store, b"this is no archive")
    image = StoredImage(repository="r", digest="d", layers=((digest, "kind"),))
    with pytest.raises(ImageUnusable, match="kind"):
        Images(store, "").unpack(image, tmp_path)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("127.0.0.1:5000/a/b:v1", ("a/b", "v1")),
        ("127.0.0.1:5000/a/b@sha256:0", ("a/b", "sha256:0")),
        ("eu-docker.pkg.dev/p/r/i:v1@sha256:0", ("p/r/i", "sha256:0")),
        ("a/b", ("a/b", "latest")),
    ],
)
def test_a_reference_is_a_repository_and_a_version(
    reference: str, expected: tuple[str, str]
) -> None:
    assert split_reference(reference) == expected


def test_an_index_leads_to_the_manifest_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    store = Store(tmp_path)
    kind = "application/vnd.oci.image.index.v1+json"
    children = []
    for architecture in ("arm64", "amd64"):
        config = put(store, json.dumps({"architecture": architecture}).encode())
        manifest = {"schemaVersion": 2, "config": {"digest": config}, "layers": []}
        digest = store.put_manifest("r", architecture, json.dumps(manifest).encode(), "m")
        platform = {"os": "linux", "architecture": architecture}
        children.append({"digest": digest, "platform": platform})
    images = Images(store, "")
    for present, expected in ((children, "amd64"), (children[:1], "")):
        store.put_manifest("r", "all", json.dumps({"manifests": present}).encode(), kind)
        if expected:
            assert images.find("r:all").architecture == expected
        else:
            with pytest.raises(ImageUnusable, match="no manifest for linux/amd64"):
                images.find("r:all")
    with pytest.raises(ImageNotFound):
        images.find("r:other")
