"""Our own proof of a release: /ping, /version and the service's tests, against a URL."""

from __future__ import annotations

import json
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pymacaron_ci.errors import OutOfTime
from pymacaron_ci.model import CheckResult, Release, Secret, TestResult
from pymacaron_ci.waiting import Clock, Pending, Ready, SystemClock, wait_for

STEADY = 3  # fresh connections in a row that must tell the same release
NO_TESTS = 5  # pytest's exit code when it collected nothing


@dataclass(frozen=True, kw_only=True)
class TestBed:
    """Where a service's tests run: its files, an interpreter with its requirements, secrets."""

    __test__ = False

    files: Callable[[], Path]
    python: Callable[[], Path]
    secrets: Sequence[Secret] = ()
    token: Callable[[], str | None] = lambda: None
    base_environment: Mapping[str, str] | None = None


class HttpChecks:
    """The pipeline's checks over HTTP and pytest."""

    def __init__(
        self,
        bed: TestBed,
        *,
        clock: Clock | None = None,
        progress: Callable[[str], None] = lambda _: None,
        timeout: float = 120,
        tests_timeout: float = 1800,
        run_unit_tests: bool = True,
    ) -> None:
        self._bed = bed
        self._clock = clock or SystemClock()
        self._progress = progress
        self._timeout = timeout
        self._tests_timeout = tests_timeout
        self._unit = run_unit_tests

    def unit_tests(self) -> CheckResult:
        if not self._unit:
            return CheckResult(ok=True, reason="unit tests skipped on request")
        return self._pytest("test", {})

    def acceptance(self, url: str, headers: Mapping[str, str]) -> CheckResult:
        return self._pytest("testaccept", self._server(url, headers))

    def version(self, url: str, release: Release, headers: Mapping[str, str]) -> CheckResult:
        def ping() -> Ready[None] | Pending:
            problem = _ping(url, headers)
            return Pending(problem) if problem else Ready(None)

        def steady() -> Ready[None] | Pending:
            for _ in range(STEADY):
                found = _release(url, headers)
                if found != release.id:
                    return Pending(f"/version tells {found or 'no release'}, not {release.id}")
            return Ready(None)

        try:
            for what, probe in (("/ping", ping), ("/version", steady)):
                wait_for(
                    f"waiting for {url}{what}",
                    probe,
                    timeout=self._timeout,
                    clock=self._clock,
                    progress=self._progress,
                    first=0.02,
                    most=3,
                )
        except OutOfTime as late:
            return CheckResult(ok=False, reason=str(late))
        return CheckResult(ok=True, reason=f"/ping answers, /version tells {release.id}")

    def _server(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """What pymacaron.test reads: host, port and a token."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        environment = {"PYM_SERVER_HOST": parts.hostname or "", "PYM_SERVER_PORT": str(port)}
        token = self._bed.token()
        if token:
            environment["PYM_JWT_TOKEN"] = token
        if headers:
            environment["PYM_SERVER_HEADERS"] = json.dumps(dict(headers))
        return environment

    def _pytest(self, folder: str, extra: Mapping[str, str]) -> CheckResult:
        files = self._bed.files()
        if not (files / folder).is_dir():
            return CheckResult(ok=True, reason=f"there is no folder {folder}/")
        python = self._bed.python()
        with tempfile.TemporaryDirectory(prefix="pymacaron-tests-") as scratch:
            report = Path(scratch) / "report.xml"
            command = [
                str(python), "-m", "pytest", folder, "-q", "--color=no", "--tb=short",
                "-p", "no:cacheprovider", f"--junitxml={report}", f"--rootdir={files}",
            ]  # fmt: skip
            environment = {
                **(self._bed.base_environment or {}),
                **{secret.name: secret.reveal() for secret in self._bed.secrets},
                "PYTHONPATH": str(files),
                "PYTHONDONTWRITEBYTECODE": "1",
                **extra,
            }
            try:
                done = subprocess.run(
                    command,
                    cwd=files,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=self._tests_timeout,
                    check=False,
                )
            except subprocess.TimeoutExpired as late:
                return CheckResult(
                    ok=False,
                    reason=f"the tests in {folder}/ took longer than {self._tests_timeout:.0f} s",
                    output=_text(late.stdout),
                )
            output = _text(done.stdout)
            passed, failures = _junit(report)
        if done.returncode == NO_TESTS:
            return CheckResult(ok=True, reason=f"there are no tests in {folder}/")
        if done.returncode != 0:
            failures = failures or (TestResult(name=folder, message=_tail(output)),)
            names = ", ".join(f.name for f in failures[:3])
            more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
            return CheckResult(
                ok=False,
                reason=f"{len(failures)} of {passed + len(failures)} failed: {names}{more}",
                passed=passed,
                failures=failures,
                output=output,
            )
        return CheckResult(
            ok=True, reason=f"{passed} tests in {folder}/ passed", passed=passed, output=output
        )


def _text(output: bytes | str | None) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""


def _tail(output: str, lines: int = 20) -> str:
    return "\n".join(output.splitlines()[-lines:])


def _get(url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """A GET over a fresh connection: a kept one could lead to what served a moment ago."""
    request = urllib.request.Request(url, headers={"Connection": "close", **headers})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read(1_000_000)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(1_000_000)


def _ping(url: str, headers: Mapping[str, str]) -> str:
    """Empty if /ping answers 200, else why not."""
    try:
        status, _ = _get(f"{url.rstrip('/')}/ping", headers)
    except (OSError, ValueError) as error:
        return f"/ping: {getattr(error, 'reason', error)}"
    return "" if status == 200 else f"/ping answers {status}"


def _release(url: str, headers: Mapping[str, str]) -> str | None:
    """The release that /version tells."""
    try:
        status, body = _get(f"{url.rstrip('/')}/version", headers)
        data = json.loads(body)
    except (OSError, ValueError):
        return None
    found = data.get("release") if isinstance(data, dict) and status == 200 else None
    return found if isinstance(found, str) else None


def _junit(report: Path) -> tuple[int, tuple[TestResult, ...]]:
    """How many passed, and each failure's name and first words."""
    import xml.etree.ElementTree as ET

    try:
        root = ET.parse(report).getroot()  # noqa: S314  (written by pytest a moment ago)
    except (OSError, ET.ParseError):
        return 0, ()
    passed, failures = 0, []
    for case in root.iter("testcase"):
        bad = [child for child in case if child.tag in ("failure", "error")]
        if bad:
            name = "::".join(n for n in (case.get("classname", ""), case.get("name", "")) if n)
            message = "\n".join(t for t in (bad[0].get("message"), bad[0].text) if t)
            failures.append(TestResult(name=name, message=message.strip()))
        elif case.find("skipped") is None:
            passed += 1
    return passed, tuple(failures)
