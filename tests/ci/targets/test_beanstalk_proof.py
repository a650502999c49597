"""What a report says of an environment that is not well."""

from __future__ import annotations

import json

import pytest

from pymacaron_ci.targets.beanstalk import proof


def test_log_records_are_told_as_text_and_repeated_lines_once() -> None:
    trace = "Traceback (most recent call last):\n" + "\n".join(f"  line {n}" for n in range(20))
    record = {
        "severity": "ERROR",
        "message": "Exception in worker process",
        "exception": f"{trace}\nRuntimeError: broken",
        "pid": 7,
    }
    lines = ["-" * 40, "/var/log/app.log", "-" * 40]
    lines += [
        json.dumps(record),
        json.dumps({**record, "pid": 8}),
        "plain text",
        "{broken json",
        "",
    ]
    told = proof.readable(lines)
    assert told[:2] == ["/var/log/app.log", "ERROR Exception in worker process"]
    assert told[-3:] == ["RuntimeError: broken", "plain text", "{broken json"]
    assert len(told) < 12


def test_a_service_that_starts_again_and_again_is_told_once() -> None:
    lines = []
    for number in range(100):
        lines += [f"Booting worker with pid: {number}", "no such database"]
    assert proof.readable(lines) == ["Booting worker with pid: 0", "no such database"]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("pull access denied for acme/hello", "log-in"),
        ("manifest for acme/hello not found: manifest unknown", "not in the registry"),
        ("exec /opt/venv/bin/gunicorn: exec format error", "another CPU"),
        ("Worker (pid:7) was sent SIGKILL! Perhaps out of memory?", "too little memory"),
        ("ModuleNotFoundError: No module named 'x'", "requirements.txt"),
        ("The instance profile p associated with the environment does not exist.", "profile"),
        ("ELB processes are not healthy on all instances.", "aws_health_path"),
        ("all is well", None),
    ],
)
def test_known_texts_have_a_probable_cause(text: str, meaning: str | None) -> None:
    found = proof.cause(text)
    assert found is None if meaning is None else meaning in (found or "")
