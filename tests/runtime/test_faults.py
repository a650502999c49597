"""Random faults in all that surrounds a request never make a good answer bad."""

from __future__ import annotations

import logging
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from pymacaron import health
from pymacaron.config import PyMacaronConfig
from pymacaron.crash import ErrorHandling, report_error, report_warning
from pymacaron.monitor import backends, monitor
from pymacaron.reports import reports

FAULTS = 200


class Unshowable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


RAISED: tuple[BaseException, ...] = (
    RuntimeError("broken"),
    OSError(28, "No space left on device"),
    MemoryError(),
    RecursionError(),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no"),
    KeyError("x"),
    Unshowable(),
    StopIteration(),
)


class Weather:
    """Decides, by a seed, what fails at every turn."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def strike(self) -> None:
        if self._dice.random() < 0.7:
            raise self._dice.choice(RAISED)


class StormyBackend:
    def __init__(self, weather: Weather) -> None:
        self._weather = weather

    def section(self, kind: str, method: str) -> Any:
        self._weather.strike()
        return self

    def __enter__(self) -> None:
        self._weather.strike()

    def __exit__(self, *_: object) -> None:
        self._weather.strike()

    def started(self, info: object) -> None:
        self._weather.strike()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._weather.strike()

    def exception(self, code: str) -> None:
        self._weather.strike()

    def finished(self, info: object) -> None:
        self._weather.strike()


class StormySink(logging.Handler):
    """A handler that raises instead of asking handleError(), as careless ones do."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self._weather = weather

    def emit(self, record: logging.LogRecord) -> None:
        self._weather.strike()


class StormyStream:
    def __init__(self, weather: Weather) -> None:
        self._weather = weather

    def write(self, text: str) -> int:
        self._weather.strike()
        return len(text)

    def flush(self) -> None:
        self._weather.strike()

    def isatty(self) -> bool:
        return False


def stormy_reporter(weather: Weather, seed: int) -> Callable[..., object]:
    def report(title: str, data: dict[str, object], exception: object) -> None:
        data.clear()
        if seed % 25 == 0:
            time.sleep(0.02)
        if seed % 10 == 0:
            raise SystemExit(1)
        weather.strike()

    return report


@pytest.fixture
def sinks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[logging.Handler]]:
    """The root logger's handlers, put back afterwards."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield root.handlers
    root.handlers[:] = before


@pytest.mark.parametrize("start", range(0, FAULTS, 20))
def test_random_faults_never_spoil_an_answer(
    jwt_config: PyMacaronConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sinks: list[logging.Handler],
    start: int,
) -> None:
    assert jwt_config.name == "hello"
    for seed in range(start, start + 20):
        weather = Weather(seed)
        app = Flask("storm")

        @app.get("/good")
        def good() -> dict[str, str]:
            with monitor(kind="DB", method="query"):
                report_warning("odd", {"x": object()}, ValueError("x"))
                report_error("bad", caught=Unshowable())
            return {"answer": "good"}

        @app.get("/bad")
        def bad(seed: int = seed) -> str:
            raise RAISED[seed % len(RAISED)]

        handling = ErrorHandling()
        handling.install(app)
        sinks[:] = [StormySink(weather)]
        backends.active[:] = [StormyBackend(weather)]
        monkeypatch.setattr(reports, "_reporter", stormy_reporter(weather, seed))
        monkeypatch.setattr(reports, "_limit", 0.002)
        monkeypatch.setattr(sys, "stdout", StormyStream(weather))
        monkeypatch.setattr(sys, "stderr", StormyStream(weather))
        (tmp_path / "pym-config.yaml").write_bytes(random.Random(seed).randbytes(50))
        answers = [app.test_client().get(path) for path in ("/good", "/bad", "/nowhere")]
        handling.completed("op", "/good", "GET", time.perf_counter() - 5, 200, 2)
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        assert [a.status_code for a in answers] == [200, 500, 404], seed
        assert answers[0].json == {"answer": "good"}
        assert [a.get_json().get("error") for a in answers[1:]] == ["SERVER_ERROR", "NOT_FOUND"]


def test_ready_answers_503_while_a_hook_fails(jwt_config: PyMacaronConfig) -> None:
    app = Flask("ready")
    ErrorHandling().install(app)
    client = app.test_client()
    assert (client.get("/ready").status_code, client.get("/ready").json) == (200, {"ready": True})
    state = {"broken": True}

    def database() -> None:
        if state["broken"]:
            raise ConnectionError("no database")

    health.add_ping_hook([database, lambda: None])
    answer = client.get("/ready")
    assert (answer.status_code, answer.json) == (
        503,
        {"ready": False, "reason": "failed: database"},
    )
    state["broken"] = False
    assert client.get("/ready").status_code == 200


def test_a_hook_may_answer_false_and_must_be_a_function() -> None:
    health.add_ping_hook(lambda: False)
    assert health.health.check() == ["<lambda>"]
    with pytest.raises(TypeError, match="should be a function"):
        health.add_ping_hook("database")


def test_ready_says_no_while_shutting_down(jwt_config: PyMacaronConfig) -> None:
    app = Flask("ready")
    ErrorHandling().install(app)
    health.health.leave()
    answer = app.test_client().get("/ready")
    assert (answer.status_code, answer.json) == (503, {"ready": False, "reason": "shutting down"})


def test_a_ready_route_of_the_application_is_left_alone(jwt_config: PyMacaronConfig) -> None:
    app = Flask("ready")
    app.add_url_rule("/ready", "mine", lambda: "mine")
    ErrorHandling().install(app)
    assert app.test_client().get("/ready").text == "mine"
