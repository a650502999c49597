"""The command `pymtest`: runs a service's acceptance tests, starting the server if need be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click

from pymacaron.config import ConfigError, PyMacaronConfig, get_config
from pymacaron.config_file import PLATFORMS_SECRETS
from pymacaron.local_server import container_of_image, server_of_folder
from pymacaron.testing import Target, own_token


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", help="Test the server at this address.")
@click.option("--port", type=int, help="Port of --host (default: 443 for https, else 80).")
@click.option("--env", help="Test the live server of pym-config.ENV.yaml.")
@click.option("--live", "env", flag_value="live", help="The same as --env live.")
@click.option("--staging", "env", flag_value="staging", help="The same as --env staging.")
@click.option("--image", help="Start this Docker image and test it.")
@click.option("--gen-token", is_flag=True, help="Make a JWT token for the tests.")
@click.option("--loop", is_flag=True, help="Repeat the tests until they fail.")
@click.option("--no-stop", is_flag=True, help="Go on after the first failure.")
@click.option("--no-ssl-check", is_flag=True, help="Don't verify the server's certificate.")
@click.option("--nocapture", is_flag=True, help="Show what the tests print.")
@click.option("--junit", type=click.Path(dir_okay=False), help="Write a JUnit report here.")
@click.argument("paths", nargs=-1)
def main(
    host: str | None,
    port: int | None,
    env: str | None,
    image: str | None,
    gen_token: bool,
    loop: bool,
    no_stop: bool,
    no_ssl_check: bool,
    nocapture: bool,
    junit: str | None,
    paths: tuple[str, ...],
) -> None:
    """Runs acceptance tests (default: testaccept/) with pytest.

    Tests the server of --host, --env or --image, or else of PYM_SERVER_HOST and PYM_SERVER_PORT, or
    else starts the service of this folder and tests that.
    """
    if sum(option is not None for option in (host, env, image)) > 1:
        raise click.UsageError("choose one of --host, --env and --image")
    if port is not None and host is None:
        raise click.UsageError("--port needs --host")
    paths = paths or _default_paths()
    arguments = [*([] if no_stop else ["-x"]), *(["-s"] if nocapture else []), "-v"]
    if junit:
        arguments.append(f"--junit-xml={junit}")
    if env:
        os.environ["PYM_ENV"] = env
    try:
        conf = get_config()
        with _server(host, port, env, image, conf) as target:
            click.echo(f"=> testing {target.url}")
            token = own_token() if gen_token else os.environ.get("PYM_JWT_TOKEN")
            if gen_token and not token:
                raise ConfigError("--gen-token: jwt_secret is not set in pym-config.yaml")
            environ = _environment(target, token, no_ssl_check)
            command = [sys.executable, "-m", "pytest", *arguments, *paths]
            code = subprocess.call(command, env=environ)
            while loop and code == 0:
                code = subprocess.call(command, env=environ)
    except (ConfigError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


def _default_paths() -> tuple[str, ...]:
    if not Path("testaccept").is_dir():
        raise click.UsageError("there is no folder testaccept/ here: name the tests to run")
    return ("testaccept",)


@contextmanager
def _server(
    host: str | None,
    port: int | None,
    env: str | None,
    image: str | None,
    conf: PyMacaronConfig,
) -> Iterator[Target]:
    """The server to test, running while the block does."""
    if host:
        parts = urlsplit(host if "//" in host else f"//{host}")
        name = parts.hostname or host
        yield Target(host=name, port=port or parts.port or (443 if parts.scheme == "https" else 80))
    elif env:
        yield live_target(conf, env)
    elif image:
        platforms = (name for key in PLATFORMS_SECRETS for name in conf.get(key) or {})
        secrets = [*(conf.get("env_secrets") or []), *(n for n in platforms if os.environ.get(n))]
        with container_of_image(image, secrets) as url:
            yield _target(url)
    elif os.environ.get("PYM_SERVER_HOST") and os.environ.get("PYM_SERVER_PORT"):
        yield Target(
            host=os.environ["PYM_SERVER_HOST"].rpartition("//")[2].rstrip("/"),
            port=int(os.environ["PYM_SERVER_PORT"]),
        )
    else:
        click.echo("=> starting the service of this folder")
        with server_of_folder(Path.cwd()) as url:
            yield _target(url)


def live_target(conf: PyMacaronConfig, env: str) -> Target:
    """Where the configuration of an environment says that its live server is."""
    url = conf.get("live_url")
    if url:
        return _target(str(url))
    host = conf.get("live_host")
    if not host:
        raise ConfigError(f"the configuration of {env} has no live_url: where is the server?")
    beanstalk = conf.get("deploy_target", "aws-beanstalk") == "aws-beanstalk"
    plain = beanstalk and not conf.get("aws_cert_arn")
    return Target(host=str(host), port=80 if plain else 443)


def _target(url: str) -> Target:
    parts = urlsplit(url)
    return Target(
        host=parts.hostname or "", port=parts.port or (443 if parts.scheme == "https" else 80)
    )


def _environment(target: Target, token: str | None, no_ssl_check: bool) -> dict[str, str]:
    environ = {
        **os.environ,
        "PYM_SERVER_HOST": target.host,
        "PYM_SERVER_PORT": str(target.port),
    }
    if token:
        environ["PYM_JWT_TOKEN"] = token
    if no_ssl_check:
        environ["NO_SSL_CHECK"] = "1"
    return environ


if __name__ == "__main__":
    main()
