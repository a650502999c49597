"""The platform's verdict on an environment, and what is known of its causes when it is no."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator

from pymacaron_ci.errors import DeployError, OutOfTime
from pymacaron_ci.model import Verdict
from pymacaron_ci.targets.beanstalk.cloud import Cloud, Environment
from pymacaron_ci.targets.beanstalk.patience import Waiter
from pymacaron_ci.waiting import Pending, Ready

_ORDER = ("Ok", "Info", "Warning")
_SICK = ("Warning", "Degraded", "Severe", "Suspended")
_STEADY = 2
_LINES = 40
_TRACE = 6

# What the events and logs of failing environments say, and what it means.
CAUSES = (
    (r"pull access denied|unauthorized: |no basic auth credentials|denied: requested access",
     "the servers may not pull the image: check the log-in in docker_bucket, or the instance "
     "profile's right to read ECR"),
    (r"not authorized to perform: (secretsmanager|ssm|kms):|retriev\w+ (the )?secret",
     "the servers may not read what aws_secrets names: the instance profile needs "
     "secretsmanager:GetSecretValue, ssm:GetParameter, and kms:Decrypt for keys of your own"),
    (r"manifest unknown|not found: manifest|repository .* not found|image.*: not found",
     "the image is not in the registry: was it deleted after the push?"),
    (r"exec format error|no matching manifest",
     "the image is made for another CPU than the servers': see `platforms` and "
     "aws_instance_type"),
    (r"\bKilled\b|OOMKilled|out of memory|OutOfMemory|MemoryError",
     "the servers have too little memory: take a larger aws_instance_type or fewer workers"),
    (r"ModuleNotFoundError|ImportError", "a Python module is missing: see requirements.txt"),
    (r"Traceback \(most recent call last\)", "the service fails when it starts: see the log"),
    (r"instance profile .* does not exist|must have instance profile",
     "the instance profile is missing: see aws_instance_profile"),
    (r"ELB processes are not healthy|failing health checks|Target\.ResponseCodeMismatch",
     "the service does not answer its health check: see aws_health_path, and that it listens on "
     "the port in PORT"),
)  # fmt: skip


class Proof:
    def __init__(self, cloud: Cloud, waiter: Waiter, accept: str) -> None:
        self._cloud, self._waiter = cloud, waiter
        self._accepted = _ORDER[: _ORDER.index(accept) + 1]

    def health(self, name: str, url: str) -> Verdict:
        """Two good answers in a row, or why not."""
        environment = self._cloud.environment(name)
        if environment is None:
            return Verdict(ok=False, reason=f"environment {name} is gone")
        steady = 0
        sick_since: float | None = None

        def probe() -> Ready[str] | Pending:
            nonlocal steady, sick_since
            now = self._cloud.by_id(environment.id)
            if now is None or now.ending:
                return Ready(f"environment {name} was ended")
            if not now.ready:
                return Pending(f"{name} is {now.status}")
            health = self._cloud.health(now)
            told = f"{name} is {health.status}" + "".join(f": {c}" for c in health.causes)
            if health.status in self._accepted:
                steady, sick_since = steady + 1, None
                return Ready("") if steady >= _STEADY else Pending(told)
            steady = 0
            if health.status in _SICK:
                moment = self._waiter.clock.now()
                sick_since = moment if sick_since is None else sick_since
                grace = 0.0 if self._failed(environment) else self._waiter.patience.grace
                if moment - sick_since >= grace:
                    return Ready(told)
            return Pending(told)

        try:
            reason = self._waiter.until(
                f"waiting until {name} is well", probe, self._waiter.patience.launch
            )
        except OutOfTime as late:
            reason = str(late)
        if not reason:
            return Verdict(ok=True, url=url)
        details = tuple(self.dossier(environment))
        return Verdict(ok=False, reason=reason, hint=cause(reason, *details), details=details)

    def _failed(self, environment: Environment) -> bool:
        """Whether Elastic Beanstalk has given up its own attempts already."""
        return any(e.bad for e in self._cloud.events(environment.id))

    def dossier(self, environment: Environment) -> Iterator[str]:
        """Events, causes and the last lines of the log. Whatever can't be had is left out."""
        try:
            for event in self._cloud.events(environment.id)[-30:]:
                if event.severity != "INFO":
                    yield f"event: {event}"
            yield from self._cloud.instance_causes(environment.name)
        except DeployError as error:
            yield f"no more is known: {error}"
            return
        try:
            yield from self._log(environment)
        except (DeployError, OutOfTime, OSError, ValueError) as error:
            yield f"no log could be had: {error}"

    def _log(self, environment: Environment) -> Iterator[str]:
        name = {"EnvironmentName": environment.name, "InfoType": "tail"}
        self._cloud.call("request_environment_info", **name)

        def probe() -> Ready[str] | Pending:
            answer = self._cloud.call("retrieve_environment_info", **name)
            found = answer.get("EnvironmentInfo", [])
            return Ready(str(found[-1]["Message"])) if found else Pending()

        url = self._waiter.until("waiting for the log", probe, self._waiter.patience.logs)
        if not url.startswith(("https://", "http://")):
            raise ValueError("its address is no URL")
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 (checked above)
            lines = answer.read(2_000_000).decode("utf-8", "replace").splitlines()
        yield from (f"log: {line}" for line in readable(lines)[-_LINES:])


def readable(lines: Iterable[str]) -> list[str]:
    """Log lines for people: the runtime's JSON records as text, and what repeats itself once.

    A service that can't start is started again and again, by another process each time.
    """
    seen: dict[str, str] = {}
    for line in lines:
        for text in _texts(line):
            if text.strip("- "):
                seen.setdefault(re.sub(r"\d+", "#", text), text)
    return list(seen.values())


def _texts(line: str) -> list[str]:
    try:
        record = json.loads(line)
    except ValueError:
        return [line]
    if not isinstance(record, dict) or "message" not in record:
        return [line]
    told = f"{record.get('severity', '')} {record['message']}".strip()
    trace = str(record.get("exception") or "").splitlines()
    return [told, *trace[-_TRACE:]]


def cause(*texts: str) -> str | None:
    """What usually lies behind such texts."""
    whole = "\n".join(texts)
    for pattern, meaning in CAUSES:
        if re.search(pattern, whole, re.IGNORECASE):
            return meaning
    return None
