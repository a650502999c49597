"""Cloud Logging: what revisions' instances wrote and answered, by a deployment's filters."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pymacaron_ci.simulator.cloud_run.records import Records, Revision
from pymacaron_ci.simulator.cloud_run.request_log import Answered, RequestLog
from pymacaron_ci.simulator.google.api import Call, Route
from pymacaron_ci.simulator.google.errors import invalid
from pymacaron_ci.simulator.google.projects import Projects
from pymacaron_ci.simulator.instances import Runner

Json = dict[str, Any]
LINES = 2000
TERM = re.compile(r'\s*([\w.]+|logName)\s*(>=|<=|=|!=|>|<|:)\s*("(?:[^"\\]|\\.)*"|[\w./:-]+)\s*')
SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")


class Logs:
    """entries:list, with filters of comparisons that are joined by AND or by new lines."""

    def __init__(
        self, projects: Projects, records: Records, runner: Runner, requests: RequestLog
    ) -> None:
        self._projects, self._records, self._runner = projects, records, runner
        self._requests = requests

    def routes(self) -> Iterable[Route]:
        yield Route("POST", "/v2/entries:list", self._list)

    def _list(self, call: Call) -> Json:
        names = call.body.get("resourceNames") or []
        if not names:
            raise invalid("resource_names is required.", "resource_names")
        terms = _terms(str(call.body.get("filter", "")))
        order = str(call.body.get("orderBy") or "timestamp asc")
        if order not in ("timestamp asc", "timestamp desc", "timestamp"):
            raise invalid('must be "timestamp asc" or "timestamp desc"', "order_by")
        entries = []
        for name in names:
            project = self._projects.get(str(name).split("/")[1])
            project.require_api("logging.googleapis.com")
            project.require("logging.logEntries.list", f"projects/{project.id}")
            entries += [e for e in self._entries(project.id) if _matches(e, terms)]
        entries.sort(key=lambda e: str(e["timestamp"]), reverse=order.endswith("desc"))
        size = int(call.body.get("pageSize") or 50)
        first = int(call.body.get("pageToken") or 0)
        page = entries[first : first + size]
        shown: Json = {"entries": page} if page else {}
        if first + size < len(entries):
            shown["nextPageToken"] = str(first + size)
        return shown

    def _entries(self, project: str) -> Iterator[Json]:
        with self._records.lock:
            revisions = list(self._records.revisions.values())
        for revision in revisions:
            if revision.service.split("/")[1] == project:
                for line in self._runner.logs(revision.instance_name, LINES):
                    shown = _payload(line.text)
                    yield _entry(project, revision, "stdout", line.time, shown)
                for answered in self._requests.of(revision.name):
                    shown = {"httpRequest": _request(answered)}
                    yield _entry(project, revision, "requests", answered.time, shown)


def _request(answered: Answered) -> Json:
    return {
        "requestMethod": answered.method,
        "requestUrl": answered.target,
        "status": answered.status,
    }


def _entry(project: str, revision: Revision, log: str, time: str, shown: Json) -> Json:
    _, _, _, location, _, service = revision.service.split("/")
    digest = hashlib.sha256(f"{revision.uid}{time}{json.dumps(shown)}".encode()).hexdigest()
    return {
        "insertId": digest[:20],
        "logName": f"projects/{project}/logs/run.googleapis.com%2F{log}",
        "resource": {
            "type": "cloud_run_revision",
            "labels": {
                "project_id": project,
                "location": location,
                "service_name": service,
                "configuration_name": service,
                "revision_name": revision.id,
            },
        },
        "timestamp": time,
        "receiveTimestamp": time,
        **shown,
    }


def _payload(text: str) -> Json:
    """A line that is a JSON object is structured: its severity is the entry's own.

    https://cloud.google.com/logging/docs/structured-logging
    """
    try:
        data = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        return {"textPayload": text}
    severity = str(data.pop("severity", "DEFAULT")).upper()
    data.pop("time", None)
    shown: Json = {"jsonPayload": data}
    if severity in SEVERITIES and severity != "DEFAULT":
        shown["severity"] = severity
    return shown


def _terms(text: str) -> list[tuple[str, str, str]]:
    terms, rest = [], text.strip()
    while rest:
        match = TERM.match(rest)
        if not match:
            raise invalid(f"Unparseable filter: syntax error at '{rest[:40]}'", "filter")
        field, operator, value = match.groups()
        terms.append((field, operator, re.sub(r"\\(.)", r"\1", value.strip('"'))))
        rest = re.sub(r"^(AND\b|\s)*", "", rest[match.end() :])
    return terms


def _matches(entry: Json, terms: list[tuple[str, str, str]]) -> bool:
    return all(_compare(_field(entry, field), operator, value) for field, operator, value in terms)


def _field(entry: Json, path: str) -> str:
    found: Any = entry
    for part in path.split("."):
        found = found.get(part, "") if isinstance(found, dict) else ""
    return str(found or ("DEFAULT" if path == "severity" else ""))


def _compare(found: str, operator: str, value: str) -> bool:
    if operator == ":":
        return value in found
    if found in SEVERITIES and value in SEVERITIES:
        left, right = SEVERITIES.index(found), SEVERITIES.index(value)
        return _ordered(left, operator, right)
    return _ordered(found, operator, value)


def _ordered(left: Any, operator: str, right: Any) -> bool:
    return bool(
        {
            "=": left == right,
            "!=": left != right,
            ">=": left >= right,
            "<=": left <= right,
            ">": left > right,
            "<": left < right,
        }[operator]
    )
