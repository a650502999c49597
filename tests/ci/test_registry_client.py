from __future__ import annotations

import io
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import oci, registry
from pymacaron_ci.images.logins import Login
from pymacaron_ci.images.wire import Name
from tests.ci.faulty_registry import Handler, State, faulty_registry, first
from tests.ci.image_parts import Hurried

BIG = random.Random(1).randbytes(2_500_000)


class Repository(registry.Repository):
    """With chunks that a test can send many of."""

    MONOLITHIC = 1 << 18
    CHUNK = 1 << 20


@pytest.fixture
def state() -> Iterator[State]:
    with faulty_registry() as running:
        yield running


@pytest.fixture
def clock() -> Hurried:
    return Hurried()


def repository(state: State, clock: Hurried, login: Login | None = None) -> Repository:
    return Repository(Name(host=state.host, path="demo"), lambda: login, clock)


def blob(content: bytes, folder: Path | None = None) -> oci.Blob:
    held: bytes | Path = content
    if folder:
        held = folder / "blob"
        held.write_bytes(content)
    return oci.Blob(
        digest=oci.digest_of(content), size=len(content), media_type=oci.LAYER, content=held
    )


def image(content: bytes = b"layer") -> tuple[oci.Blob, oci.Blob, oci.Blob]:
    layer, config = blob(content), oci.json_blob({}, oci.CONFIG)
    return layer, config, oci.manifest(config, [layer.descriptor()], {})


@pytest.mark.parametrize(
    ("named", "host", "path"),
    [
        ("python", "registry-1.docker.io", "library/python"),
        ("me/app", "registry-1.docker.io", "me/app"),
        ("docker.io/me/app", "registry-1.docker.io", "me/app"),
        ("localhost/app", "localhost", "app"),
        ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000", "a/b/c"),
        ("ghcr.io/me/app", "ghcr.io", "me/app"),
    ],
)
def test_repositories_are_read_as_docker_reads_them(named: str, host: str, path: str) -> None:
    assert registry.parse(named) == Name(host=host, path=path)


@pytest.mark.parametrize(
    ("named", "parts"),
    [
        ("python:3.11-slim", ("python", "3.11-slim")),
        ("python", ("python", "latest")),
        ("127.0.0.1:5000/python", ("127.0.0.1:5000/python", "latest")),
        ("127.0.0.1:5000/python:1", ("127.0.0.1:5000/python", "1")),
        ("a/b@sha256:00", ("a/b", "sha256:00")),
        ("a/b:1@sha256:00", ("a/b", "sha256:00")),
    ],
)
def test_an_images_name_is_split_at_its_tag_or_digest(named: str, parts: tuple[str, str]) -> None:
    assert registry.split(named) == parts


def test_what_is_there_is_not_sent_again(state: State, clock: Hurried) -> None:
    layer, config, manifest = image()
    target = repository(state, clock)
    assert target.push_all([layer, config]) == layer.size + config.size
    assert target.push_manifest(manifest, "1") == manifest.digest
    received = state.received
    assert repository(state, clock).push_all([layer, config]) == 0
    assert state.received == received
    read = target.manifest("1")
    assert read
    assert read.digest == manifest.digest


def test_a_big_blob_goes_in_chunks_and_comes_back_whole(
    state: State, clock: Hurried, tmp_path: Path
) -> None:
    target = repository(state, clock)
    sent = blob(BIG, tmp_path)
    assert target.push(sent)
    assert state.count("PATCH", "uploads") == 3
    back = io.BytesIO()
    target.download(sent.digest, back)
    assert back.getvalue() == BIG


def drop_in_the_middle(handler: Handler) -> None:
    upload = handler.path.rsplit("/", 1)[1]
    length = int(handler.headers["Content-Length"])
    handler.state.uploads[upload] += handler.rfile.read(length // 2)
    handler.state.received += length // 2
    handler.hang_up()


def test_a_broken_upload_goes_on_where_it_ended(
    state: State, clock: Hurried, tmp_path: Path
) -> None:
    seen = [0]

    def second_patch(handler: Handler, path: str) -> bool:
        seen[0] += handler.command == "PATCH"
        if handler.command == "PATCH" and seen[0] == 2:
            drop_in_the_middle(handler)
            return True
        return False

    state.faults.append(second_patch)
    sent = blob(BIG, tmp_path)
    assert repository(state, clock).push(sent)
    assert state.blobs["demo", sent.digest] == BIG
    assert state.received == len(BIG)  # nothing twice


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_passing_trouble_is_waited_out(
    state: State, clock: Hurried, status: int, tmp_path: Path
) -> None:
    for method, pattern in (("HEAD", "blobs"), ("POST", "uploads"), ("PATCH", "uploads")):
        state.faults.append(first(1, method, pattern, lambda h: h.error(status, "UNAVAILABLE")))
    state.faults.append(first(2, "PUT", "manifests", lambda h: h.error(status, "X")))
    layer, config, manifest = image()
    target = repository(state, clock)
    target.push(blob(BIG, tmp_path))
    target.push_all([layer, config])
    assert target.push_manifest(manifest, "1") == manifest.digest
    assert clock.pauses


def test_retry_after_is_obeyed_within_reason(state: State, clock: Hurried) -> None:
    state.faults.append(
        first(1, "HEAD", "blobs", lambda h: h.error(429, "TOOMANYREQUESTS", Retry_After="7"))
    )
    state.faults.append(
        first(1, "HEAD", "blobs", lambda h: h.error(429, "TOOMANYREQUESTS", Retry_After="99999"))
    )
    assert not repository(state, clock).has("sha256:00")
    assert clock.pauses == [7, 30]


def test_a_registry_that_dies_is_named_and_nothing_is_published(
    state: State, clock: Hurried
) -> None:
    state.faults.append(first(999, "PUT", "manifests", lambda h: h.hang_up()))
    layer, config, manifest = image()
    target = repository(state, clock)
    target.push_all([layer, config])
    with pytest.raises(BuildError, match=f"the registry {state.host} does not answer") as caught:
        target.push_manifest(manifest, "1")
    assert "nothing was published" in str(caught.value.problems[0].hint)
    assert not state.manifests
    assert len(clock.pauses) == 5
    state.faults.clear()
    received = state.received
    again = repository(state, clock)
    assert again.push_all([layer, config]) == 0  # the next run resumes
    again.push_manifest(manifest, "1")
    assert state.received - received == manifest.size


def test_an_upload_that_always_breaks_ends_with_an_error(
    state: State, clock: Hurried, tmp_path: Path
) -> None:
    state.faults.append(first(999, "PATCH", "uploads", lambda h: h.hang_up()))
    with pytest.raises(BuildError, match="breaks off the upload"):
        repository(state, clock).push(blob(BIG, tmp_path))
    assert len(clock.pauses) == 5


def lie(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def test_a_blob_that_is_not_what_its_digest_says_is_refused(state: State, clock: Hurried) -> None:
    good = blob(b"good")
    state.blobs["demo", good.digest] = lie(b"good")
    with pytest.raises(BuildError, match="answered other bytes"):
        repository(state, clock).fetch(good.digest)


def test_a_manifest_that_is_not_what_its_digest_says_is_refused(
    state: State, clock: Hurried
) -> None:
    _, _, manifest = image()
    state.manifests["demo", manifest.digest] = (oci.MANIFEST, b"{}")
    with pytest.raises(BuildError, match=r"answered sha256:.* as sha256:"):
        repository(state, clock).manifest(manifest.digest)


@pytest.mark.parametrize(("method", "pattern"), [("PUT", "manifests"), ("PUT", "uploads")])
def test_a_registry_that_stores_something_else_is_found_out(
    state: State, clock: Hurried, method: str, pattern: str
) -> None:
    def store_else(handler: Handler) -> None:
        handler.body()
        handler.answer(201, Docker_Content_Digest="sha256:" + "0" * 64)

    state.faults.append(first(9, method, pattern, store_else))
    layer, config, manifest = image()
    target = repository(state, clock)

    def publish() -> None:
        target.push_all([layer, config])
        target.push_manifest(manifest, "1")

    with pytest.raises(BuildError, match="stored sha256:0000"):
        publish()


def test_a_cut_off_download_goes_on_where_it_ended(state: State, clock: Hurried) -> None:
    sent = blob(BIG)
    state.blobs["demo", sent.digest] = BIG

    def cut(handler: Handler) -> None:
        handler.answer(200, BIG[: 1 << 20], told=len(BIG))
        handler.hang_up()

    state.faults.append(first(1, "GET", "blobs", cut))
    back = io.BytesIO()
    repository(state, clock).download(sent.digest, back)
    assert back.getvalue() == BIG
    assert state.count("GET", "blobs") == 2


def test_blobs_of_a_neighbouring_repository_are_mounted_not_sent(
    state: State, clock: Hurried
) -> None:
    layer = blob(b"base")
    state.blobs["base", layer.digest] = b"base"
    target = repository(state, clock)
    assert target.mount(layer.digest, Name(host=state.host, path="base"))
    assert target.has(layer.digest)
    assert not target.mount(layer.digest, Name(host="elsewhere.example.com", path="base"))
    assert not target.mount("sha256:00", Name(host=state.host, path="base"))
    assert state.received == 0


def test_a_token_is_fetched_with_the_log_in_and_renewed_when_it_ends(
    state: State, clock: Hurried, tmp_path: Path
) -> None:
    state.tokens, state.accounts = ["Bearer none"], {"carol": "right"}
    target = repository(state, clock, Login(user="carol", password="right"))
    assert not target.has("sha256:00")
    scopes = [query["scope"] for query in state.token_requests]
    assert scopes == [["repository:demo:pull,push"]]
    seen = [0]

    def end_in_the_middle(handler: Handler, path: str) -> bool:
        seen[0] += handler.command == "PATCH"
        if seen[0] == 2:
            state.tokens[:] = ["Bearer none"]
            seen[0] += 1
        return False

    state.faults.append(end_in_the_middle)
    sent = blob(BIG, tmp_path)
    target.push(sent)
    assert state.blobs["demo", sent.digest] == BIG
    assert len(state.token_requests) == 2


@pytest.mark.parametrize(
    ("login", "text"),
    [
        (None, "wants a log-in to use demo"),
        (Login(user="carol", password="wr0ng"), "refused the log-in of carol to .* demo"),
    ],
)
def test_a_refused_log_in_says_whose_and_where_but_never_the_password(
    state: State, clock: Hurried, login: Login | None, text: str
) -> None:
    state.tokens, state.accounts = ["Bearer none"], {"carol": "right"}
    with pytest.raises(BuildError, match=text) as caught:
        repository(state, clock, login).manifest("1")
    assert state.host in str(caught.value)
    assert "wr0ng" not in str(caught.value)
    assert not clock.pauses  # no use in trying again


def test_a_missing_permission_names_who_what_and_where(state: State, clock: Hurried) -> None:
    state.faults.append(first(9, "POST", "uploads", lambda h: h.error(403, "DENIED")))
    with pytest.raises(BuildError, match=r"an anonymous user may not push to demo at the registry"):
        repository(state, clock).push(blob(b"x"))


def test_a_missing_repository_is_told_from_a_missing_image(state: State, clock: Hurried) -> None:
    assert repository(state, clock).manifest("none") is None
    state.faults.append(first(9, "POST", "uploads", lambda h: h.error(404, "NAME_UNKNOWN")))
    with pytest.raises(BuildError, match="has no repository demo"):
        repository(state, clock).push(blob(b"x"))


def test_credentials_are_never_sent_without_encryption_beyond_this_machine(
    state: State, clock: Hurried
) -> None:
    challenge = 'Bearer realm="http://evil.example.com/token",service="x"'
    state.faults.append(
        first(9, "GET", "manifests", lambda h: h.error(401, "X", WWW_Authenticate=challenge))
    )
    login = Login(user="carol", password="right")
    with pytest.raises(BuildError, match=r"led to http://evil\.example\.com, which is not https"):
        repository(state, clock, login).manifest("1")


def test_an_upload_that_is_sent_elsewhere_does_not_take_the_credentials_along(
    state: State, clock: Hurried
) -> None:
    with faulty_registry() as other:
        seen: list[str | None] = []
        other.uploads["u0"] = bytearray()

        def look(handler: Handler, path: str) -> bool:
            seen.append(handler.headers.get("Authorization"))
            return False

        other.faults.append(look)
        state.tokens, state.accounts = ["Bearer none"], {"carol": "right"}
        away = f"http://{other.host}/v2/demo/blobs/uploads/u0"
        state.faults.append(first(2, "POST", "uploads", lambda h: h.answer(202, Location=away)))
        sent = blob(b"x")
        target = repository(state, clock, Login(user="carol", password="right"))
        assert target.push(sent)
        assert seen == [None]


def swallow(handler: Handler, path: str) -> bool:
    """A peer that keeps nothing, so that only our side is measured."""
    if handler.command not in ("PATCH", "PUT"):
        return False
    left = int(handler.headers["Content-Length"])
    while left:
        left -= len(handler.rfile.read(min(left, 65536)))
    handler.answer(202 if handler.command == "PATCH" else 201, told=None, Location=handler.path)
    return True


def test_a_whole_blob_is_never_in_memory(state: State, clock: Hurried, tmp_path: Path) -> None:
    state.faults.append(swallow)
    sent = blob(bytes(32 << 20), tmp_path)
    tracemalloc.start()
    try:
        registry.Repository(Name(host=state.host, path="demo"), clock=clock).push(sent)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
