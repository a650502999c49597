"""The tool that deploys and the runtime that starts read pym-config.yaml alike: what the one
accepts does not stop the other, and both mean the same values and secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pymacaron import config_file, urls
from pymacaron.config import DEFAULTS, ConfigError, PyMacaronConfig
from pymacaron.config_file import LARGEST_FILE, SecretValue, read_settings
from pymacaron.pymtest import live_target
from pymacaron.resources import get_gunicorn_thread_count
from pymacaron.server import MAX_BODY
from pymacaron.tasks.wire import MAX_TASK
from pymacaron_ci import document, env_secrets, findings, test_bed
from pymacaron_ci import errors as tool_errors
from pymacaron_ci.config import load
from pymacaron_ci.options import Complaint, Settings
from pymacaron_ci.options import urls as tool_urls

ROOT = Path(__file__).parents[2]
BAD = sorted((ROOT / "tests" / "ci" / "bad_configs").glob("*.yaml"))
GOOD = sorted((ROOT / "examples").glob("*/pym-config*.yaml"))
NASTY = "a=b 'c' \"d\" $e `f` \\n #g\nh: ü漢 %s {x}"

BASIC = (
    "name: hello\ndeploy_target: gcp-cloud-run\ndocker_repo: hello\ngcp_region: europe-west1\n"
    "gcp_memory: 512Mi\ngcp_request_concurrency: 10\n"
)
LIVE = "live_url: https://hello.example.com\n"


class Everything(Mapping[str, str]):
    """An environment in which every variable is set."""

    def __getitem__(self, name: str) -> str:
        return f"the value of {name}"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_what_would_stop_the_start_stops_the_deployment(path: Path, tmp_path: Path) -> None:
    (tmp_path / "pym-config.yaml").write_bytes(path.read_bytes())
    try:
        read_settings(tmp_path / "pym-config.yaml", Everything())
    except ConfigError:
        with pytest.raises(tool_errors.ConfigError):
            load(tmp_path)


def test_the_table_of_bad_files_is_there() -> None:
    assert len(BAD) >= 70


@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_examples_mean_the_same_to_both(path: Path) -> None:
    environment = path.stem.partition(".")[2] or None
    tool = load(path.parent, environment)
    runtime = read_settings(path, Everything())
    names = set(tool.secret_names)
    assert runtime.secrets == tuple(f"the value of {name}" for name in tool.secret_names)
    for key, value in tool.data.items():
        expected = f"the value of {value}" if isinstance(value, str) and value in names else value
        if key == "env_secrets":
            expected = list(tool.secret_names)
        assert runtime.values[key] == expected, key


OWN_VALUES = """\
number: 12
fraction: 1.5
negative: -3
quoted: "12"
truth: true
nothing: null
text: some text
long: |
  two
  lines
nested:
  list: [1, two, {three: 3.0}]
  empty: {}
"""


def test_values_have_the_same_types(tmp_path: Path) -> None:
    (tmp_path / "pym-config.yaml").write_text(BASIC + LIVE + OWN_VALUES)
    tool = document.load(tmp_path / "pym-config.yaml")
    runtime = read_settings(tmp_path / "pym-config.yaml", {})
    assert dict(tool.data) == dict(runtime.values)
    for key, value in tool.data.items():
        assert type(runtime.values[key]) is type(value), key


def test_the_same_secrets_are_missing(tmp_path: Path) -> None:
    (tmp_path / "pym-config.yaml").write_text(
        BASIC + LIVE + "key: SECRET_A\nenv_secrets: [SECRET_A, SECRET_B, SECRET_C, SECRET_D]\n"
    )
    environ = {"SECRET_B": "", "SECRET_D": "there"}
    with pytest.raises(tool_errors.SecretsError) as tool:
        env_secrets.resolve(load(tmp_path), environ)
    with pytest.raises(ConfigError) as runtime:
        read_settings(tmp_path / "pym-config.yaml", environ)
    missing = ("SECRET_A", "SECRET_B", "SECRET_C")
    lines = str(runtime.value).splitlines()
    assert len(tool.value.problems) == len(lines) == 3
    for name, problem, line in zip(missing, tool.value.problems, lines, strict=True):
        assert name in problem.text
        assert name in line
        assert problem.location is not None
        assert line.startswith(f"{problem.location}: ")


def test_a_secrets_value_passes_both_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "pym-config.yaml").write_text(
        BASIC + LIVE + "key: MY_SECRET\nenv_secrets: [MY_SECRET]\n"
    )
    environ = {"MY_SECRET": NASTY}
    (tool,) = env_secrets.resolve(load(tmp_path), environ)
    runtime = read_settings(tmp_path / "pym-config.yaml", environ).values["key"]
    assert tool.reveal() == runtime == NASTY
    assert isinstance(runtime, SecretValue)
    assert NASTY not in repr(tool) + repr(runtime)


def test_what_the_platform_fills_is_a_secret_to_both(tmp_path: Path) -> None:
    (tmp_path / "pym-config.yaml").write_text(
        BASIC + LIVE + "jwt_secret: SIGNING_KEY\ndeep: [{key: SIGNING_KEY}]\n"
        "gcp_secrets: {SIGNING_KEY: signing-key:3, UNUSED: other}\n"
    )
    tool = load(tmp_path)
    assert tool.warnings == ()
    assert test_bed.token(tool, (), print) is None
    runtime = read_settings(tmp_path / "pym-config.yaml", {"SIGNING_KEY": NASTY})
    assert runtime.values["jwt_secret"] == NASTY
    assert runtime.values["deep"] == [{"key": NASTY}]
    assert runtime.values["gcp_secrets"] == tool.data["gcp_secrets"]
    assert (runtime.secrets, runtime.unset) == ((NASTY,), {})


def test_both_know_the_same_settings_that_name_secrets() -> None:
    assert config_file.PLATFORMS_SECRETS == findings.PLATFORMS_SECRETS


@pytest.mark.parametrize("environment", [None, "live", "nowhere"])
def test_an_environment_chooses_the_same_file(
    tmp_path: Path, environment: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pym-config.yaml").write_text(BASIC + LIVE)
    (tmp_path / "pym-config.live.yaml").write_text(BASIC + LIVE)
    runtime = PyMacaronConfig()
    runtime.load_pym_config(env=environment)
    found = Path(str(runtime.config_path)).name
    assert found == ("pym-config.live.yaml" if environment == "live" else "pym-config.yaml")
    if environment != "nowhere":  # a deployment must name an environment that has a file
        assert load(tmp_path, environment).file.name == found


@pytest.mark.parametrize(
    "live",
    [
        "live_url: https://hello.example.com\n",
        "live_url: http://hello.example.com:8080\n",
        "live_host: hello.example.com\n",
    ],
)
def test_both_find_the_live_server_at_the_same_place(
    tmp_path: Path, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pym-config.yaml").write_text(BASIC + live)
    runtime = PyMacaronConfig()
    scheme, _, place = load(tmp_path).live_url.partition("://")
    host, _, port = place.partition(":")
    target = live_target(runtime, "live")
    assert runtime.live_host == target.host == host
    assert target.port == int(port or {"http": 80, "https": 443}[scheme])


BROKERS = {
    "redis://localhost:6379/0": True,
    "rediss://:p%23ss@host": True,
    "redis:///1": True,
    "redis://host/": True,
    "amqp://user:password@host:5672//": True,
    "sqs://": True,
    "memory://": True,
    "mine://host": True,  # whether it is installed is for the container to know
    "localhost:6379": False,
    "BROKER_URL": False,
    "": False,
    "redis:/host": False,
    "redis://host:port/0": False,
    "redis://host:0/0": False,
    "redis://:pa#ss@host:6379/0": False,
    "redis://:pa/ss@host:6379/0": False,
    "redis://[host/0": False,
    "redis://host/queue": False,
    "redis://host /0": False,
    "https://host": False,
    "postgresql://host/db": False,
}
STORES = {
    "sqlite:///dev.db": True,
    "sqlite:////data/dev.db": True,
    "sqlite:///~/dev.db": True,
    "sqlite://dev.db": False,
    "sqlite:///": False,
    "sqlite:///:memory:": False,
    "dev.db": False,
    "dynamodb://": False,
    "postgresql://host/db": False,
}


@pytest.mark.parametrize(
    ("url", "good", "tool", "runtime"),
    [
        *((url, good, tool_urls.broker, urls.broker_fault) for url, good in BROKERS.items()),
        *((url, good, tool_urls.persist, urls.persist_fault) for url, good in STORES.items()),
    ],
)
def test_both_take_the_same_urls(
    url: str,
    good: bool,
    tool: Callable[[str], Complaint | None],
    runtime: Callable[[str], str | None],
) -> None:
    complaint = tool(url)
    assert (complaint is None or complaint.severity == "warning") is good
    assert (runtime(url) is None) is good


def test_defaults_are_the_same() -> None:
    fields = Settings.__dataclass_fields__
    for name, default in DEFAULTS.items():
        assert fields[name].default == default, name
    assert fields["max_body_size"].default == MAX_BODY
    assert fields["max_task_size"].default == MAX_TASK


def test_both_refuse_files_of_the_same_size() -> None:
    assert document.LARGEST == LARGEST_FILE


def test_the_concurrency_of_cloud_run_has_the_same_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    default = Settings.__dataclass_fields__["gcp_request_concurrency"].default
    assert get_gunicorn_thread_count(1, environ={"K_SERVICE": "x"}) == default
