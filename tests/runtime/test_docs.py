"""docs/runtime.md is true: its files are a service, its Python runs, its calls are answered so."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from doctest import ELLIPSIS, OutputChecker
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.exceptions import default_exceptions

from pymacaron import exceptions
from pymacaron.auth import generate_token
from pymacaron.config import PyMacaronConfig
from pymacaron.model.base import encoders
from pymacaron.openapi import SpecError
from pymacaron.pool import use_pool

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/runtime.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "runtime/pymacaron"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:py|yaml))\n")
SPAN = re.compile(r"`([^`\n]+)`")
PROSE = BLOCK.sub("", PAGE)


class Block(NamedTuple):
    kind: str
    text: str
    file: str | None


def blocks(*kinds: str) -> list[Block]:
    found = []
    for kind, text in BLOCK.findall(PAGE):
        named = FILE.match(text)
        found.append(Block(kind, text, named[1] if named else None))
    return [block for block in found if block.kind in kinds]


def calls() -> list[tuple[str, str]]:
    """The page's curl commands, each with the answer below it."""
    lines = "".join(block.text for block in blocks("console")).splitlines()
    return [
        (command.removeprefix("$ "), answer)
        for command, answer in zip(lines[::2], lines[1::2], strict=True)
    ]


@pytest.fixture
def service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_config: PyMacaronConfig
) -> Iterator[ModuleType]:
    """The page's own service, started as gunicorn would."""
    del fresh_config  # reads the page's pym-config.yaml when it is asked
    for block in blocks("python", "yaml"):
        if block.file is not None:
            path = tmp_path / block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    (tmp_path / "cards/__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["gunicorn"])
    monkeypatch.setenv("CARDS_JWT_SECRET", "a-secret-of-the-page-that-is-long-enough")
    monkeypatch.delenv("PYM_ENV", raising=False)
    monkeypatch.delenv("PYM_RELEASE", raising=False)
    monkeypatch.setattr(encoders, "custom", None)
    # The page's own error classes, so that a second test may define them again.
    monkeypatch.setattr(exceptions, "code_to_class", dict(exceptions.code_to_class))
    for name in ("server", "cards", "cards.api", "cards.orders"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with use_pool():
        yield __import__("server")
        for name in ("server", "cards", "cards.api", "cards.orders"):
            sys.modules.pop(name, None)


def curl(client: FlaskClient, command: str) -> str:
    words = iter(shlex.split(command.replace("$TOKEN", generate_token("ada")))[1:])
    headers: dict[str, str] = {}
    url, data = "", None
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            data = next(words)
        else:
            assert not word.startswith("-"), f"the test does not know curl's {word}"
            url = word
    parts = urlsplit(f"http://{url}")
    method = "GET" if data is None else "POST"
    answer = client.open(
        parts.path, query_string=parts.query, method=method, data=data, headers=headers
    )
    return answer.get_data(as_text=True)


def test_every_call_of_the_page_is_answered_as_it_says(service: ModuleType) -> None:
    client = service.app.test_client()
    wrong = {
        command: got
        for command, expected in calls()
        if not OutputChecker().check_output(expected, got := curl(client, command), ELLIPSIS)
    }
    assert len(calls()) > 8
    assert wrong == {}


def test_the_python_of_the_page_runs_from_top_to_bottom(service: ModuleType) -> None:
    del service  # its models are loaded, its config is found
    namespace: dict[str, Any] = {"__name__": "page"}
    snippets = [block.text for block in blocks("python") if block.file is None]
    assert len(snippets) > 5
    for snippet in snippets:
        exec(compile(snippet, "docs/runtime.md", "exec"), namespace)


def test_a_handler_that_is_missing_is_told_as_the_page_says(
    service: ModuleType, tmp_path: Path
) -> None:
    file = tmp_path / "apis/cards.yaml"
    text = file.read_text(encoding="utf-8").replace("cards.api.whoami", "cards.api.whoamy")
    file.write_text(text, encoding="utf-8")
    with use_pool(), pytest.raises(SpecError) as error:
        service.start(8080)
    assert str(error.value).removeprefix(f"{tmp_path}/") in PAGE


def source() -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(PACKAGE.rglob("*.py")))


def test_every_environment_variable_and_error_code_of_the_page_is_in_the_code() -> None:
    derived = {error.name.upper().replace(" ", "_") for error in map(_http, default_exceptions)}
    own = {"CARDS_JWT_SECRET", "CARDS_SOLD_OUT", "TOO_MANY_CARDS", "OTEL_"}
    text = source()
    words = {
        w
        for span in SPAN.findall(PROSE)
        for w in re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]*\b", span)
    }
    assert "PYM_LOG_FORMAT" in words
    assert [w for w in sorted(words - own - derived) if f'"{w}"' not in text] == []


def _http(status: int) -> Any:
    return default_exceptions[status]()


def test_every_setting_of_the_page_is_read_by_the_code() -> None:
    text = source()
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+): [^`]+`", PROSE))
    for table in re.findall(r"^\| setting \|.*?\n\n", PROSE, re.MULTILINE | re.DOTALL):
        for row in table.strip().splitlines()[2:]:
            named |= set(SPAN.findall(row.split("|")[1]))
    assert {"jwt_renew", "strict_models", "apis_path"} <= named
    assert [n for n in sorted(named) if f'"{n}"' not in text] == []


def test_every_link_of_the_page_leads_somewhere() -> None:
    titles = {
        re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", PROSE):
        if target.startswith("#"):
            assert target[1:] in titles, target
        else:
            assert (ROOT / "docs" / target.partition("#")[0]).exists(), target


def test_the_readme_of_the_package_is_what_pypi_shows() -> None:
    project = (ROOT / "runtime/pyproject.toml").read_text(encoding="utf-8")
    assert 'readme = "README.md"' in project
    assert (ROOT / "runtime/README.md").read_text(encoding="utf-8").startswith("# pymacaron")
    assert json.dumps("LICENSE") in project
