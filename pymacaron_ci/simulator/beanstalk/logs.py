"""CloudWatch Logs: what the servers of environments wrote, one stream for each server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from pymacaron_ci.simulator.beanstalk.engine import Engine
from pymacaron_ci.simulator.beanstalk.state import Environment, Store
from pymacaron_ci.simulator.beanstalk.wire import AwsError
from pymacaron_ci.simulator.instances import LogLine

Values = dict[str, Any]
PREFIX = "/aws/elasticbeanstalk/"
ENGINE = "/var/log/eb-engine.log"
CONTAINER = "/var/log/eb-docker/containers/eb-current-app/stdouterr.log"
_END = "f/the-end"  # of a stream, as far as it is known


class Logs:
    """Operations (`logs_<Operation>`). An environment's groups are there while it is."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store, self._engine = store, engine

    def logs_DescribeLogGroups(self, p: Values) -> Values:
        names = [
            f"{PREFIX}{environment.name}{file}"
            for environment in self._store.state.there()
            for file in (CONTAINER, ENGINE)
        ]
        prefix = p.get("logGroupNamePrefix", "")
        return {"logGroups": [{"logGroupName": n} for n in names if n.startswith(prefix)]}

    def logs_DescribeLogStreams(self, p: Values) -> Values:
        environment, _ = self._group(p["logGroupName"])
        prefix = p.get("logStreamNamePrefix", "")
        streams = [
            {"logStreamName": name, "creationTime": int(started * 1000), "storedBytes": 0}
            for name, started in environment.instances.items()
            if name.startswith(prefix)
        ]
        return {"logStreams": streams}

    def logs_GetLogEvents(self, p: Values) -> Values:
        environment, file = self._group(p["logGroupName"])
        lines = self._lines(environment, file, p["logStreamName"])
        events = [{"timestamp": _millis(line.time), "message": line.text} for line in lines]
        chosen = events[-p.get("limit", 10_000) :] if p.get("nextToken") != _END else []
        return {"events": chosen, "nextForwardToken": _END, "nextBackwardToken": "b/the-start"}

    def _group(self, name: str) -> tuple[Environment, str]:
        for environment in self._store.state.there():
            for file in (CONTAINER, ENGINE):
                if name == f"{PREFIX}{environment.name}{file}":
                    return environment, file
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")

    def _lines(self, environment: Environment, file: str, stream: str) -> Sequence[LogLine]:
        if stream not in environment.instances:
            raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        if file == CONTAINER:
            return self._engine.lines(environment, stream)
        started = datetime.fromtimestamp(environment.instances[stream], timezone.utc).isoformat()
        text = environment.tail.get("eb-engine.log", "Instance deployment completed successfully.")
        return [LogLine(started, line) for line in text.splitlines()]


def _millis(time: str) -> int:
    return int(datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() * 1000)
