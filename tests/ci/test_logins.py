from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import cloud_logins, logins
from pymacaron_ci.images.logins import Login


def auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def docker_config(folder: Path, config: Any) -> dict[str, str]:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:/usr/bin:/bin"}


def helper(folder: Path, name: str, script: str) -> None:
    file = folder / f"docker-credential-{name}"
    file.write_text(f"#!/bin/sh\nread server\n{script}\n")
    file.chmod(0o755)


def test_without_anything_access_is_anonymous(tmp_path: Path) -> None:
    assert logins.find("ghcr.io", {"HOME": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("named", "host", "found"),
    [
        ("", "registry-1.docker.io", True),
        ("docker.io", "registry-1.docker.io", True),
        ("", "ghcr.io", False),
        ("ghcr.io", "ghcr.io", True),
        ("https://ghcr.io/v2", "ghcr.io", True),
        ("ghcr.io", "evil-ghcr.io", False),
    ],
)
def test_a_log_in_from_the_environment_goes_to_the_registry_it_is_meant_for(
    tmp_path: Path, named: str, host: str, found: bool
) -> None:
    environ = {
        "HOME": str(tmp_path),
        "DOCKER_USERNAME": "carol",
        "DOCKER_PASSWORD": "pa:ss",
        "DOCKER_LOGIN_REGISTRY": named,
    }
    assert (logins.find(host, environ) == Login(user="carol", password="pa:ss")) is found


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("https://index.docker.io/v1/", "registry-1.docker.io"),
        ("ghcr.io", "ghcr.io"),
        ("https://registry.example.com:5000", "registry.example.com:5000"),
    ],
)
def test_docker_logins_own_entries_are_found(tmp_path: Path, name: str, host: str) -> None:
    environ = docker_config(tmp_path, {"auths": {name: {"auth": auth("carol", "pa:ss")}}})
    assert logins.find(host, environ) == Login(user="carol", password="pa:ss")
    assert logins.find("elsewhere.example.com", environ) is None


def test_a_registrys_helper_comes_before_the_store_and_the_store_before_the_file(
    tmp_path: Path,
) -> None:
    helper(tmp_path, "mine", 'echo "{\\"Username\\": \\"helped\\", \\"Secret\\": \\"$server\\"}"')
    helper(
        tmp_path,
        "store",
        'case $server in b.example.com) echo \'{"Username": "<token>", "Secret": "t"}\';; '
        '*) echo "credentials not found in native keychain"; exit 1;; esac',
    )
    environ = docker_config(
        tmp_path,
        {
            "credHelpers": {"a.example.com": "mine"},
            "credsStore": "store",
            "auths": {
                "a.example.com": {"auth": auth("no", "no")},
                "c.example.com": {"auth": auth("filed", "x")},
            },
        },
    )
    assert logins.find("a.example.com", environ) == Login(user="helped", password="a.example.com")
    token = logins.find("b.example.com", environ)
    assert token
    assert token.identity_token == "t"
    assert logins.find("c.example.com", environ) == Login(user="filed", password="x")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("{", "can't be read"),
        ({"auths": {"a.example.com": {"auth": "%%%"}}}, "is damaged"),
        ({"credHelpers": {"a.example.com": "absent"}}, "docker-credential-absent .* not installed"),
        ({"credHelpers": {"a.example.com": "broken"}}, "no log-in for a.example.com"),
        ({"credHelpers": {"a.example.com": "failing"}}, "gave no log-in"),
    ],
)
def test_a_broken_configuration_is_told_and_shows_no_secret(
    tmp_path: Path, config: Any, text: str
) -> None:
    helper(tmp_path, "broken", "echo 's3cret'")
    helper(tmp_path, "failing", "echo oops >&2; exit 1")
    with pytest.raises(BuildError, match=text) as caught:
        logins.find("a.example.com", docker_config(tmp_path, config))
    assert "s3cret" not in f"{caught.value}{caught.value.details}"


def test_a_log_in_never_shows_its_password() -> None:
    assert "pass" not in repr(Login(user="carol", password="pass-word"))


class Credentials:
    """What every kind of them has, our own federated ones too."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.expiry: datetime | None = None

    def refresh(self, request: object) -> None:
        self.token = "ya29.token"


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("europe-west1-docker.pkg.dev", True),
        ("eu.gcr.io", True),
        ("gcr.io", True),
        ("docker.pkg.dev.evil.com", False),
        ("registry-1.docker.io", False),
    ],
)
def test_googles_token_goes_to_googles_registries_only(host: str, ours: bool) -> None:
    login = cloud_logins.google(Credentials())(host)
    assert login == (Login(user="oauth2accesstoken", password="ya29.token") if ours else None)


def test_ecrs_log_in_comes_from_the_registrys_own_region() -> None:
    asked: list[str] = []

    class Ecr:
        def get_authorization_token(self) -> dict[str, Any]:
            return {"authorizationData": [{"authorizationToken": auth("AWS", "pw")}]}

    def client(region: str) -> Ecr:
        asked.append(region)
        return Ecr()

    login = cloud_logins.amazon(client)
    assert login("123456789012.dkr.ecr.eu-west-1.amazonaws.com") == Login(user="AWS", password="pw")
    assert asked == ["eu-west-1"]
    assert login("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.com") is None
