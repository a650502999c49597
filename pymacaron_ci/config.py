"""Is pym-config.yaml right? All that is wrong at once, or a frozen `Config` with typed settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pymacaron_ci import document, findings
from pymacaron_ci.document import Document, Where
from pymacaron_ci.errors import ConfigError
from pymacaron_ci.findings import Case, between, conversions, google, presence, secrecy
from pymacaron_ci.model import Location, Problem
from pymacaron_ci.options import OPTIONS, TARGETS, Complaint, Option, Settings, Target
from pymacaron_ci.options.declare import AWS
from pymacaron_ci.options.spelling import nearest
from pymacaron_ci.options.validation import complaints, whole
from pymacaron_ci.quoting import quoted

FILE = "pym-config.yaml"


@dataclass(frozen=True, kw_only=True)
class Config:
    """A configuration that is right. `own` are the application's own keys, `data` all of them."""

    file: Path
    folder: Path
    environment: str | None
    settings: Settings
    own: Mapping[str, object] = field(repr=False)
    data: Mapping[str, object] = field(repr=False)
    document: Document = field(repr=False)
    warnings: tuple[Problem, ...] = ()

    @property
    def target(self) -> Target:
        return self.settings.deploy_target

    @property
    def live_url(self) -> str:
        """Without a slash at the end."""
        if self.settings.live_url:
            return self.settings.live_url.rstrip("/")
        plain = self.target == "aws-beanstalk" and not self.settings.aws_cert_arn
        return f"{'http' if plain else 'https'}://{self.settings.live_host}"

    @property
    def live_host(self) -> str:
        """With the port, where the URL has one."""
        return urlsplit(self.live_url).netloc

    @property
    def secret_names(self) -> tuple[str, ...]:
        return self.settings.env_secrets

    def project(self, fallback: str | None = None) -> str:
        """The Google Cloud project. `fallback`: GOOGLE_CLOUD_PROJECT, or the credentials' own."""
        if self.target == "gke":
            return self.settings.docker_repo
        found = self.settings.gcp_project or fallback
        if not found:
            where = self.document.value_location("deploy_target")
            raise ConfigError(
                problems=[
                    Problem(
                        text="the Google Cloud project is not known: neither the file nor the "
                        "credentials name one",
                        hint="add `gcp_project: <project ID>`, or set GOOGLE_CLOUD_PROJECT",
                        location=where,
                    )
                ]
            )
        return found

    def cloud_run_service(self, fallback_project: str | None = None) -> str:
        """The name without -staging or -live. In 2.x, docker_repo was often the project."""
        repo = self.settings.docker_repo
        return self.settings.name if repo == self.project(fallback_project) else repo

    def image_repository(self, fallback_project: str | None = None) -> str:
        """Where the image is pushed, without a tag."""
        chosen = self.settings
        if self.target == "aws-beanstalk":
            return f"{chosen.docker_registry or 'docker.io'}/{chosen.docker_repo}/{chosen.name}"
        registry = chosen.docker_registry or f"{chosen.gcp_region}-docker.pkg.dev"
        # A project of the old kind is example.com:project, which stands as a folder in image names.
        project = self.project(fallback_project).replace(":", "/")
        return f"{registry}/{project}/{chosen.docker_repository}/{chosen.name}"


def load(folder: Path, environment: str | None = None) -> Config:
    """Reads pym-config.<environment>.yaml, or pym-config.yaml, in `folder`.

    Raises ConfigError with all problems of the file, warnings too, in the order of their places.
    """
    path = _find(folder, environment)
    return judge(document.load(path), path, folder, environment)


def judge(read: Document, path: Path, folder: Path, environment: str | None) -> Config:
    """The same for a file that has been read already."""
    data = read.data
    listed = findings.secret_names(data)
    references = {n for n, v in data.items() if isinstance(v, str) and v in listed}
    known = {n: v for n, v in data.items() if n in OPTIONS and n not in references}
    problems = list(read.problems)
    unusable = set()
    for where, complaint in complaints(known):
        problems.append(_problem(read, where, complaint))
        if complaint.severity == "error":
            unusable.add(where[0])
    usable = {n: v for n, v in known.items() if n not in unusable and v is not None}
    # A text keeps the name of its secret; a number or a switch has its default until then.
    named = {n: data[n] for n in references if n in OPTIONS and OPTIONS[n].is_text}
    settings = _settings({**usable, **named})
    case = Case(
        document=read,
        settings=settings,
        usable=frozenset(usable),
        target=_target(data, "deploy_target" in usable),
        secret_names=listed,
    )
    for find in (presence.find, between.find, google.find, secrecy.find, conversions.find):
        problems.extend(find(case))
    problems.sort(
        key=lambda p: (p.location.line or 0, p.location.column or 0) if p.location else (0, 0)
    )
    if any(p.severity == "error" for p in problems):
        raise ConfigError(problems=problems)
    return Config(
        file=path,
        folder=folder,
        environment=environment,
        settings=settings,
        own={k: v for k, v in data.items() if k not in OPTIONS},
        data=data,
        document=read,
        warnings=tuple(problems),
    )


def _problem(read: Document, where: Where, complaint: Complaint) -> Problem:
    conversion = read.conversions.get(where)
    hint = complaint.hint
    text = complaint.text
    if conversion and complaint.severity == "error":
        option = OPTIONS[str(where[0])]
        hint = conversion.hint
        if secrecy.is_secret_name(option.name) or option.name == "env_secrets":
            hint = "write it in quotes"
        else:
            text = f"{text}: YAML reads {conversion.raw} as {conversion.read_as}"
            hint = "write it in quotes" if option.is_text else hint
    return Problem(
        text=text, severity=complaint.severity, hint=hint, location=read.value_location(*where)
    )


def _target(data: Mapping[str, object], usable: bool) -> Target | None:
    """The target to judge by. One that is misspelt, or its key, is taken for what it should be."""
    given = data.get("deploy_target")
    if given is None:
        written = (v for k, v in data.items() if nearest(k, ["deploy_target"]))
        return next((t for v in written for t in TARGETS if t == v), AWS)
    meant = given if usable else nearest(str(given), TARGETS)
    return next((t for t in TARGETS if t == meant), None)


def _settings(usable: Mapping[str, object]) -> Settings:
    values = {name: _typed(OPTIONS[name], value) for name, value in usable.items()}
    # Without these two there is a problem already, and nobody sees the settings.
    return Settings(**{"name": "", "docker_repo": "", **values})  # type: ignore[arg-type]


def _typed(option: Option, value: object) -> object:
    value = whole(option, value)
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and option.is_text:
        return f"{value:g}"
    return value


def _find(folder: Path, environment: str | None) -> Path:
    if environment is None:
        path = folder / FILE
        similar = [
            n
            for n in ("pym-config.yml", "pym_config.yaml", "pym-config.json")
            if (folder / n).exists()
        ]
        if not path.exists():
            raise _missing(path, _how_to_find_it(folder, similar))
        return path
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", environment):
        raise ConfigError(
            f"{quoted(environment)} can't be the name of an environment",
            hint="letters, digits, _ . and -: the file is pym-config.<environment>.yaml",
        )
    path = folder / f"pym-config.{environment}.yaml"
    if not path.exists():
        # Never pym-config.yaml in its place: 2.x deployed live's settings to staging like that.
        others = _environments(folder)
        near = nearest(environment, others)
        known = (
            f"there are configurations for {', '.join(others[:20])}"
            if others
            else f"add it, or leave --env out to use {FILE}"
        )
        raise _missing(path, f"did you mean {near}?" if near else known)
    return path


def _how_to_find_it(folder: Path, similar: Sequence[str]) -> str:
    if similar:
        return f"there is {similar[0]}: rename it"
    if not folder.is_dir():
        return f"{quoted(str(folder))} is no folder: -C takes the one in which {FILE} lies"
    others = _environments(folder)
    if others:
        return f"there is pym-config.{others[0]}.yaml: --env {others[0]} uses it"
    return "run this in the service's folder, or give that folder with -C"


def _environments(folder: Path) -> list[str]:
    """Those that have a configuration of their own."""
    names = (path.name for path in folder.glob("pym-config.*.yaml"))
    return sorted(name.removeprefix("pym-config.").removesuffix(".yaml") for name in names)


def _missing(path: Path, hint: str) -> ConfigError:
    location = Location(file=str(path))
    text = f"{path.name} does not exist"
    return ConfigError(problems=[Problem(text=text, hint=hint, location=location)])
