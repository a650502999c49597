"""Log lines: text or JSON, one a request, no secrets; a broken sink is nobody's problem."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from random import random
from typing import Any

import pytest
from flask import Flask

from pymacaron import log as logs
from pymacaron import request_log
from pymacaron.auth import generate_token, load_auth_token, requires_auth
from pymacaron.config import PyMacaronConfig
from pymacaron.context import RequestInfo, current, id_for, request_id
from pymacaron.crash import ErrorHandling
from pymacaron.log import get_logger, pymlogger, set_level, setup_logger, write_behind
from pymacaron.log_behind import MOST_UNTIDY, Behind, ready_made
from pymacaron.redaction import redactor
from tests.runtime.conftest import SECRET
from tests.runtime.served import until


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = before
    root.setLevel(level)


class Out:
    """All that was written to standard output."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._text = capsys, ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().out
        return self._text


@pytest.fixture
def out(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> Out:
    return Out(capsys)


def as_json(out: Out) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_text_lines_have_time_kind_pid_logger_level_and_message(
    out: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYM_LOG_FORMAT", "text")
    setup_logger()
    pymlogger("my.module").info("hello")
    line = out.getvalue()
    assert line.endswith("my.module - INFO - hello\n")
    assert " - FLASK " in line


def test_a_celery_worker_logs_as_worker(out: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYM_LOG_FORMAT", "text")
    setup_logger(celery=True)
    pymlogger().error("oh")
    assert " - WORKER " in out.getvalue()


@pytest.mark.usefixtures("jwt_config")
def test_text_lines_carry_the_user(out: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYM_LOG_FORMAT", "text")
    setup_logger()
    with Flask("x").test_request_context():
        load_auth_token(generate_token("ada"))
        pymlogger("x").info("hello")
    assert " [ada] x - INFO - hello" in out.getvalue()


def test_json_lines_have_the_names_that_clouds_understand(
    out: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYM_LOG_FORMAT", "json")
    monkeypatch.setenv("PYM_RELEASE", "r-17")
    setup_logger()
    log = pymlogger("x")
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(log, level)("to %s", "you")
    try:
        raise ValueError("odd")
    except ValueError:
        log.exception("with a trace")
    lines = as_json(out)
    assert [line["severity"] for line in lines] == [
        *("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "ERROR")
    ]
    assert lines[0]["message"] == "to you"
    assert lines[0]["release"] == "r-17"
    assert lines[0]["time"].endswith("Z")
    assert "ValueError: odd" in lines[-1]["exception"]


def test_2_x_names_still_work(out: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYM_LOG_FORMAT", "json")
    setup_logger()
    pymlogger("x").warn("100% sure")
    assert as_json(out)[0]["message"] == "100% sure"
    assert get_logger() is logging.getLogger()


def test_set_level_sets_what_is_logged(out: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYM_LOG_FORMAT", "json")
    setup_logger()
    set_level(logging.ERROR)
    pymlogger("x").warning("quiet")
    pymlogger("x").error("loud")
    assert [line["message"] for line in as_json(out)] == ["loud"]


def test_the_level_the_application_asked_for_stays(root: logging.Logger) -> None:
    root.handlers.clear()
    set_level(logging.WARNING)
    logs.setup_if_needed()
    assert (root.level, len(root.handlers)) == (logging.WARNING, 1)


def test_a_log_that_the_application_has_set_up_is_left_alone(root: logging.Logger) -> None:
    own = logging.NullHandler()
    root.handlers[:] = [own]
    logs.setup_if_needed()
    assert root.handlers == [own]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PYM_LOG_FORMAT": "json"}, True),
        ({"PYM_LOG_FORMAT": "TEXT", "K_SERVICE": "hello"}, False),
        ({"K_SERVICE": "hello"}, True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, True),
    ],
)
def test_json_is_for_containers(out: Out, environ: dict[str, str], expected: bool) -> None:
    assert logs.wants_json(environ) is expected


def test_a_terminal_gets_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    assert logs.wants_json({"K_SERVICE": "hello"}) is False


def test_every_line_of_json_is_one_line_whatever_is_in_it(
    out: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYM_LOG_FORMAT", "json")
    setup_logger()
    for text in ('"quoted"\\', "two\nlines", "\ud800", "\x00\x1b[31m", "é漢"):
        pymlogger("x").info("%s", text, extra={"fields": {"a": text, "b": [text], "c": 1.5}})
    lines = as_json(out)
    assert [line["message"] for line in lines] == [
        '"quoted"\\',
        "two\nlines",
        "\ud800",
        "\x00\x1b[31m",
        "é漢",
    ]
    assert lines[1]["b"] == ["two\nlines"]
    assert lines[1]["c"] == 1.5


def test_text_lines_survive_what_no_terminal_can_show(
    out: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYM_LOG_FORMAT", "text")
    setup_logger()
    pymlogger("x").info("lone \ud800 surrogate")
    out.getvalue().encode("utf-8")


@pytest.mark.parametrize("format_", ["json", "text"])
def test_a_secret_is_masked_wherever_it_turns_up(
    jwt_config: PyMacaronConfig,
    out: Out,
    monkeypatch: pytest.MonkeyPatch,
    format_: str,
) -> None:
    monkeypatch.setenv("PYM_LOG_FORMAT", format_)
    assert jwt_config.jwt_secret == SECRET
    setup_logger()
    log = pymlogger("x")
    log.info("it is %s", SECRET, extra={"fields": {"k": SECRET, "n": {"k": [SECRET]}}})
    try:
        raise RuntimeError(SECRET)
    except RuntimeError:
        log.exception("failed", stack_info=True)
    assert SECRET not in out.getvalue()


class BrokenStream(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_sink_that_fails_does_not_fail_who_logs(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup_logger()
    closed = io.StringIO()
    closed.close()
    for stream in (BrokenStream(), closed, None):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        pymlogger("x").error("nobody hears this %s", "")
        pymlogger("x").error("%d is no number", "this")


def test_the_request_line_has_all_there_is_to_know(
    jwt_config: PyMacaronConfig, out: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYM_LOG_FORMAT", "json")
    setup_logger()
    app = Flask("x")

    @app.get("/me/<name>")
    @requires_auth
    def me(name: str) -> dict[str, str]:
        return {"name": name}

    ErrorHandling().install(app)
    answer = app.test_client().get(
        "/me/bob?secret=x", headers={"Authorization": f"Bearer {generate_token('ada')}"}
    )
    lines = [line for line in as_json(out) if line["logger"] == "pymacaron.request"]
    assert len(lines) == 1
    line = lines[0]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/me/bob", 200)
    assert line["user"] == "ada"
    assert line["bytes"] == len(answer.data)
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert line["ms"] > 0


def test_probes_are_logged_when_they_fail_or_when_asked_for(
    jwt_config: PyMacaronConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    app = Flask("x")
    app.add_url_rule("/ping", "ping", lambda: "pong")
    ErrorHandling().install(app)
    client = app.test_client()
    caplog.clear()
    client.get("/ping")
    assert caplog.messages == []
    client.post("/ping")
    assert len(caplog.messages) == 1
    jwt_config.log_probes = True
    client.get("/ping")
    assert len(caplog.messages) == 2


def test_a_failure_is_logged_as_an_error_with_its_trace_once(
    jwt_config: PyMacaronConfig, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("x")

    @app.get("/die")
    def die() -> str:
        return str(1 / 0)

    ErrorHandling().install(app)
    app.test_client().get("/die")
    assert caplog.text.count("ZeroDivisionError: division by zero") == 1
    assert [r.levelname for r in caplog.records if r.name == "pymacaron.request"] == ["ERROR"]


def test_flasks_own_access_line_is_dropped_but_not_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    logs.quieten()
    werkzeug = logging.getLogger("werkzeug")
    werkzeug.info("127.0.0.1 - - [22/Nov/2026] %s", "GET /")
    werkzeug.info(" * Running on http://127.0.0.1:8080")
    assert [m for m in caplog.messages if "127.0.0.1" in m] == [
        " * Running on http://127.0.0.1:8080"
    ]


def test_the_request_id_is_known_within_the_request_only() -> None:
    assert request_id() == ""
    environ = {"HTTP_X_REQUEST_ID": "abc"}
    told = current.set(RequestInfo(environ=environ, id=id_for(environ)))
    assert request_id() == "abc"
    current.reset(told)
    assert request_id() == ""


HIDDEN = "hidden-by-the-tests-of-the-log"


class Collect(logging.Handler):
    """A handler of an application's own."""

    records = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.records += 1


@pytest.mark.parametrize("path", ["/me/bob", "/m\u00fcller\n\x1b[2J", f"/{HIDDEN}"])
@pytest.mark.parametrize("status", [200, 503])
def test_the_line_of_a_request_is_the_same_whoever_listens(
    out: Out,
    root: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    status: int,
) -> None:
    monkeypatch.setenv("PYM_LOG_FORMAT", "json")
    setup_logger()
    redactor.hide([HIDDEN])
    in_latin_1 = path.encode().decode("latin-1")
    info = RequestInfo(environ={"PATH_INFO": in_latin_1}, id="id-1")
    info.user, info.trace_id = "ada", "t1"
    token = current.set(info)
    try:
        request_log.write("GET", "/{x}", status, 0.0123, 7, info)
        write_behind()
        monkeypatch.setattr(request_log, "_lane", request_log._Lane())
        request_log.write("GET", "/{x}", status, 0.0123, 7, info)
        collect = Collect()
        root.addHandler(collect)
        monkeypatch.setattr(request_log, "LOOKED_UP", 0)
        request_log.write("GET", "/{x}", status, 0.0123, 7, info)
    finally:
        current.reset(token)
    root.handlers[0].flush()
    at_once, quick, slow = (list({**line, "time": ""}.items()) for line in as_json(out))
    assert at_once == quick == slow
    assert collect.records == 1
    assert ("severity", "ERROR" if status == 503 else "INFO") in quick
    assert HIDDEN not in out.getvalue()


def test_lines_written_behind_keep_their_order_and_none_is_cut() -> None:
    pieces: list[str] = []
    behind = Behind(pieces.append, lambda: random() < 0.9, pause=0.001)
    lines = [f"{number} {'x' * (number % 500)}\n" for number in range(2000)]
    lines.append("y" * 10_000 + "\n")
    for line in lines:
        behind.add(ready_made(line[:-1]))
    behind.flush()
    assert "".join(pieces) == "".join(lines)
    assert all(piece.endswith("\n") for piece in pieces)
    assert all(len(piece) <= 4096 for piece in pieces[:-1])
    assert len(pieces) < len(lines) / 5


def test_a_server_that_tidies_has_lines_written_then() -> None:
    written: list[str] = []
    ready = [True]
    behind = Behind(written.append, lambda: ready[0], pause=60)
    tidy = behind.let_tidy()
    for number in range(100):
        behind.add(ready_made(str(number)))
    assert not written
    ready[0] = False
    tidy()
    assert not written  # whoever reads the log is slow, and nobody waits for that
    ready[0] = True
    tidy()
    assert "".join(written) == "".join(f"{number}\n" for number in range(100))
    for _ in range(MOST_UNTIDY):  # and nobody tidies
        behind.add(ready_made("x" * 100))
    assert len(written) > 1


def test_what_is_written_behind_comes_by_itself_and_warnings_come_at_once(out: Out) -> None:
    setup_logger()
    logs.write_behind()
    log = get_logger()
    log.info("first")
    log.warning("second")
    text = out.getvalue()
    assert text.index("first") < text.index("second")
    log.info("third")
    until(lambda: "third" in out.getvalue(), "it never came")
