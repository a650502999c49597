"""What the runtime's tests share: a config file of their own, and nothing of an earlier test.

With PYMACARON_TEST_ROAD=flask all operations take Flask's own road."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pymacaron import config as settings
from pymacaron.config import PyMacaronConfig, use_config
from pymacaron.health import health
from pymacaron.monitor import backends
from pymacaron.redaction import redactor
from pymacaron.reports import reports

SECRET = "a-secret-of-the-tests-that-is-long-enough"

WriteConfig = Callable[..., PyMacaronConfig]


@pytest.fixture
def fresh_config() -> Iterator[PyMacaronConfig]:
    """A config object that has loaded nothing yet, in the place of the process's own."""
    config = PyMacaronConfig()
    before = use_config(config)
    yield config
    use_config(before)


@pytest.fixture
def write_config(
    fresh_config: PyMacaronConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> WriteConfig:
    """Writes pym-config.yaml into an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "pym-config.yaml") -> PyMacaronConfig:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return fresh_config

    return write


@pytest.fixture
def jwt_config(write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> PyMacaronConfig:
    """The config of a service that uses tokens; calls are never slow enough to be reported."""
    monkeypatch.setenv("TEST_JWT_SECRET", SECRET)
    return write_config(
        "name: hello\nlive_url: https://hello.example.com\njwt_secret: TEST_JWT_SECRET\n"
        "jwt_issuer: hello.example.com\njwt_audience: greeters\nenv_secrets:\n- TEST_JWT_SECRET\n"
        "report_call_exceeding_ms: 3600000\n"
    )


@pytest.fixture(autouse=True)
def fresh_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reporter, no monitoring, no ping hooks, no secret values of an earlier test."""
    monkeypatch.setattr(reports, "_reporter", None)
    monkeypatch.setattr(backends, "active", [])
    monkeypatch.setattr(health, "hooks", [])
    monkeypatch.setattr(health, "_leaving", bytearray(1))
    monkeypatch.setattr(redactor, "_values", frozenset())
    monkeypatch.setattr(redactor, "_pattern", None)


@pytest.fixture(autouse=True)
def road(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.environ.get("PYMACARON_TEST_ROAD") == "flask":
        monkeypatch.setattr(settings, "DEFAULTS", {**settings.DEFAULTS, "fast_path": False})
