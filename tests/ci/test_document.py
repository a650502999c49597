"""Reading: whatever stands in the file, an answer with a place, soon."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymacaron_ci import config, document, yaml_nodes
from pymacaron_ci.errors import ConfigError
from pymacaron_ci.model import Location, Problem
from pymacaron_ci.problems import render_json, render_text


def parse(text: str) -> document.Document:
    return document.parse(text.encode(), "pym-config.yaml")


def refused(content: bytes) -> Problem:
    with pytest.raises(ConfigError) as caught:
        document.parse(content, "pym-config.yaml")
    (problem,) = caught.value.problems
    return problem


def test_every_key_and_value_has_its_place() -> None:
    read = parse("name: hello\nenv_secrets:\n- ONE\n-   TWO\nmine: {deep: [1, yes]}\n")

    def place(location: Location) -> tuple[int | None, int | None, int]:
        return location.line, location.column, location.length

    assert place(read.key_location("name")) == (1, 1, 4)
    assert place(read.value_location("name")) == (1, 7, 5)
    assert place(read.value_location("env_secrets", 1)) == (4, 5, 3)
    assert place(read.value_location("mine", "deep", 1)) == (5, 18, 3)
    assert place(read.key_location("mine", "deep")) == (5, 8, 4)


def test_a_place_that_is_not_there_is_the_nearest_one_around_it() -> None:
    read = parse("name: hello\nmine: {a: 1}\n")

    assert read.value_location("mine", "b").line == 2
    assert read.value_location("missing") == Location(file="pym-config.yaml", line=1, column=1)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: 1.5\nc: true\nd: null\ne: text\nf: [1, two, {three: 3}]\n",
        "a: yes\nb: 0123\nc: 12:30\nd: 2024-01-01\ne: 2024-01-01 1:00:00\nf: 1e3\ng: 0x1F\n",
        "a: 'yes'\nb: \"0123\"\nc: !!str 123\nd: !!int '7'\ne: ! 5\n",
        "a: |\n  line\n  line\nb: >-\n  folded\n  text\nc: ''\n",
        "base: &base {a: 1, b: 2}\nmine:\n  <<: *base\n  b: 3\n",
        "one: &one {a: 1}\ntwo: &two {a: 2, b: 2}\nmine: {<<: [*one, *two], c: 3}\n",
        "a: &x [1, 2]\nb: *x\nc: {d: *x}\n",
        "? a\n: 1\n? b\n",
        "%YAML 1.1\n---\na: 1\n...\n",
    ],
)
def test_the_data_is_what_pyyaml_makes_of_it(text: str) -> None:
    assert parse(text).data == yaml.safe_load(text)


def test_an_alias_has_its_own_place() -> None:
    read = parse("a: &x {deep: 1}\nb: *x\n")

    assert read.value_location("b").line == 2
    assert read.value_location("b", "deep").line == 1


@pytest.mark.parametrize(
    ("raw", "read_as"),
    [
        ("yes", "true"),
        ("Off", "false"),
        ("0123", "the octal number 83"),
        ("12:30", "the number 750 (base 60)"),
        ("1:30.5", "the number 90.5 (base 60)"),
        ("2024-01-01", "a date"),
        (".inf", "a number that JSON can't hold"),
        ("1e3", "a text, not a number"),
        ("089", "a text, not a number"),
        ("0o17", "a text, not a number"),
    ],
)
def test_a_silent_conversion_is_noted(raw: str, read_as: str) -> None:
    assert parse(f"a: {raw}\n").conversions[("a",)].read_as == read_as


@pytest.mark.parametrize(
    "raw", ["true", "FALSE", "12", "1.5", "0", "-3", "hello", "'yes'", '"0123"']
)
def test_what_is_meant_is_no_conversion(raw: str) -> None:
    assert not parse(f"a: {raw}\n").conversions


def test_lines_are_counted_as_yaml_counts_them() -> None:
    text = "a: 1\r\nb: 2\u2028c: 3\x85d: [\n"

    problem = refused(text.encode())

    assert problem.location
    assert problem.location.line == len(document.lines(text))


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "pym-config.yaml").mkdir()

    with pytest.raises(ConfigError, match=r"pym-config\.yaml is a directory"):
        document.load(tmp_path / "pym-config.yaml")


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pym-config.yaml does not exist"):
        document.load(tmp_path / "pym-config.yaml")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pym-config.yaml")

    with pytest.raises(ConfigError, match="not a regular file"):
        document.load(tmp_path / "pym-config.yaml")


def test_a_link_to_itself_is_an_error_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "pym-config.yaml").symlink_to(tmp_path / "pym-config.yaml")

    with pytest.raises(ConfigError, match=r"pym-config\.yaml (can't be read|does not exist)"):
        document.load(tmp_path / "pym-config.yaml")


def test_a_huge_file_is_refused_without_being_parsed(tmp_path: Path) -> None:
    (tmp_path / "pym-config.yaml").write_bytes(b"a: 1 # " + b"x" * document.LARGEST)

    with pytest.raises(ConfigError, match="larger than 256 KiB"):
        document.load(tmp_path / "pym-config.yaml")


def test_many_values_are_refused() -> None:
    problem = refused(b"many: [" + b"1," * yaml_nodes.MOST_VALUES + b"1]\n")

    assert "more than 20,000 values" in problem.text


HOSTILE = {
    "laughs": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        b"%c: &%c [%s]\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 9)) for c in range(97, 120)
    ),
    "laughing merges": b"a: &a {k0: 1}\n"
    + b"".join(
        b"%c: &%c {<<: [%s], k%d: 1}\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 9), c)
        for c in range(97, 120)
    ),
    "brackets": b"a: " + b"[" * 250_000,
    "braces": b"{" * 250_000,
    "dashes": b"- " * 125_000,
    "questions": b"? " * 125_000,
    "anchors": b"".join(b"a%d: &a%d x\n" % (i, i) for i in range(9000)),
    "indentation": b"".join(b" " * i + b"a:\n" for i in range(600)),
    "long key": b"a" * 250_000 + b": 1",
    "long quoted": b'a: "' + b"\\n" * 120_000 + b'"',
    "long folded": b"a: >\n" + b" x\n" * 80_000,
    "base 60": b"a: 1" + b":1" * 120_000,
    "digits": b"a: " + b"1" * 250_000,
    "underscores": b"a: 1" + b"_" * 250_000,
    "comments": b"# x\n" * 60_000,
    "tags": b"a: !<" + b"t" * 250_000 + b"> x",
    "directives": b"%TAG ! x\n" * 20_000 + b"---\na: 1",
    "blank lines": b"\n" * 250_000,
    "tabs": b"a:" + b"\t" * 250_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(20)
def test_a_hostile_file_is_answered(name: str) -> None:
    answer(HOSTILE[name])


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(60)
def test_a_hostile_file_is_answered_without_libyaml(name: str) -> None:
    with contextlib.suppress(yaml_nodes.Unreadable):
        yaml_nodes.read(HOSTILE[name].decode(), yaml.SafeLoader)


def answer(content: bytes) -> None:
    """The whole way of `validate`; whatever it raises but ConfigError is a bug."""
    path = Path("pym-config.yaml")
    text = content.decode("utf-8", "replace")
    try:
        read = document.parse(content, str(path))
        problems = config.judge(read, path, path.parent, None).warnings
    except ConfigError as error:
        problems = error.problems
    render_text(problems, read=lambda _: text)
    render_json(problems)


WORDS = [
    *("name", "live_url", "env_secrets", "jwt_secret", "deploy_target", "gcp-cloud-run", "gke"),
    *(": ", ":", "\n", "  ", "- ", "? ", "[", "]", "{", "}", ",", "'", '"', "|\n", ">-\n", "#"),
    *("&a ", "*a", "<<: ", "!!int ", "!!float ", "!!timestamp ", "! ", "!x ", "---\n", "...\n"),
    *("%YAML 1.1\n", "\t", "\\", "\r", "\u2028", "\x85", "=", "~", "yes", "0123", "0b_", "0x"),
    *("1:2", "1e999", ".", ".inf", "+", "-.", "2024-01-01", "2024-13-45", "\x00", "😀", "é"),
]


@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from(WORDS), max_size=40).map("".join).map(str.encode)
)
@settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_whatever_lead_to_a_traceback_or_to_two_seconds(content: bytes) -> None:
    answer(content)


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False)
            | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=5), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=150, deadline=2000)
def test_what_pyyaml_writes_is_read_back(data: dict[str, object]) -> None:
    written = yaml.safe_dump(data, allow_unicode=True)

    assert parse(written).data == yaml.safe_load(written)


def test_a_billion_laughs_take_no_time() -> None:
    # Not a benchmark: the honest way takes 9^23 steps, so that any end at all proves the point.
    started = time.monotonic()
    assert "values" in refused(HOSTILE["laughs"]).text
    assert time.monotonic() - started < 60
