"""A place for a service's own tests: a copy of what ships, and its requirements installed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pymacaron_ci import context, installer, runtime_wheel
from pymacaron_ci.config import Config
from pymacaron_ci.findings import PLATFORMS_SECRETS, secret_names
from pymacaron_ci.images.recipe import pins_runtime
from pymacaron_ci.model import Secret

# Where services keep what only their tests need; the first two are the common names.
TEST_REQUIREMENTS = (
    "requirements-test.txt",
    "requirements-dev.txt",
    "test-requirements.txt",
    "test/requirements.txt",
    "testaccept/requirements.txt",
)
# What pymacaron.test and our own reading of the results need.
OUR_REQUIREMENTS = "pytest>=8.0\nrequests>=2.31\n"
# What a test process may see of the run's environment, beside the secrets it is given by name.
KEPT = (
    "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NO_SSL_CHECK",
)  # fmt: skip


@contextmanager
def files_of(config: Config, environ: Mapping[str, str], version: str) -> Iterator[Path]:
    """A folder with the files that ship and the tests, and nothing else; gone afterwards."""
    found = context.collect(
        config.folder,
        environ,
        config_file=config.file,
        version=version,
        include_links=config.settings.include_links,
        tests_too=True,
    )
    with tempfile.TemporaryDirectory(prefix="pymacaron-service-") as name:
        for entry in found.entries:
            file = Path(name) / entry.path
            file.parent.mkdir(parents=True, exist_ok=True)
            if entry.link is not None:
                file.symlink_to(entry.link)
            else:
                file.write_bytes(entry.read())
                file.chmod(0o755 if entry.program else 0o644)
        yield Path(name)


def interpreter(
    files: Path,
    cache: Path,
    environ: Mapping[str, str],
    progress: Callable[[str], None],
    *,
    extras: str = "",
) -> Path:
    """An interpreter that has the service's requirements, its tests', pytest and the runtime."""
    needed = [f for f in (files / "requirements.txt",) if f.is_file()]
    for_tests = [files / name for name in TEST_REQUIREMENTS if (files / name).is_file()]
    with tempfile.TemporaryDirectory(prefix="pymacaron-wheel-") as name:
        ours = Path(name) / "pymacaron-test-requirements.txt"
        ours.write_text(OUR_REQUIREMENTS, encoding="utf-8")
        wheels = []
        if not pins_runtime(files):
            wheel = runtime_wheel.build()
            wheels.append(Path(name) / wheel.name)
            wheels[0].write_bytes(wheel.content)
        # What the service needs is what the simulator's instances need: installed once.
        service = installer.ensure(
            cache, needed, wheels=wheels, extras=extras, environ=environ, progress=progress
        )
        return installer.ensure(
            cache, [*for_tests, ours], over=service, environ=environ, progress=progress
        )


def token(
    config: Config, secrets: tuple[Secret, ...], progress: Callable[[str], None]
) -> str | None:
    """A token that the service accepts, for its protected endpoints; None without a jwt_secret that
    is known here."""
    import time

    import jwt

    settings = config.settings
    source = secret_names(config.data).get(settings.jwt_secret or "")
    if source in PLATFORMS_SECRETS:
        progress(f"the tests get no token: only the service can read jwt_secret ({source})")
        return None
    secret = value_of(settings.jwt_secret, secrets)
    if not secret:
        return None
    now = int(time.time())
    claims = {
        "iss": value_of(settings.jwt_issuer, secrets),
        "aud": value_of(settings.jwt_audience, secrets),
        "sub": value_of(settings.default_user_id, secrets) or "PYM_DEFAULT_USER_ID",
        "iat": now,
        "exp": now + 3600,
    }
    return jwt.encode({k: v for k, v in claims.items() if v}, secret, algorithm="HS256")


def value_of(setting: str | None, secrets: tuple[Secret, ...]) -> str | None:
    """A setting's value, where it may be the name of a secret."""
    return next((s.reveal() for s in secrets if s.name == setting), setting)


def base_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in KEPT if name in environ}
