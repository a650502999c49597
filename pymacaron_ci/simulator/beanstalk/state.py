"""What a simulated Elastic Beanstalk and its account hold; kept in one file."""

from __future__ import annotations

import secrets
import string
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymacaron_ci.simulator.files import read_json, write_json

ACCOUNT = "123456789012"


def new_id(prefix: str, length: int = 10, alphabet: str = string.ascii_lowercase) -> str:
    return prefix + "".join(secrets.choice(alphabet) for _ in range(length))


@dataclass(kw_only=True)
class Timings:
    """How long the simulated cloud takes, in seconds; `event` and `dns`: how late news arrive."""

    process: float = 0.3
    launch: float = 1.0
    update: float = 0.5
    swap: float = 0.5
    terminate: float = 0.5
    event: float = 0.1
    dns: float = 0.3
    start: float = 20.0
    monitor: float = 0.3


@dataclass(kw_only=True)
class Account:
    """Who and what there is beside Elastic Beanstalk. None: whatever is asked for exists."""

    region: str = "eu-west-1"
    key_pairs: list[str] | None = None
    instance_profiles: list[str] | None = None
    roles: list[str] | None = None
    repositories: list[str] | None = None
    buckets: dict[str, str] | None = None  # name → region; None: any, made when first used
    foreign_buckets: list[str] = field(default_factory=list)
    # VPC → subnet → availability zone. None: a default VPC, and no other
    networks: dict[str, dict[str, str]] | None = None
    # values by name, of Secrets Manager and Parameter Store. None: whatever is asked for exists
    secrets: dict[str, str] | None = None
    parameters: dict[str, str] | None = None
    foreign_names: list[str] = field(default_factory=list)
    certificates: dict[str, dict[str, Any]] | None = None
    denied: list[str] = field(default_factory=list)  # "ec2:DescribeKeyPairs"
    expired_keys: list[str] = field(default_factory=list)
    forced_health: dict[str, str] = field(default_factory=dict)  # environment's name → HealthStatus
    environment_quota: int = 200
    version_quota: int = 1000


@dataclass(kw_only=True)
class Version:
    application: str
    label: str
    description: str = ""
    bucket: str = ""
    key: str = ""
    status: str = "UNPROCESSED"
    created: float = 0.0
    updated: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Operation:
    """Something an environment is in the middle of."""

    kind: str
    request_id: str
    due: float
    other: str = ""  # the environment a name is exchanged with


@dataclass(kw_only=True)
class Environment:
    id: str
    name: str
    application: str
    cname: str
    platform: str
    version: str = ""
    description: str = ""
    options: dict[str, str] = field(default_factory=dict)  # "namespace|name" → value
    tags: dict[str, str] = field(default_factory=dict)
    created: float = 0.0
    updated: float = 0.0
    status: str = "Launching"
    color: str = "Grey"
    health: str = "Pending"
    causes: list[str] = field(default_factory=list)
    instances: dict[str, float] = field(default_factory=dict)  # id → launched at
    operation: Operation | None = None
    port: int = 0
    tail: dict[str, str] = field(default_factory=dict)

    def option(self, namespace: str, name: str, default: str = "") -> str:
        return self.options.get(f"{namespace}|{name}", default)

    @property
    def enhanced(self) -> bool:
        return (
            self.option("aws:elasticbeanstalk:healthreporting:system", "SystemType") == "enhanced"
        )


@dataclass(kw_only=True)
class Event:
    date: float
    message: str
    severity: str
    request_id: str
    application: str
    environment: str | None = None
    environment_id: str | None = None
    version: str | None = None


@dataclass(kw_only=True)
class State:
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)
    environments: dict[str, Environment] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    dns: dict[str, str] = field(default_factory=dict)  # CNAME → environment's id
    ports: dict[str, int] = field(default_factory=dict)  # CNAME → loopback port
    account: Account = field(default_factory=Account)

    def version(self, application: str, label: str) -> Version | None:
        found = (v for v in self.versions if (v.application, v.label) == (application, label))
        return next(found, None)

    def there(self) -> Iterator[Environment]:
        """Environments that are not ended."""
        return (e for e in self.environments.values() if e.status != "Terminated")

    def holder(self, cname: str) -> Environment | None:
        return next((e for e in self.there() if e.cname == cname), None)


class Store:
    """The state, its lock and its file. Whoever reads or changes the state holds the lock."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.lock = threading.RLock()
        self.state = _load(read_json(path)) if path else State()

    def save(self) -> None:
        if self._path:
            write_json(self._path, self.state)

    def event(
        self,
        environment: Environment,
        message: str,
        severity: str = "INFO",
        request_id: str = "",
    ) -> None:
        operation = environment.operation
        self.state.events.append(
            Event(
                date=time.time(),
                message=message,
                severity=severity,
                request_id=request_id or (operation.request_id if operation else ""),
                application=environment.application,
                environment=environment.name,
                environment_id=environment.id,
                version=None,
            )
        )


def _load(data: Any) -> State:
    if not isinstance(data, dict):
        return State()
    environments = {}
    for key, raw in data["environments"].items():
        operation = raw.pop("operation")
        environments[key] = Environment(
            **raw, operation=Operation(**operation) if operation else None
        )
    return State(
        applications=data["applications"],
        versions=[Version(**v) for v in data["versions"]],
        environments=environments,
        events=[Event(**e) for e in data["events"]],
        dns=data["dns"],
        ports=data["ports"],
        account=Account(**data["account"]),
    )
