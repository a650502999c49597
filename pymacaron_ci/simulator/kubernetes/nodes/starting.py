"""Starts a container's instance, or says in the kubelet's words why it can't be."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pymacaron_ci.simulator.images import Images
from pymacaron_ci.simulator.instances import (
    ImageNotFound,
    Instance,
    InstanceError,
    Limits,
    Runner,
)
from pymacaron_ci.simulator.kubernetes.nodes.environment import (
    ConfigError,
    environment,
    expanded,
)
from pymacaron_ci.simulator.kubernetes.objects import Json, at, quantity
from pymacaron_ci.simulator.kubernetes.store import Store

IMAGE = re.compile(
    r"([\w.-]+(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
NOT_PULLED = "ErrImagePull"


@dataclass(frozen=True)
class NotStarted:
    """`reason` is one of a waiting container's; `event` the reason of the event about it."""

    reason: str
    message: str
    event: str = "Failed"


class Starter:
    def __init__(self, store: Store, runner: Runner, images: Images) -> None:
        self._store, self._runner, self._images = store, runner, images

    @property
    def settling(self) -> float:
        """Seconds until an engine's port proxy found out that nobody listens behind it."""
        return 0.7 if self._runner.kind == "container" else 0.1

    def start(self, pod: Json, spec: Json, name: str, port: int) -> Instance | NotStarted:
        """`name` is what the runner calls the instance."""
        image = str(spec["image"])
        if not IMAGE.fullmatch(image):
            text = (
                f'Failed to apply default image tag "{image}": couldn\'t parse image name '
                f'"{image}": invalid reference format'
            )
            return NotStarted("InvalidImageName", text, "InspectFailed")
        try:
            values = environment(self._store, pod, spec)
        except ConfigError as error:
            return NotStarted("CreateContainerConfigError", str(error))
        limits = at(spec, "resources", "limits", default={})
        command = (*(spec.get("command") or ()), *(spec.get("args") or ()))
        try:
            return self._runner.start(
                image,
                values,
                name=name,
                limits=Limits(
                    port=port,
                    memory=int(quantity(limits["memory"])) if "memory" in limits else None,
                    cpu=float(quantity(limits["cpu"])) if "cpu" in limits else None,
                    read_only=at(spec, "securityContext", "readOnlyRootFilesystem", default=False),
                    writable=tuple(m["mountPath"] for m in spec.get("volumeMounts") or ()),
                ),
                command=tuple(expanded(word, values) for word in command),
            )
        except ImageNotFound:
            text = (
                f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": '
                f'failed to resolve reference "{image}": {image}: not found'
            )
            return NotStarted(NOT_PULLED, text)
        except InstanceError as error:
            return NotStarted("CreateContainerError", str(error))

    def image_id(self, image: str) -> str:
        """An image's full name: by digest, without a tag."""
        try:
            found = self._images.find(image)
        except InstanceError:
            return ""
        host, slash, _ = image.partition("/")
        return f"{host}{slash}{found.repository}@{found.digest}"
