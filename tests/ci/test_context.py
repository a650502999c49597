from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymacaron_ci import context
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import oci
from pymacaron_ci.model import Secret
from tests.ci.image_parts import ENVIRON, commit, write

pytestmark = pytest.mark.real("git")


def collect(
    folder: Path,
    *,
    config: str = "pym-config.yaml",
    links: Sequence[str] = (),
    secrets: Sequence[Secret] = (),
    extra: Sequence[context.Entry] = (),
) -> context.Context:
    return context.collect(
        folder,
        ENVIRON,
        config_file=folder / config,
        version="1",
        include_links=links,
        secrets=secrets,
        extra=extra,
    )


def paths(collected: context.Context) -> list[str]:
    return [entry.path for entry in collected.entries]


def tar(collected: context.Context, created: int = 1700000000) -> bytes:
    stream = io.BytesIO()
    context.write_tar(collected.entries, stream, created=created)
    return stream.getvalue()


def test_tests_workflows_and_git_itself_stay_outside(tmp_path: Path) -> None:
    commit(tmp_path)
    assert paths(collect(tmp_path)) == [
        "VERSION",
        "hello/api.py",
        "pym-config.live.yaml",
        "pym-config.yaml",
        "requirements.txt",
        "server.py",
    ]


def test_a_service_without_test_folders_is_packed_as_well(tmp_path: Path) -> None:
    commit(tmp_path, {"pym-config.yaml": "", "server.py": ""})
    assert "server.py" in paths(collect(tmp_path))


def test_a_folder_named_test_deeper_down_is_the_services_own(tmp_path: Path) -> None:
    commit(tmp_path, {"pym-config.yaml": "", "hello/test/data.txt": ""})
    assert "hello/test/data.txt" in paths(collect(tmp_path))


def test_untracked_and_deleted_files_are_not_shipped(tmp_path: Path) -> None:
    commit(tmp_path)
    write(tmp_path, {"scratch.py": ""})
    (tmp_path / "server.py").unlink()
    assert not {"scratch.py", "server.py"} & set(paths(collect(tmp_path)))


def test_the_chosen_environments_config_is_the_images_config(tmp_path: Path) -> None:
    commit(tmp_path)
    found = collect(tmp_path, config="pym-config.live.yaml").find("pym-config.yaml")
    assert found
    assert found.read() == b"name: hello-live\n"


KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n"


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.production",
        "conf/.env",
        ".npmrc",
        ".pypirc",
        ".netrc",
        "id_rsa",
        "keys/id_ed25519",
        "gha-creds-0123abcd.json",
        "gha-kubeconfig-1",
        "kubeconfig",
        "kubeconfig.yaml",
        "prod.kubeconfig",
        "credentials",
        "credentials.json",
        "application_default_credentials.json",
        "client_secret_12.apps.json",
        "store.p12",
        "terraform.tfstate",
        ".aws/config",
        ".ssh/known_hosts",
        ".docker/config.json",
    ],
)
def test_files_that_look_like_credentials_are_left_out_and_named(tmp_path: Path, path: str) -> None:
    commit(tmp_path, {"pym-config.yaml": "", path: "x"})
    collected = collect(tmp_path)
    assert path not in paths(collected)
    assert collected.left_out == (path,)
    told: list[str] = []
    context.note(collected, told.append)
    assert path in told[0]


@pytest.mark.parametrize("path", ["server.pem", "key", "service-account.json", "x/y.key"])
def test_a_private_key_is_left_out_whatever_its_name(tmp_path: Path, path: str) -> None:
    commit(tmp_path, {"pym-config.yaml": "", path: f'{{"private_key": "{KEY}"}}'})
    assert collect(tmp_path).left_out == (path,)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("rds-ca.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n"),
        (".env.example", "TOKEN="),
        ("credentials.py", "class Credentials: pass"),
        ("hello/kube.py", f"DUMMY = '''{KEY}'''"),
        ("public.key", "-----BEGIN PUBLIC KEY-----"),
    ],
)
def test_files_that_a_service_needs_are_kept(tmp_path: Path, path: str, content: str) -> None:
    commit(tmp_path, {"pym-config.yaml": "", path: content})
    assert path in paths(collect(tmp_path))


def test_a_path_that_holds_a_secret_stops_the_build_without_showing_it(tmp_path: Path) -> None:
    write(tmp_path, {"pym-config.yaml": "", "keys/hunter2hunter2.txt": ""})
    (tmp_path / "link").symlink_to("keys/hunter2hunter2.txt")
    with pytest.raises(BuildError) as caught:
        collect(tmp_path, secrets=[Secret("DB_PASSWORD", "hunter2hunter2")])
    assert len(caught.value.problems) == 2
    assert "DB_PASSWORD" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_value_of_a_secret_in_a_file_stops_the_build_without_showing_it(tmp_path: Path) -> None:
    value = "hunter2-hunter2"
    commit(
        tmp_path,
        {
            "pym-config.yaml": "",
            "hello/big.txt": "x" * ((1 << 20) - 5) + value,  # across the border of two chunks
            "server.py": f"PASSWORD = '{value}'",
            "test/test_x.py": value,  # not shipped
        },
    )
    with pytest.raises(BuildError) as caught:
        collect(tmp_path, secrets=[Secret("DB_PASSWORD", value), Secret("SHORT", "app")])
    assert [p.text for p in caught.value.problems] == [
        "hello/big.txt holds the value of the secret DB_PASSWORD",
        "server.py holds the value of the secret DB_PASSWORD",
    ]
    assert value not in str(caught.value)


def test_links_inside_the_folder_stay_links(tmp_path: Path) -> None:
    commit(tmp_path, {"pym-config.yaml": "", "hello/a.txt": "a"})
    (tmp_path / "hello" / "b.txt").symlink_to("a.txt")
    commit(tmp_path, {})
    found = collect(tmp_path).find("hello/b.txt")
    assert found
    assert found.link == "a.txt"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "hello/../../outside"])
def test_links_that_lead_outside_are_refused_with_a_way_out(tmp_path: Path, target: str) -> None:
    commit(tmp_path / "service", {"pym-config.yaml": ""})
    (tmp_path / "service" / "link").symlink_to(target)
    commit(tmp_path / "service", {})
    with pytest.raises(BuildError) as caught:
        collect(tmp_path / "service")
    assert "link is a link to a place outside service" in caught.value.problems[0].text
    assert "include_links" in str(caught.value.problems[0].hint)


def test_include_links_are_followed_and_their_credentials_left_out(tmp_path: Path) -> None:
    commit(tmp_path, {"common/lib.py": "", "common/.env": "", "api/pym-config.yaml": ""})
    (tmp_path / "api" / "common").symlink_to("../common")
    commit(tmp_path, {})
    collected = collect(tmp_path / "api", links=["common"])
    assert paths(collected) == ["VERSION", "common/lib.py", "pym-config.yaml"]
    assert collected.left_out == ("common/.env",)


@pytest.mark.parametrize(
    ("link", "text"),
    [("gone", "leads nowhere"), ("../x", "must be a path inside"), ("/etc", "must be a path")],
)
def test_include_links_that_cannot_be_followed_are_named(
    tmp_path: Path, link: str, text: str
) -> None:
    commit(tmp_path)
    with pytest.raises(BuildError, match=text):
        collect(tmp_path, links=[link])


CHILD = """
import os, sys, hashlib, time
os.umask(int(sys.argv[2], 8)); time.tzset()
import locale; locale.setlocale(locale.LC_ALL, "")
from pathlib import Path
from pymacaron_ci import context
folder = Path(sys.argv[1])
config = folder / "pym-config.yaml"
found = context.collect(folder, {"PATH": os.environ["PATH"]}, config_file=config, version="1")
with open(sys.argv[3], "wb") as file:
    context.write_tar(found.entries, file, created=1700000000)
print(hashlib.sha256(open(sys.argv[3], "rb").read()).hexdigest())
"""


def test_the_same_commit_gives_the_same_bytes_under_another_umask_locale_zone_and_folder(
    tmp_path: Path,
) -> None:
    tree = {f"data/ünï {i}.txt": "x" * i for i in range(20)} | {"pym-config.yaml": "", "b/B": ""}
    commit(tmp_path / "origin", {**tree, "b/a": "", "b/C": ""})
    (tmp_path / "origin" / "b" / "a").chmod(0o755)
    commit(tmp_path / "origin", {})
    digests = set()
    for number, (umask, locale, zone) in enumerate(
        [("022", "C", "UTC"), ("077", "C.UTF-8", "Asia/Tokyo"), ("002", "POSIX", "America/Lima")]
    ):
        clone = tmp_path / f"clone {number}" / "deep"
        script = f'umask {umask}; git clone -q "{tmp_path / "origin"}" "{clone}"'
        subprocess.run(["sh", "-c", script], check=True, env=ENVIRON)
        os.utime(clone / "pym-config.yaml", (number, number))
        environment = {**ENVIRON, "LC_ALL": locale, "TZ": zone, "PYTHONPATH": str(Path.cwd())}
        arguments = [str(clone), umask, str(tmp_path / f"{number}.tar")]
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *arguments],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1


NAMES = st.text(
    st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=40
).filter(lambda name: name not in (".", ".."))
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    st.tuples(st.binary(max_size=2000), st.booleans(), st.none() | NAMES),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=TREES, order=st.randoms(use_true_random=False))
def test_a_tar_depends_on_nothing_but_its_entries_and_reads_back_as_they_are(
    tree: dict[str, tuple[bytes, bool, str | None]], order: object
) -> None:
    entries = [
        context.Entry(path=path, content=content, program=program, link=link)
        for path, (content, program, link) in tree.items()
        if not any(other.startswith(f"{path}/") for other in tree)
    ]
    shuffled = list(entries)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    written = []
    for each in (entries, shuffled):
        stream = io.BytesIO()
        context.write_tar(each, stream, created=1)
        written.append(stream.getvalue())
    assert written[0] == written[1]
    with tarfile.open(fileobj=io.BytesIO(written[0])) as back:
        members = {m.name: m for m in back.getmembers() if not m.isdir()}
        assert set(members) == {entry.path for entry in entries}
        for entry in entries:
            member = members[entry.path]
            assert (member.uid, member.gid, member.uname, member.mtime) == (0, 0, "", 1)
            if entry.link is not None:
                assert member.linkname == entry.link
            else:
                assert member.mode == (0o755 if entry.program else 0o644)
                read = back.extractfile(member)
                assert read
                assert read.read() == entry.content


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=TREES)
def test_a_folders_layer_depends_on_its_files_alone(
    tree: dict[str, tuple[bytes, bool, str | None]],
) -> None:
    """Written in another order, with other modes and times, among folders that are empty."""
    tree = {
        path: value
        for path, value in tree.items()
        if not any(other.startswith(f"{path}/") for other in tree)
        and len(os.fsencode(path)) < 200
        and not any(part.startswith(".") or "~" in part for part in path.split("/"))
    }
    layers = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, items in enumerate([list(tree.items()), list(tree.items())[::-1]]):
            folder = Path(scratch) / f"{number}"
            write(folder, {"pym-config.yaml": ""})
            for path, (content, program, link) in items:
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                if link is not None:
                    file.symlink_to(f"./{link}")
                    continue
                file.write_bytes(content)
                file.chmod((0o644, 0o600)[number] | (0o100 if program else 0))
                os.utime(file, (number, number))
            (folder / ("empty" * number) / "empty").mkdir(parents=True)
            layers.append(
                oci.make_layer(
                    collect(folder).entries, Path(scratch), created=1, below="pym", made_by="x"
                )
            )
    assert layers[0].diff_id == layers[1].diff_id
    assert layers[0].blob.digest == layers[1].blob.digest
