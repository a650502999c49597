"""Watches a revision that has a share of the requests: is it ready, does it answer?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from pymacaron_ci.targets.cloud_run.api import Api
from pymacaron_ci.targets.cloud_run.state import Condition
from pymacaron_ci.targets.cloud_run.wanted import Wanted
from pymacaron_ci.targets.gcp import ApiError
from pymacaron_ci.waiting import Pending, Ready, at_most, wait_for

MISSES = 2  # unanswered /pings in a row
FAILED_REQUESTS = 3  # as many, and a share of all that reached the revision
FAILED_SHARE = 0.05
COUNTED = 1000


@dataclass(frozen=True)
class Watch:
    api: Api
    wanted: Wanted
    progress: Callable[[str], None]

    def soak(self, service: str, revision: str, url: str, headers: Mapping[str, str]) -> Condition:
        """The revision's condition at the end of its time, or the first thing that went wrong."""
        clock = self.api.session.clock
        seconds = self.wanted.soak_seconds
        since = datetime.now(timezone.utc)
        end = clock.now() + seconds
        misses = 0
        self.progress(f"watching {revision} for {seconds} s")

        def probe() -> Ready[Condition] | Pending:
            nonlocal misses
            found = self.api.revision(service, revision)
            condition = found.condition if found else Condition(ready=False, message="it is gone")
            if condition.ready is False:
                return Ready(condition)
            trouble = self._ping(url, headers)
            misses = misses + 1 if trouble else 0
            if misses >= MISSES:
                return Ready(_bad(f"{revision} stopped answering: {trouble}"))
            failing = self._failed_requests(revision, since)
            if failing:
                return Ready(_bad(failing))
            return Ready(condition) if clock.now() >= end and not misses else Pending()

        with at_most(None):
            return wait_for(
                f"watching {revision}", probe, timeout=seconds + 60, clock=clock, first=0.5, most=5
            )

    def _ping(self, url: str, headers: Mapping[str, str]) -> str:
        """Empty if /ping answers as it should."""
        import requests

        try:
            with requests.get(
                f"{url}/ping", headers={**headers, "Connection": "close"}, timeout=10
            ) as answer:
                return "" if answer.status_code < 500 else f"/ping answers {answer.status_code}"
        except requests.RequestException as error:
            return f"/ping: {type(error).__name__}"

    def _failed_requests(self, revision: str, since: datetime) -> str:
        """What the request log tells of real callers; nothing where we may not read it."""
        about = (
            'resource.type="cloud_run_revision" AND '
            f'resource.labels.revision_name="{revision}" AND '
            f'timestamp>="{since.isoformat()}" AND '
        )
        failed = self._count(f"{about}httpRequest.status>=500")
        if failed < FAILED_REQUESTS:
            return ""
        reached = max(failed, self._count(f"{about}httpRequest.status>=100"))
        if failed < FAILED_SHARE * reached:
            return ""
        return f"{revision} failed {failed} of the {reached} requests that reached it"

    def _count(self, entries: str) -> int:
        body = {
            "resourceNames": [f"projects/{self.wanted.project}"],
            "filter": entries,
            "pageSize": COUNTED,
        }
        try:
            return len(
                self.api.session.read("logging", "v2/entries:list", post=body).get("entries", [])
            )
        except ApiError:
            return 0


def _bad(text: str) -> Condition:
    return Condition(ready=False, message=text)
