"""The log's commands, judged by the runner's own rules."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymacaron_ci.github.commands import (
    LONGEST_MESSAGE,
    MOST_ANNOTATIONS,
    Commands,
    Log,
    annotation,
    command,
    from_root,
    masks,
    plain,
)
from pymacaron_ci.model import Location, Problem, Secret
from tests.action.runner import Runner, masked, parse

NASTY = [
    "::error::x",
    "  ::set-output name=a::b",
    "a\n::error::x",
    "a\r::error::x",
    "\t::stop-commands::t",
    "x ##[error]y",
    "##[add-mask]a",
    "\ufeff::warning::x",
]


def log(folder: Path = Path()) -> tuple[io.StringIO, Commands, Log]:
    out = io.StringIO()
    commands = Commands(out, root=folder, folder=folder)
    return out, commands, Log(out, commands)


@given(st.text(), st.text())
def test_a_command_says_what_it_was_given(message: str, title: str) -> None:
    line = command("error", message, title=title, file="a:b,c%.yaml")
    assert "\n" not in line
    assert "\r" not in line
    found = parse(line)
    assert found is not None
    assert found.message == message
    assert found.properties.get("title", "") == title
    assert found.properties["file"] == "a:b,c%.yaml"


@given(st.text(alphabet=":#[]\r\n\t ax\x85\u2028"))
def test_no_text_becomes_a_command(text: str) -> None:
    out, _, stream = log()
    stream.write(text + "\n")
    runner = Runner().read(out.getvalue())
    assert runner.commands == []
    assert runner.stopped_by is None


@pytest.mark.parametrize("text", NASTY)
def test_a_nasty_line_stays_one_line_of_text(text: str) -> None:
    shown = plain(text)
    assert parse(shown) is None
    assert "\n" not in shown
    assert "\r" not in shown


@pytest.mark.parametrize("text", NASTY)
def test_foreign_output_is_left_as_it_is_and_is_not_obeyed(text: str) -> None:
    out, commands, stream = log()
    with commands.foreign():
        stream.write(text + "\n")
    assert text in out.getvalue()
    assert Runner().read(out.getvalue()).commands == []


def test_a_line_that_comes_in_halves_is_no_command() -> None:
    out, _, stream = log()
    for half in (":", ":error", "::x", "\n"):
        stream.write(half)
        stream.flush()
    assert Runner().read(out.getvalue()).commands == []


def test_the_last_line_is_written_even_without_its_end() -> None:
    out, _, stream = log()
    stream.write("almost")
    stream.close()
    assert out.getvalue() == "almost\n"


def test_our_commands_are_obeyed_amid_foreign_output() -> None:
    out, commands, stream = log()
    with commands.foreign():
        stream.write("::error::not ours\n")
        commands.mask([Secret("A", "hunter2")])
        stream.write("::error::not ours either\n")
    runner = Runner().read(out.getvalue())
    assert [c.name for c in runner.commands] == ["add-mask"]
    assert runner.stopped_by is None


def test_each_stop_has_a_token_nobody_can_guess() -> None:
    tokens = set()
    for _ in range(3):
        out, commands, _ = log()
        with commands.foreign():
            tokens.add(out.getvalue())
    assert len(tokens) == 3


def test_commands_are_heard_again_after_an_error_in_foreign_output() -> None:
    out, commands, _ = log()
    with pytest.raises(RuntimeError), commands.group("Build"), commands.foreign():
        raise RuntimeError
    commands.notice("after")
    assert [c.name for c in Runner().read(out.getvalue()).commands] == [
        "group",
        "endgroup",
        "notice",
    ]


def test_nested_groups_are_one_group() -> None:
    out, commands, _ = log()
    with commands.group("Outer"), commands.group("Inner"):
        pass
    assert [c.message for c in Runner().read(out.getvalue()).commands] == ["Outer", ""]


def test_a_problem_stands_on_its_line_of_the_repository(tmp_path: Path) -> None:
    service = tmp_path / "services" / "hello"
    service.mkdir(parents=True)
    problem = Problem(
        text="wrong: 50%",
        hint="mend it",
        location=Location(file="services/hello/pym-config.yaml", line=3, column=5, length=4),
    )
    found = parse(annotation(problem, tmp_path, tmp_path, title="Config"))
    assert found is not None
    assert found.properties == {
        "title": "Config",
        "file": "services/hello/pym-config.yaml",
        "line": "3",
        "col": "5",
        "endColumn": "8",
    }
    assert found.message == "wrong: 50%\nmend it"
    assert from_root("pym-config.yaml", tmp_path, service) == "services/hello/pym-config.yaml"
    assert from_root(str(service / "a.yaml"), tmp_path, tmp_path) == "services/hello/a.yaml"
    assert from_root("/elsewhere/a.yaml", tmp_path, tmp_path) == "/elsewhere/a.yaml"


def test_a_column_without_a_line_is_left_out(tmp_path: Path) -> None:
    found = parse(annotation(Problem(text="x", location=Location(file="a")), tmp_path, tmp_path))
    assert found is not None
    assert found.properties == {"file": "a"}


def test_a_message_is_cut_by_us_before_the_runner_cuts_it(tmp_path: Path) -> None:
    found = parse(annotation(Problem(text="x" * 10_000), tmp_path, tmp_path))
    assert found is not None
    assert len(found.message) == LONGEST_MESSAGE
    assert found.message.endswith("…")


def test_only_as_many_annotations_as_the_runner_shows() -> None:
    out, commands, _ = log()
    shown = [commands.annotate(Problem(text=str(i))) for i in range(12)]
    shown_warnings = [
        commands.annotate(Problem(text=str(i), severity="warning")) for i in range(12)
    ]
    assert shown == shown_warnings == [True] * MOST_ANNOTATIONS + [False] * 3
    runner = Runner().read(out.getvalue())
    assert len(runner.named("error")) == len(runner.named("warning")) == MOST_ANNOTATIONS


@pytest.mark.parametrize(
    "value",
    [
        "plain-secret",
        'quo"te\\back',
        "sing'le",
        "two\nlines of it",
        "crlf\r\nsecond line",
        "é漢字🙂-unicode",
        "trailing newline\n",
        "  padded  ",
        "tab\tinside",
        "%25 percent",
        "$dollar${x}",
        "a=b;c&d<e>",
        "::error::x",
        "\x1b[31mred",
        '{"a": "json é"}',
    ],
)
def test_no_form_of_a_secret_that_we_could_print_is_left_in_the_log(value: str) -> None:
    import json
    import shlex

    out, commands, stream = log()
    commands.mask([Secret("S", value)])
    forms = [value, repr(value), json.dumps(value), json.dumps(value, ensure_ascii=False)]
    with commands.foreign():
        for form in (*forms, shlex.quote(value), f"S={value}"):
            stream.write(f"text {form} text\n")
    shown = Runner().read(out.getvalue()).shown()
    for part in {value, value.strip(), repr(value)[1:-1], json.dumps(value)[1:-1]}:
        assert part not in shown


def test_a_blank_secret_is_no_mask_and_a_short_one_has_no_other_forms() -> None:
    assert masks([Secret("A", ""), Secret("B", " \n")]) == []
    assert masks([Secret("A", '"a')]) == ['"a']


def test_the_masks_rebuilt_here_know_base64() -> None:
    assert "aHVudGVy" not in masked("aHVudGVyMjI=", ["hunter22"])
