"""get_config(): the file, its secrets, its errors; and that it never shows a secret."""

from __future__ import annotations

import os
import pprint
import sys
import threading
import traceback
from pathlib import Path

import pytest

from pymacaron.config import ConfigError, PyMacaronConfig, get_config, get_config_path
from tests.runtime.conftest import WriteConfig

BASIC = "name: hello\nlive_url: https://hello.example.com\n"
PLANTED = "pl4nted-s3cret-value=#'\"\\n{}"


def test_any_key_of_the_file_is_an_attribute(write_config: WriteConfig) -> None:
    write_config(BASIC + "uuid_file_path: /tmp/x\nnested: {a: [1, two]}\n")
    assert get_config().name == "hello"
    assert get_config().uuid_file_path == "/tmp/x"
    assert get_config().nested == {"a": [1, "two"]}


def test_defaults_stand_where_the_file_is_silent(write_config: WriteConfig) -> None:
    conf = write_config(BASIC)
    assert (conf.jwt_issuer, conf.jwt_audience, conf.jwt_secret) == (None, None, None)
    assert (conf.jwt_token_timeout, conf.jwt_token_renew_after) == (86400, 10800)
    assert conf.default_user_id == "PYM_DEFAULT_USER_ID"
    assert conf.report_call_exceeding_ms == 1000


def test_the_file_stands_above_the_defaults(write_config: WriteConfig) -> None:
    assert write_config(BASIC + "jwt_token_timeout: 60\n").jwt_token_timeout == 60


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("live_url: https://hello.example.com", "hello.example.com"),
        ("live_url: http://hello.example.com:8080/v1", "hello.example.com"),
        ("live_host: hello.example.org", "hello.example.org"),
    ],
)
def test_live_host_comes_from_the_url_or_is_given(
    write_config: WriteConfig, line: str, host: str
) -> None:
    assert write_config(f"name: hello\n{line}\n").live_host == host


def test_apis_path_is_beside_the_file(write_config: WriteConfig, tmp_path: Path) -> None:
    assert write_config(BASIC).apis_path == str(tmp_path / "apis")


def test_a_relative_apis_path_starts_at_the_file(write_config: WriteConfig, tmp_path: Path) -> None:
    assert write_config(BASIC + "apis_path: specs\n").apis_path == str(tmp_path / "specs")


def test_what_code_sets_stays(write_config: WriteConfig) -> None:
    conf = write_config(BASIC + "mine: 1\n")
    conf.mine = 2
    conf.other = 3
    conf.load_pym_config()
    assert (conf.mine, conf.other) == (2, 3)


def test_a_missing_key_says_so_and_suggests_near_names(write_config: WriteConfig) -> None:
    conf = write_config(BASIC + "gcp_memory: 1Gi\n")
    with pytest.raises(AttributeError, match="no key 'gcp_memroy'; did you mean 'gcp_memory'"):
        _ = conf.gcp_memroy


def test_hasattr_and_getattr_work_as_on_any_object(write_config: WriteConfig) -> None:
    conf = write_config(BASIC)
    assert hasattr(conf, "name")
    assert not hasattr(conf, "with_async")
    assert getattr(conf, "with_async", False) is False
    assert "name" in conf
    assert "name" in dir(conf)


def test_get_answers_with_the_default_for_a_missing_key(write_config: WriteConfig) -> None:
    assert write_config(BASIC).get("strict_required", True) is True


def test_get_does_without_a_file(
    fresh_config: PyMacaronConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fresh_config.get("use_base_path", False) is False
    assert fresh_config.jwt_token_timeout == 86400


def test_without_a_file_a_missing_key_says_where_we_looked(
    fresh_config: PyMacaronConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AttributeError, match=r"no pym-config.yaml found; looked in .*/pym, "):
        _ = fresh_config.live_url


def test_loading_explicitly_without_a_file_is_an_error(
    fresh_config: PyMacaronConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no pym-config\.yaml found"):
        fresh_config.load_pym_config()


def test_the_environments_file_is_preferred(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(BASIC)
    write_config(BASIC + "stage: live\n", name="pym-config.live.yaml")
    monkeypatch.setenv("PYM_ENV", "live")
    assert get_config().stage == "live"


def test_an_environment_without_a_file_takes_the_common_one(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYM_ENV", "nowhere")
    assert write_config(BASIC).name == "hello"


def test_load_pym_config_takes_an_environment(write_config: WriteConfig) -> None:
    write_config(BASIC)
    conf = write_config(BASIC + "stage: live\n", name="pym-config.live.yaml")
    conf.load_pym_config(env="live")
    assert conf.stage == "live"


@pytest.mark.parametrize("kind", ["folder", "file", "file of the folder"])
def test_load_pym_config_takes_a_path(
    fresh_config: PyMacaronConfig, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / ("mine.yaml" if kind == "file" else "pym-config.yaml")
    file.write_text(BASIC + "where: elsewhere\n")
    fresh_config.load_pym_config(path=str(file.parent if kind == "folder" else file))
    assert fresh_config.where == "elsewhere"


def test_get_config_takes_a_path_as_its_older_form_did(
    fresh_config: PyMacaronConfig, tmp_path: Path
) -> None:
    (tmp_path / "pym-config.yaml").write_text(BASIC + "where: here\n")
    assert get_config(str(tmp_path)).where == "here"


@pytest.mark.parametrize("place", ["", "test"])
def test_the_file_is_looked_for_beside_the_started_script(
    fresh_config: PyMacaronConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = tmp_path / "service" / place
    folder.mkdir(parents=True)
    (folder / "pym-config.yaml").write_text(BASIC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "service" / "server.py")])
    assert fresh_config.name == "hello"
    assert get_config_path() == str(folder / "pym-config.yaml")


def test_a_listed_name_is_replaced_wherever_it_is_a_value(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", PLANTED)
    conf = write_config(
        BASIC + "key: MY_SECRET\nmine: {deep: [MY_SECRET, x MY_SECRET]}\n"
        "MY_SECRET: kept\nenv_secrets: [MY_SECRET]\n"
    )
    assert conf.key == PLANTED
    assert conf.mine == {"deep": [PLANTED, "x MY_SECRET"]}
    assert conf.env_secrets == ["MY_SECRET"]
    assert conf.get("MY_SECRET") == "kept"


def test_a_value_that_nobody_listed_stays(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", PLANTED)
    assert write_config(BASIC + "key: MY_SECRET\n").key == "MY_SECRET"


def test_all_unset_secrets_are_told_at_once_with_their_places(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_B", "")
    conf = write_config(
        BASIC + "a: SECRET_A\nnested:\n  c: [SECRET_C]\n"
        "env_secrets:\n- SECRET_A\n- SECRET_B\n-   SECRET_C\n"
    )
    with pytest.raises(ConfigError) as caught:
        _ = conf.name
    file = tmp_path / "pym-config.yaml"
    assert str(caught.value).splitlines() == [
        f"{file}:7:3: the environment variable SECRET_A is not set (a needs it): "
        "set it, or take it out of env_secrets",
        f"{file}:8:3: the environment variable SECRET_B is empty: "
        "set it, or take it out of env_secrets",
        f"{file}:9:5: the environment variable SECRET_C is not set (nested needs it): "
        "set it, or take it out of env_secrets",
    ]


def test_what_only_the_platform_knows_is_missed_when_it_is_needed(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests, on a machine that may not read the secret, still have the rest of the file."""
    monkeypatch.setenv("SECRET_B", PLANTED)
    conf = write_config(
        BASIC + "a: [SECRET_A]\nb: SECRET_B\naws_secrets: {SECRET_A: a, SECRET_B: b}\n"
        "gcp_secrets:\n  SECRET_C: c\n  UNUSED: d\njwt_secret: SECRET_C\n"
    )
    assert (conf.name, conf.b) == ("hello", PLANTED)
    for key in ("a", "jwt_secret"):
        with pytest.raises(ConfigError, match=rf"\({key} needs it\): the platform sets it"):
            conf.get(key)
    with pytest.raises(ConfigError) as caught:
        conf.require_secrets()
    assert [line.split(": ")[0][-4:] for line in str(caught.value).splitlines()] == ["5:15", ":7:3"]
    conf.a = conf.jwt_secret = "mine"
    conf.require_secrets()


def test_an_unset_jwt_secret_is_never_its_own_name(write_config: WriteConfig) -> None:
    conf = write_config(BASIC + "jwt_secret: PYM_JWT_SECRET\nenv_secrets: [PYM_JWT_SECRET]\n")
    with pytest.raises(ConfigError, match="PYM_JWT_SECRET is not set"):
        _ = conf.jwt_secret


def test_a_secret_shows_in_no_form_of_the_config(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_SECRET", PLANTED)
    caplog.set_level(0)
    conf = write_config(
        BASIC + "key: MY_SECRET\nmine: {k: [MY_SECRET]}\nenv_secrets: [MY_SECRET]\n"
    )
    conf.api_token = PLANTED + "2"
    assert conf.key == PLANTED
    shown = [
        repr(conf),
        str(conf),
        repr(vars(conf)),
        pprint.pformat(vars(conf)),
        repr(conf.key),
        repr(conf.mine),
        f"{[conf.key]}",
        caplog.text,
    ]
    for text in shown:
        assert PLANTED not in text
        assert PLANTED[:8] not in text


def test_a_tracebacks_local_values_do_not_show_a_secret(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", PLANTED)
    conf = write_config(BASIC + "key: MY_SECRET\nenv_secrets: [MY_SECRET]\n")

    def fail() -> None:
        key = conf.key
        raise RuntimeError(f"nothing to see of {len(key)} characters")

    try:
        fail()
    except RuntimeError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert PLANTED not in "".join(told.format())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: hello\nname: again\n", ":2:1: 'name' is set twice, first on line 1"),
        ("a:\n  b: 1\n  b: 2\n", ":3:3: 'b' is set twice, first on line 2"),
        ("name: [hello\n", ":2:1: not YAML: "),
        ("name: hello\n\tlive_url: x\n", ":2:1: not YAML: "),
        ("- a\n- b\n", ":1:1: expected `key: value` lines"),
        ("just text\n", ":1:1: expected `key: value` lines"),
        ("", ": the file is empty"),
        ("# nothing\n", ": the file is empty"),
        ("name: !!python/object/apply:os.system [id]\n", ":1:7: not YAML: "),
        ("a: 1\n---\nb: 2\n", ":2:1: not YAML: "),
        ("name: a\nenv_secrets: MY_SECRET\n", ":2:14: env_secrets must be a list of names"),
        ("name: a\nenv_secrets: ['not a name']\n", ":2:15: 'not a name' is not the name of an"),
        ("name: a\nenv_secrets: [{a: b}]\n", ":2:15: this is not the name of an environment"),
        ("a: " + "[" * 60 + "]" * 60, "deeply nested"),
        ("a: " + "[" * 20000, ""),
        ("a: 2001-99-99\n", ""),
    ],
)
def test_a_bad_file_is_told_with_line_and_column(
    write_config: WriteConfig, tmp_path: Path, text: str, problem: str
) -> None:
    conf = write_config(text)
    with pytest.raises(ConfigError) as caught:
        _ = conf.name
    assert str(caught.value).startswith(str(tmp_path / "pym-config.yaml"))
    assert problem in str(caught.value)


def test_a_file_of_aliases_of_aliases_is_refused_at_once(write_config: WriteConfig) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    conf = write_config("a0: &a0 lol\n" + "\n".join(levels) + "\n")
    with pytest.raises(ConfigError, match="too many or too deeply nested"):
        _ = conf.name


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name: \x00", b"x" * 300_000])
def test_bytes_that_are_no_settings_are_a_config_error(
    write_config: WriteConfig, tmp_path: Path, content: bytes
) -> None:
    conf = write_config("")
    (tmp_path / "pym-config.yaml").write_bytes(content)
    with pytest.raises(ConfigError):
        _ = conf.name


def test_what_happens_to_the_file_later_touches_nobody(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    conf = write_config(BASIC)
    assert conf.name == "hello"
    (tmp_path / "pym-config.yaml").write_text("{")
    assert conf.live_host == "hello.example.com"
    (tmp_path / "pym-config.yaml").unlink()
    assert conf.get("name") == "hello"


def test_many_threads_at_the_first_look_see_one_whole_config(write_config: WriteConfig) -> None:
    conf = write_config(BASIC + "".join(f"key{n}: {n}\n" for n in range(300)) + "last: there\n")
    seen: list[str] = []
    barrier = threading.Barrier(8)

    def look() -> None:
        barrier.wait()
        seen.append(conf.last)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == ["there"] * 8


def test_a_fork_while_another_thread_loads_does_not_hang_the_child(
    write_config: WriteConfig,
) -> None:
    conf = write_config(BASIC)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with conf.__dict__["_lock"]:
            held.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if get_config().name == "hello" else 1)
    done.set()
    holder.join(10)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
