"""Where a running simulator answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """`run` serves all of Google's APIs; `registry` is a host and port without a scheme, as image
    names have it.
    """

    run: str
    registry: str
    # what an instance is: "container" or "process"
    instances: str = "process"
    # the URLs of other clouds that were asked for, by name: aws, kubernetes
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def google(self) -> str:
        return self.run

    @property
    def registry_url(self) -> str:
        return f"http://{self.registry}"

    def as_json(self) -> dict[str, object]:
        return asdict(self)
