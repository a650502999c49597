"""Images built and pushed by a Docker engine, through its API.

For services with a Dockerfile of their own or a Dockerfile.extra, and where it is asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import docker
import docker.errors
from docker.utils.build import PatternMatcher
from requests.exceptions import RequestException

from pymacaron_ci import context, dockerfile
from pymacaron_ci.errors import BuildError
from pymacaron_ci.images import logins, registry
from pymacaron_ci.images.docker_errors import build_error, no_engine, push_error
from pymacaron_ci.images.recipe import (
    HOME,
    PORT,
    USER,
    VENV,
    Parts,
    Recipe,
    environment,
    labels,
    parts,
)
from pymacaron_ci.model import Image, Release

# Tags that move: the packages' stage, and the last image. Only digests are deployed.
_CACHE_TAGS = (dockerfile.PACKAGES, "latest")
_BUILD_TIMEOUT = 1800


class DockerBuilder:
    """The layers of the last push serve as cache for machines that start empty."""

    def __init__(self, recipe: Recipe, progress: Callable[[str], None] = lambda _: None) -> None:
        self._recipe = recipe
        self._progress = progress
        self._client: docker.DockerClient | None = None
        self._cached: list[Image] = []

    def save(self, image: Image, file: Path) -> None:
        """The image as `docker save` writes it."""
        with _foreign_errors("saving the image"):
            kept = self._engine().images.get(f"{image.repository}:{image.tag}")
            try:
                with file.open("wb") as stream:
                    for chunk in kept.save(named=f"{image.repository}:{image.tag}"):
                        stream.write(chunk)
            except OSError as error:
                raise BuildError(f"{file} can't be written: {error.strerror}") from error

    def ready(self) -> None:
        """Raises BuildError unless an engine answers and has, or can get, the base image."""
        with _foreign_errors("asking the Docker engine"):
            client = self._engine()
            if not (self._recipe.folder / "Dockerfile").is_file():
                self._have_base(client)

    def build(self, release: Release) -> Image:
        made = self._build(release)
        with _foreign_errors("looking at the image"):
            self._check_platform(self._engine(), f"{made.repository}:{made.tag}")
        return made

    def _check_platform(self, client: docker.DockerClient, name: str) -> None:
        """An engine builds for its own machine, or for that of the base image."""
        found = client.images.get(name).attrs
        platform = f"{found.get('Os')}/{found.get('Architecture')}"
        wanted = self._recipe.platforms
        machines = {"/".join(name.split("/")[:2]) for name in wanted}  # without the variant
        if machines and machines != {platform}:
            raise BuildError(
                f"the Docker engine made an image for {platform}; `platforms` asks for "
                f"{', '.join(wanted)}",
                hint="`builder: layers` makes images for any platform; or build on such a machine, "
                "as GitHub's runners are",
            )

    def _build(self, release: Release) -> Image:
        made = parts(self._recipe, release)
        context.note(made.context, self._progress)
        name = f"{release.image.repository}:{release.image.tag}"
        with _foreign_errors("building the image"), tempfile.TemporaryFile() as file:
            client = self._engine()
            own = made.context.find("Dockerfile")
            if own:
                self._write(_without_ignored(made.context), file)
                self._run_build(client, file, name, release, dockerfile="Dockerfile")
                self._judge_user(client, name)
                return release.image
            self._have_base(client)
            self._write(_with_dockerfile(made, self._recipe), file)
            cache = self._pull_cache(client, release.image)
            packages = f"{release.image.repository}:{dockerfile.PACKAGES}"
            for target, tag in ((dockerfile.PACKAGES, packages), (None, name)):
                self._run_build(
                    client,
                    file,
                    tag,
                    release,
                    dockerfile=dockerfile.NAME,
                    target=target,
                    cache=cache,
                )
            client.images.get(name).tag(release.image.repository, "latest")
            self._cached = [replace(release.image, tag=tag) for tag in _CACHE_TAGS]
        return release.image

    def foresee(self, release: Release) -> Image:
        """Without a digest: an engine knows it once it has built."""
        parts(self._recipe, release)  # what must not be shipped is an error here, too
        return release.image

    def push(self, image: Image) -> Image:
        with _foreign_errors("pushing the image"):
            client = self._engine()
            digest = self._push(client, image)
            for cached in self._cached:
                self._push(client, cached)
        return replace(image, digest=digest)

    def _judge_user(self, client: docker.DockerClient, name: str) -> None:
        user = str(client.images.get(name).attrs["Config"].get("User") or "root")
        if user.split(":")[0] in ("root", "0"):
            self._recipe.warn("the image of this Dockerfile runs as root: end it with `USER 10001`")

    def _engine(self) -> docker.DockerClient:
        if self._client is None:
            self._client = _connect(self._recipe.environ)
        return self._client

    def _have_base(self, client: docker.DockerClient) -> None:
        base = self._recipe.base_image
        try:
            client.images.get(base)
        except docker.errors.ImageNotFound:
            self._progress(f"pulling {base}")
            try:
                self._pull(client, base)
            except docker.errors.APIError as error:
                raise BuildError(
                    f"the base image {base} can't be pulled: {error.explanation}",
                    hint="check docker_base or python_version, and the log-in for its registry",
                ) from error

    def _pull_cache(self, client: docker.DockerClient, image: Image) -> list[str]:
        """The images whose layers the engine may reuse: given some, it looks at no others."""
        found = []
        for tag in _CACHE_TAGS:
            name = f"{image.repository}:{tag}"
            try:
                client.images.get(name)
            except docker.errors.ImageNotFound:
                try:
                    self._pull(client, name)
                except docker.errors.APIError:
                    continue  # the first push, or no permission to read: slower, not wrong
                self._progress(f"using the layers of {name}")
            found.append(name)
        return found

    def _pull(self, client: docker.DockerClient, reference: str) -> None:
        repository, tag = registry.split(reference)
        login = self._recipe.login(_host(reference))
        client.images.pull(repository, tag=tag, auth_config=_auth(login) if login else None)

    def _write(self, entries: Iterable[context.Entry], file: IO[bytes]) -> None:
        context.write_tar(entries, file, created=self._recipe.source.created)

    def _run_build(
        self,
        client: docker.DockerClient,
        file: IO[bytes],
        tag: str,
        release: Release,
        **options: Any,
    ) -> None:
        file.seek(0)
        lines: list[str] = []
        for message in client.api.build(
            fileobj=file,
            custom_context=True,
            tag=tag,
            labels=labels(self._recipe, release) if options.get("target") is None else {},
            rm=True,
            forcerm=True,
            decode=True,
            dockerfile=options["dockerfile"],
            target=options.get("target"),
            cache_from=options.get("cache"),
            use_config_proxy=True,
            network_mode=_network(client),
        ):
            text = str(message.get("stream", "")).rstrip()
            if text.startswith("Step "):
                lines.clear()
                self._progress(text)
            lines += text.splitlines()
            if "error" in message:
                raise build_error(str(message["error"]), lines)

    def _push(self, client: docker.DockerClient, image: Image) -> str:
        digest, layers, sent = "", set(), set()
        login = self._recipe.login(_host(image.repository))
        answers = client.api.push(
            image.repository,
            image.tag,
            stream=True,
            decode=True,
            auth_config=_auth(login) if login else None,
        )
        for message in answers:
            if "error" in message:
                raise push_error(str(message["error"]), image, login)
            if message.get("id") and message.get("status") == "Preparing":
                layers.add(message["id"])
            if message.get("status") == "Pushed":
                sent.add(message["id"])
                self._progress(f"{image.tag}: layer {message['id']} sent")
            digest = message.get("aux", {}).get("Digest", digest)
        if not digest:
            raise BuildError(f"the registry answered no digest for {image}")
        self._progress(f"{image.tag}: {len(sent)} of {len(layers)} layers were new")
        return digest


def load(file: Path, environ: Mapping[str, str]) -> None:
    """Puts an image that another builder saved into the engine."""
    with _foreign_errors("loading the image"), file.open("rb") as stream:
        _connect(environ).images.load(stream)


def _connect(environ: Mapping[str, str]) -> docker.DockerClient:
    try:
        client = docker.from_env(environment=dict(environ), timeout=_BUILD_TIMEOUT)
        client.ping()
    except (docker.errors.DockerException, RequestException) as error:
        raise no_engine(environ, str(error)) from error
    return client


def _with_dockerfile(made: Parts, recipe: Recipe) -> list[context.Entry]:
    extra = made.context.find("Dockerfile.extra")
    text = dockerfile.text(
        base=recipe.base_image,
        home=HOME,
        venv=VENV,
        user=USER,
        port=PORT,
        environment=environment(),
        command=recipe.command,
        wheel=f".runtime/{made.wheel.name}{recipe.extras}" if made.wheel else None,
        hashed=made.requirements.hashed,
        included=made.requirements.included,
        extra=extra.read().decode("utf-8", "replace") if extra else "",
        root_first=recipe.base is not None,
    )
    # The engine takes the files out of the context that .dockerignore names, once it has read them.
    ignored = f"{dockerfile.NAME}\n.dockerignore\n"
    entries = [e for e in made.context.entries if e.path != ".dockerignore"]
    return [
        *entries,
        context.Entry(path=dockerfile.NAME, content=text.encode()),
        context.Entry(path=".dockerignore", content=ignored.encode()),
    ]


def _without_ignored(collected: context.Context) -> list[context.Entry]:
    """What a service's own .dockerignore leaves, for its own Dockerfile."""
    ignore = collected.find(".dockerignore")
    if ignore is None:
        return list(collected.entries)
    lines = [line.strip() for line in ignore.read().decode("utf-8", "replace").splitlines()]
    matcher = PatternMatcher([line for line in lines if line and not line.startswith("#")])
    kept = ("Dockerfile", ".dockerignore")
    return [
        entry
        for entry in collected.entries
        if entry.path in kept or not matcher.matches(entry.path)  # type: ignore[arg-type]
    ]


def _network(client: docker.DockerClient) -> str | None:
    """The host's, where the engine has no bridge (sandboxes without netfilter)."""
    return None if client.networks.list(names=["bridge"]) else "host"


def _host(reference: str) -> str:
    return registry.parse(registry.split(reference)[0]).host


def _auth(login: logins.Login) -> dict[str, str]:
    if login.identity_token:
        return {"identitytoken": login.identity_token}
    return {"username": login.user, "password": login.password}


@contextmanager
def _foreign_errors(what: str) -> Iterator[None]:
    try:
        yield
    except docker.errors.APIError as error:
        explanation = str(error.explanation or error)
        raise build_error(explanation, []) from error
    except (docker.errors.DockerException, RequestException) as error:
        raise BuildError(f"the Docker engine failed while {what}: {error}") from error
