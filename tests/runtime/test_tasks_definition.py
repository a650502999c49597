"""What `@asynctask()` says at once of what would fail later, in a worker."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from pymacaron.config import ConfigError
from pymacaron.tasks import NoResult, asynctask, broker


@asynctask()
def send(order: int, *, urgent: bool = False) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1, 2), {}), ((1,), {"urgnet": True}), ((1,), {"order": 1})]
)
def test_a_wrong_call_fails_where_it_is_made(args: Any, kwargs: Any) -> None:
    with Flask("x").test_request_context("/"), pytest.raises(TypeError, match="argument"):
        send(*args, **kwargs)


def test_forgotten_parentheses_are_told() -> None:
    with pytest.raises(TypeError, match=r"write @asynctask\(\)"):

        @asynctask  # type: ignore[arg-type]
        def task() -> None: ...


def test_a_coroutine_function_is_refused() -> None:
    with pytest.raises(TypeError, match=r"no task of the coroutine function .*asyncio.run"):

        @asynctask()
        async def task() -> None: ...


@pytest.mark.parametrize("options", [{"delay": -1}, {"retries": -1}, {"time_limit": 0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="can't be negative"):
        asynctask(**options)


def test_of_two_tasks_with_one_name_a_warning_tells(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        asynctask()(lambda: None)
        assert not caplog.messages
        asynctask()(lambda: 2)

    assert "two tasks are called" in caplog.text
    assert caplog.text.count("test_tasks_definition.py:") >= 2


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["service/tasks.py"], "tasks.f"),
        (["-m", "service.tasks"], "service.tasks.f"),
        (["-m", "service"], "service.f"),
    ],
)
def test_a_task_of_the_started_module_has_the_name_of_its_import(
    tmp_path: Path, command: list[str], name: str
) -> None:
    code = "from pymacaron.tasks import asynctask\n@asynctask()\ndef f(): ...\nprint(f.task.name)"
    (tmp_path / "service").mkdir()
    for file in ("__init__.py", "tasks.py", "__main__.py"):
        (tmp_path / "service" / file).write_text("" if file == "__init__.py" else code)
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{name}\n"


@pytest.mark.parametrize(
    ("url", "text"),
    [("foo://host", "No such transport: foo"), ("zookeeper://host", "The kazoo library")],
)
def test_a_broker_that_nothing_here_speaks_with_is_told(url: str, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"broker_url can't be used: .*{text}.*needs a package"):
        broker.make_app({"broker_url": url})


def test_a_broker_without_results_takes_tasks_and_says_so_when_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYM_BROKER_URL", "memory://")
    monkeypatch.setattr(broker.process, "app", None)
    with Flask("x").test_request_context("/"):
        handle: Any = send(1)
    with pytest.raises(NoResult, match="set result_backend, or use Redis"):
        handle.get()
