"""What a container wrote, now or before its last start."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from pymacaron_ci.simulator.instances import LogLine, Runner
from pymacaron_ci.simulator.kubernetes.nodes.kubelet import Kubelet
from pymacaron_ci.simulator.kubernetes.objects import Json, age, find
from pymacaron_ci.simulator.kubernetes.statuses import bad_request
from pymacaron_ci.simulator.web import Response

ALL = 100_000
TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
EVERY = 0.2


class Logs:
    """`GET …/pods/{pod}/log`."""

    def __init__(self, kubelet: Kubelet, runner: Runner) -> None:
        self._kubelet, self._runner = kubelet, runner

    def read(self, pod: Json, query: Mapping[str, str]) -> Response:
        """Raises 400 for a container that has no log (yet)."""
        name = query.get("container") or self._only(pod)
        spec = find(pod["spec"]["containers"], name)
        if spec is None:
            raise bad_request(f"container {name} is not valid for pod {pod['metadata']['name']}")
        container = self._kubelet.container(pod, name)
        what = f'container "{name}" in pod "{pod["metadata"]["name"]}"'
        if container is None:
            raise bad_request(f"{what} is waiting to start: ContainerCreating")
        number = container.restarts
        if query.get("previous", "").lower() == "true":
            if container.previous is None:
                raise bad_request(f"previous terminated {what} not found")
            number = container.previous
        elif "waiting" in container.state and not container.last:
            raise bad_request(f"{what} is waiting to start: {_why(container.state['waiting'])}")
        log = container.log_name(number)
        if query.get("follow", "").lower() == "true":
            return Response(200, self._followed(pod, name, log, query), TEXT)
        return Response(200, _text(self._lines(log, query), query), TEXT)

    @staticmethod
    def _only(pod: Json) -> str:
        names = [container["name"] for container in pod["spec"]["containers"]]
        if len(names) > 1:
            raise bad_request(
                f"a container name must be specified for pod {pod['metadata']['name']}, choose one "
                f"of: [{' '.join(names)}]"
            )
        return str(names[0])

    def _lines(self, log: str, query: Mapping[str, str]) -> list[LogLine]:
        lines = list(self._runner.logs(log, ALL))
        if query.get("sinceSeconds", "").isdigit():
            lines = [line for line in lines if age(line.time) <= int(query["sinceSeconds"])]
        if query.get("sinceTime"):
            lines = [line for line in lines if line.time >= query["sinceTime"]]
        tail = query.get("tailLines", "")
        if tail.isdigit():
            lines = lines[len(lines) - min(int(tail), len(lines)) :]
        return lines

    def _followed(
        self, pod: Json, name: str, log: str, query: Mapping[str, str]
    ) -> Iterator[bytes]:
        known = len(self._runner.logs(log, ALL)) - len(self._lines(log, query))
        while not self._kubelet.closing:
            container = self._kubelet.container(pod, name)
            ended = container is None or not container.running
            lines = list(self._runner.logs(log, ALL))[known:]
            known += len(lines)
            if lines:
                yield _text(lines, query)
            elif ended:
                return
            time.sleep(EVERY)  # nothing tells when an instance writes its next line


def _why(waiting: Json) -> str:
    reason = str(waiting["reason"])
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName"):
        return "trying and failing to pull image"
    return str(waiting.get("message", reason))


def _text(lines: list[LogLine], query: Mapping[str, str]) -> bytes:
    stamps = query.get("timestamps", "").lower() == "true"
    text = "".join(f"{line.time} {line.text}\n" if stamps else f"{line.text}\n" for line in lines)
    data = text.encode()
    limit = query.get("limitBytes", "")
    return data[: int(limit)] if limit.isdigit() else data
