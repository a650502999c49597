"""What a person sees of a problem: place, line, caret, what to do; and never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymacaron_ci import config
from pymacaron_ci.errors import ConfigError
from pymacaron_ci.masking import MASK, masked_lines
from pymacaron_ci.model import Location, Problem
from pymacaron_ci.options import OPTIONS
from pymacaron_ci.problems import counted, render_json, render_text


def problem(line: int | None = 2, column: int | None = 13, length: int = 5) -> Problem:
    place = Location(file="pym-config.yaml", line=line, column=column, length=length)
    return Problem(text="gcp_memory is wrong", hint="did you mean 1Gi?", location=place)


def shown(found: Problem, text: str) -> list[str]:
    return render_text([found], read=lambda _: text).splitlines()


def test_a_problem_shows_place_line_caret_and_what_to_do() -> None:
    assert shown(problem(), "name: hello\ngcp_memory: 1Giga\n") == [
        "pym-config.yaml:2:13: error: gcp_memory is wrong",
        "    gcp_memory: 1Giga",
        "                ^^^^^",
        "    did you mean 1Gi?",
    ]


def test_a_problem_without_a_place_is_one_line_and_its_hint() -> None:
    assert render_text([Problem(text="no project", severity="warning", hint="set one")]) == (
        "warning: no project\n    set one"
    )


@pytest.mark.parametrize("line", [None, 0, 99])
def test_a_line_that_is_not_there_is_left_out(line: int | None) -> None:
    assert len(shown(problem(line=line), "name: hello\n")) == 2


def test_a_file_that_can_not_be_read_is_no_reason_to_fail(tmp_path: Path) -> None:
    gone = Location(file=str(tmp_path / "gone.yaml"), line=1, column=1)
    folder = Location(file=str(tmp_path), line=1, column=1)

    text = render_text([Problem(text="x", location=gone), Problem(text="y", location=folder)])

    assert text == f"{gone}: error: x\n{folder}: error: y"


def test_the_file_is_read_from_the_disk_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "pym-config.yaml"
    path.write_text("name: x\n")

    text = render_text([Problem(text="bad", location=Location(file=str(path), line=1, column=7))])

    assert text.splitlines()[1:] == ["    name: x", "          ^"]


def test_tabs_and_wide_characters_keep_the_caret_in_its_place() -> None:
    lines = shown(problem(line=1, column=9, length=2), "\t名前: {a: bb}\n")

    assert lines[1] == "    \t名前: {a: bb}"
    assert lines[2] == "    \t  " + " " * 7 + "^^"


def test_a_long_line_is_cut_around_the_place() -> None:
    lines = shown(problem(line=1, column=5000, length=3), "a" * 4999 + "bad" + "c" * 5000)

    assert len(lines[1]) < 130
    assert lines[1].index("bad") == lines[2].index("^^^")
    assert lines[1].strip().startswith("…")
    assert lines[1].endswith("…")


def test_what_could_steer_a_terminal_is_replaced() -> None:
    place = Location(file="a\x1b[31m", line=1, column=1)
    text = render_text(
        [Problem(text="x\x1b]0;y\x07", hint="\x9bz", location=place)], read=lambda _: "k\x1b[2Jv\n"
    )

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\x9b" not in text


def test_colours_are_there_when_asked_for_only() -> None:
    plain = render_text([problem()], read=lambda _: "a\nb\n")
    coloured = render_text([problem()], color=True, read=lambda _: "a\nb\n")

    assert "\x1b" not in plain
    assert "\x1b[1;31merror:\x1b[0m" in coloured


def test_json_has_one_object_for_each_problem() -> None:
    assert render_json([problem(), Problem(text="no place")]) == [
        {
            "severity": "error",
            "text": "gcp_memory is wrong",
            "hint": "did you mean 1Gi?",
            "file": "pym-config.yaml",
            "line": 2,
            "column": 13,
        },
        {
            "severity": "error",
            "text": "no place",
            "hint": None,
            "file": None,
            "line": None,
            "column": None,
        },
    ]


def test_problems_are_counted_by_kind() -> None:
    warning = Problem(text="x", severity="warning")

    assert counted([problem(), problem(), warning]) == "2 errors, 1 warning"
    assert counted([warning]) == "1 warning"
    assert counted([]) == "no problems"


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"jwt_secret: {SECRET}\n",
        f"jwt_secret: '{SECRET}' # mine\n",
        f'"jwt_secret": "{SECRET}"\n',
        f"jwt_secret: |\n  {SECRET}\n  {SECRET}\nname: x\n",
        f"jwt_secret: >-\n  {SECRET}\n\n  {SECRET}\n",
        f'jwt_secret: "a\n  {SECRET}"\n',
        f"jwt_secret:\n  {SECRET}\n",
        f"jwt_secret:\n- {SECRET}\n- b: {SECRET}\n",
        f"jwt_secret: {{a: {SECRET}, b: [{SECRET}]}}\n",
        f"jwt_secret: !!str {SECRET}\n",
        f"jwt_secret: &s {SECRET}\nother: *s\n",
        f"jwt_secret: {SECRET}\njwt_secret: {SECRET}x\n",
        f"{{name: x, jwt_secret: {SECRET}, a: b}}\n",
        f"my_api_key: {SECRET}\nDB_PASSWORD: {SECRET}\nx: {{auth_token: {SECRET}}}\n",
        f"broker_url: redis://:{SECRET}@host\npersist_url: {SECRET}\nscout_key: {SECRET}\n",
        f"mine: postgres://me:{SECRET}@host/db?sslmode=require\n",
        f"env_secrets:\n- A_NAME={SECRET}\n- A_NAME: {SECRET}\n- [{SECRET}]\n",
        f"env_secrets: {SECRET} {SECRET}\n",
        f"env_secrets: {{A_NAME: {SECRET}}}\n",
        # not YAML at all
        f'jwt_secret: "{SECRET}\nname: x\n',
        f"jwt_secret: {SECRET}\n  bad: [\n",
        f"name: x\njwt_secret: |\n  {SECRET}\n  {SECRET}\nbad: [\n",
        f"- jwt_secret: {SECRET}\nbad: [\n",
        f"env_secrets:\n  - A={SECRET}\nbad: [\n",
        f"env_secrets:\n- A={SECRET}\nbad: [\n",
        f"bad: [\nmine: amqp://me:{SECRET}@host\n",
        f"{{jwt_secret: {SECRET}, bad: [\n",
        f"x: [{{password: {SECRET}}}, \n",
        f"\tjwt_secret: {SECRET}\n",
        f"jwt_secret : {SECRET}\n@\n",
        f"jwt_secret:{SECRET}\n",
        f"jwt_secret = {SECRET}\n",
        f"? jwt_secret\n: {SECRET}\n@\n",
    ],
)
def test_no_line_shows_a_secret(text: str) -> None:
    assert SECRET not in "\n".join(masked_lines(text))


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_secret_in_the_wrong_place_is_not_shown_either(name: str, tmp_path: Path) -> None:
    """A password in a URL, and whatever a sensitive setting holds, of any type and spelling."""
    path = tmp_path / "pym-config.yaml"
    values = [f"https://me:{SECRET}@example.com/x", f"me:{SECRET}@example.com"]
    if name == "env_secrets":
        values += [f"[A={SECRET}]", f"{{A: {SECRET}}}", f"[[{SECRET}]]", f"'{SECRET} x'"]
    elif OPTIONS[name].facts.sensitive:
        values += [SECRET, f"[{SECRET}]", f"{{a: {SECRET}}}", f"'{SECRET}: x'", f"|\n  {SECRET}\n"]
    for value in values:
        path.write_text(f"{name}: {value}\n")
        try:
            problems = config.load(tmp_path, None).warnings
        except ConfigError as error:
            problems = error.problems

        assert problems
        assert SECRET not in render_text(problems)
        assert SECRET not in str(render_json(problems))


def test_a_masked_line_keeps_its_key_and_what_is_no_secret() -> None:
    text = "name: hello\njwt_secret: hunter2 # why\nmine: ok\nenv_secrets: [A_NAME]\n"

    assert masked_lines(text) == [
        "name: hello",
        f"jwt_secret: {MASK} # why",
        "mine: ok",
        "env_secrets: [A_NAME]",
        "",
    ]


def test_the_caret_tells_nothing_of_a_secrets_length() -> None:
    found = problem(line=1, column=13, length=2)

    assert shown(found, "jwt_secret: xy\n")[2] == shown(found, "jwt_secret: xyxyxyxyxyxyx\n")[2]


def test_a_reference_is_shown() -> None:
    text = "jwt_secret: PYM_JWT_SECRET\nenv_secrets:\n- PYM_JWT_SECRET\n"

    assert masked_lines(text) == [*text.splitlines(), ""]


@given(st.text(max_size=200), st.integers(-1, 9), st.integers(-1, 250), st.integers(0, 99))
def test_any_text_and_any_place_can_be_rendered(
    text: str, line: int, column: int, length: int
) -> None:
    shown(problem(line=line, column=column, length=length), text)
