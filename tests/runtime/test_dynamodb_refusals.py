"""DynamoDB when it does not do what it is asked: a stand-in that answers by a script."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pymacaron.dynamodb import StoreError, Table
from pymacaron.dynamodb.dynamo import ATTEMPTS, BATCH_ATTEMPTS, DynamoStore, make_client

TABLE = Table(name="profile", primary_key="id", key_types={"id": "S"})
Answer = Callable[[dict[str, Any], int], "dict[str, Any] | str"]
SETTINGS = {
    "aws_region": "eu-west-1",
    "aws_access_key_id": "a-key",
    "aws_secret_access_key": "a-secret",
}


@contextmanager
def answering(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[DynamoStore, list[Any]]]:
    """A store whose server answers with data, or with the error of a name; and the calls made.
    `answer` gets the request and how many came before it."""
    calls: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = answer(asked, len(calls))
            calls.append(asked)
            failed = isinstance(found, str)
            data = {"__type": f"com.amazonaws.dynamodb.v20120810#{found}"} if failed else found
            body = json.dumps(data).encode()
            self.send_response(400 if failed else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{server.server_port}")
    try:
        yield DynamoStore(lambda: make_client(SETTINGS)), calls
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    made: list[float] = []
    monkeypatch.setattr("time.sleep", made.append)
    return made


THROTTLED = (
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
)


@pytest.mark.parametrize("code", THROTTLED)
def test_a_throttled_call_is_made_again_after_a_pause(
    code: str, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(lambda _, before: code if before < 3 else {}, monkeypatch) as (store, calls):
        store.put(TABLE, {"id": "x"})
    assert len(calls) == 4
    assert len(pauses) == 3


def test_a_table_that_throttles_on_and_on_is_an_error_with_a_bound(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        answering(lambda *_: THROTTLED[0], monkeypatch) as (store, calls),
        pytest.raises(StoreError, match="table profile is used faster than its capacity allows"),
    ):
        store.put(TABLE, {"id": "x"})
    assert len(calls) == ATTEMPTS
    assert sum(pauses) <= 15


def test_keys_that_a_batch_leaves_out_are_asked_for_again(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(asked: dict[str, Any], _: int) -> dict[str, Any]:
        keys = asked["RequestItems"]["profile"]["Keys"]
        done, rest = keys[: len(keys) // 2 + 1], keys[len(keys) // 2 + 1 :]
        unprocessed = {"profile": {"Keys": rest}} if rest else {}
        return {"Responses": {"profile": done}, "UnprocessedKeys": unprocessed}

    with answering(half, monkeypatch) as (store, _):
        found = store.get(TABLE, [{"id": str(n)} for n in range(130)], consistent=True)
    assert sorted(int(item["id"]) for item in found) == list(range(130))
    assert pauses


def test_a_batch_that_is_never_answered_is_an_error(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(asked: dict[str, Any], _: int) -> dict[str, Any]:
        return {"Responses": {}, "UnprocessedKeys": asked["RequestItems"]}

    with (
        answering(none, monkeypatch) as (store, calls),
        pytest.raises(StoreError, match="table profile is read faster than its capacity allows"),
    ):
        store.get(TABLE, [{"id": "x"}], consistent=False)
    assert len(calls) == BATCH_ATTEMPTS
    assert sum(pauses) <= 15


def test_a_missing_permission_is_told_with_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        answering(lambda *_: "AccessDeniedException", monkeypatch) as (store, _),
        pytest.raises(StoreError, match="AWS does not allow this on table profile"),
    ):
        store.delete(TABLE, {"id": "x"})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"aws_region": "eu-west-1"}, "no AWS credentials for DynamoDB: set aws_access_key_id"),
        ({}, "no AWS region for DynamoDB: set aws_region"),
        ({"aws_region": "eu west"}, "DynamoDB can't be asked"),
    ],
)
def test_what_is_missing_to_ask_dynamodb_is_told(
    settings: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    # AWS's usual places, emptied: no file, and no machine that would give credentials.
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError) as caught:
        DynamoStore(lambda: make_client(settings)).put(TABLE, {"id": "x"})
    assert text in str(caught.value)


def test_an_endpoint_that_nobody_answers_at_is_told(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(lambda *_: {}, monkeypatch) as (store, _):
        pass
    with pytest.raises(StoreError, match="DynamoDB can't be asked: Could not connect"):
        store.put(TABLE, {"id": "x"})
    assert pauses
