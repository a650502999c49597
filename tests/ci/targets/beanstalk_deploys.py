"""Deployments to a simulated Elastic Beanstalk through the real pipeline, in this process."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.loaders import Loader

from pymacaron_ci import config as configs
from pymacaron_ci import pipeline
from pymacaron_ci.model import CheckResult, Image, Plan, Problem, Release, Report
from pymacaron_ci.simulator.beanstalk.names import LoopbackNames
from pymacaron_ci.simulator.beanstalk.server import BeanstalkServer
from pymacaron_ci.targets.aws import Aws
from pymacaron_ci.targets.beanstalk import Beanstalk, Patience
from tests.ci.simulator.beanstalk_world import client

CONFIG = {
    "name": "hello",
    "deploy_target": "aws-beanstalk",
    "live_url": "http://hello.example.com",
    "docker_repo": "acme",
    "docker_bucket": "acme-config",
    "aws_user": "deployer",
    "aws_region": "eu-west-1",
    "aws_keypair": "aws-eb",
    "aws_instance_type": "t3.micro",
}
_MODELS = Loader()  # read once for all tests
LIVE = "hello.eu-west-1.elasticbeanstalk.com"
QUICK = Patience(
    process=10,
    launch=10,
    grace=0.3,
    swap=10,
    settle=0.3,
    lead=10,
    end=10,
    drain=0.2,
    logs=2,
    first=0.01,
    most=0.05,
)


def release(number: int | str, image: str = "docker.io/acme/hello", **more: Any) -> Release:
    identity = f"{number:0>12}"
    return Release(
        id=identity,
        version=f"v{number}",
        revision=f"commit-{number}",
        image=Image(repository=image, tag=f"v{number}"),
        **more,
    )


class Builder:
    def build(self, release: Release) -> Image:
        return release.image

    def push(self, image: Image) -> Image:
        digest = "sha256:" + image.tag.encode().hex().ljust(64, "0")
        return Image(repository=image.repository, tag=image.tag, digest=digest)


class Checks:
    """Asks /version for real; `refuse` names the phases' URLs whose acceptance tests fail."""

    def __init__(self, refuse: int = 0) -> None:
        self._refuse = refuse
        self._asked = 0

    def unit_tests(self) -> CheckResult:
        return CheckResult(ok=True)

    def version(self, url: str, release: Release, headers: Mapping[str, str]) -> CheckResult:
        found = version(url)
        return CheckResult(ok=found == release.id, reason=f"{url} tells {found}")

    def acceptance(self, url: str, headers: Mapping[str, str]) -> CheckResult:
        self._asked += 1
        return CheckResult(ok=self._asked != self._refuse, reason="a test failed")


class Quiet:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def planned(self, plan: Plan) -> None:
        self.lines.extend(plan.notes)

    def stage(self, title: str) -> AbstractContextManager[None]:
        self.lines.append(title)
        return nullcontext()

    def progress(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, problem: Problem) -> None:
        self.lines.append(str(problem))

    def note(self, text: str) -> None:
        self.lines.append(text)

    def finished(self, report: Report) -> None:
        pass


def version(url: str) -> str | None:
    with urllib.request.urlopen(f"{url}/version", timeout=5) as answer:
        found = json.load(answer).get("release")
        return str(found) if found else None


class Deploys:
    """A service's folder, and the simulated account it is deployed to."""

    def __init__(self, server: BeanstalkServer, folder: Path, **settings: object) -> None:
        self.server = server
        lines = {**CONFIG, **settings}
        text = "".join(f"{k}: {json.dumps(v)}\n" for k, v in lines.items())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pym-config.yaml").write_text(text)
        self.config = configs.load(folder)
        self.reporter = Quiet()
        self.sessions: list[Any] = []
        self._aws: dict[int, Aws] = {}

    def session(self) -> Any:
        core = botocore.session.Session()
        core.register_component("data_loader", _MODELS)
        made = boto3.Session(
            "AKIDSIMULATED", "secret", region_name="eu-west-1", botocore_session=core
        )
        for watch in self.sessions:
            watch(made)
        return made

    def target(self, *, attempts: int = 6, **options: Any) -> Beanstalk:
        if attempts not in self._aws:
            self._aws[attempts] = Aws(
                self.session, endpoint=self.server.url, attempts=attempts, read_timeout=1
            )
        return self.target_over(self._aws[attempts], **options)

    def target_over(self, aws: Aws, **options: Any) -> Beanstalk:
        return Beanstalk(
            self.config,
            aws,
            progress=self.reporter.progress,
            names=LoopbackNames(self.server.url),
            **{"patience": QUICK, **options},
        )

    def deploy(
        self,
        wanted: Release,
        *,
        checks: Checks | None = None,
        hold_signals: Callable[[], AbstractContextManager[object]] = nullcontext,
        **options: Any,
    ) -> Report:
        job = pipeline.Job(
            release=wanted,
            target=self.target(**options),
            builder=Builder(),
            checks=checks or Checks(),
            reporter=self.reporter,
            hold_signals=hold_signals,
        )
        return pipeline.run(job)

    def rollback(self) -> Report:
        previous = self.target().live().previous
        assert previous is not None
        return self.deploy(previous)

    @property
    def live_url(self) -> str:
        return LoopbackNames(self.server.url).url(LIVE)

    @property
    def live(self) -> str | None:
        """The release that answers at the live name."""
        return version(self.live_url)

    def environments(self) -> dict[str, str]:
        """Name → CNAME of those that are not ended or ending."""
        found = client(self.server).describe_environments(IncludeDeleted=False)["Environments"]
        return {
            e["EnvironmentName"]: e["CNAME"]
            for e in found
            if e["Status"] not in ("Terminating", "Terminated")
        }
