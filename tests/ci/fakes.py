"""Hand-written stand-ins for the pipeline's parts. They remember what was asked of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from pymacaron_ci.errors import DeployError
from pymacaron_ci.model import (
    Change,
    CheckResult,
    Image,
    Live,
    Phase,
    Plan,
    Problem,
    Release,
    Report,
    Secret,
    Step,
    Verdict,
)

IMAGE = Image(repository="registry.test/hello", tag="1")
RELEASE = Release(
    id="new000000000",
    version="1",
    revision="abc",
    image=IMAGE,
    environment={"A_SECRET": Secret("A_SECRET", "planted-value")},
)
FORMER = Release(id="old000000000", version="0", revision="aaa", image=IMAGE, kept=True)


@dataclass(frozen=True)
class Do(Step):
    """A step with a name and nothing else."""

    name: str

    def __str__(self) -> str:
        return self.name


def two_phases() -> tuple[Phase, ...]:
    return (
        Phase(name="staging", steps=(Do("create staging"),)),
        Phase(name="live", steps=(Do("create candidate"), Do("swap"))),
        Phase(name="finish", steps=(Do("mark proven"),), proof="none"),
    )


@dataclass
class FakeTarget:
    """A target in which any step, verification or undo can be told to fail."""

    phases: tuple[Phase, ...] = field(default_factory=two_phases)
    current: Release | None = FORMER
    fail: Mapping[str, BaseException] = field(default_factory=dict)
    sick: Sequence[str] = ()
    stubborn: Sequence[str] = ()
    notes: tuple[str, ...] = ()
    calls: list[str] = field(default_factory=list)

    def plan(self, release: Release) -> Plan:
        self.calls.append("plan")
        if "plan" in self.fail:
            raise self.fail["plan"]
        return Plan(
            target="fake",
            release=release,
            phases=self.phases,
            current=self.current,
            url="http://live.test",
            notes=self.notes,
        )

    def apply(self, step: Step, release: Release) -> Change:
        self.calls.append(f"apply {step}")
        if str(step) in self.fail:
            raise self.fail[str(step)]
        return Change(step=step, undo={"known": True})

    def verify(self, phase: Phase, changes: Sequence[Change]) -> Verdict:
        self.calls.append(f"verify {phase.name}")
        if phase.name in self.sick:
            return Verdict(ok=False, reason="it is red")
        return Verdict(ok=True, url=f"http://{phase.name}.test")

    def rollback(self, change: Change) -> None:
        self.calls.append(f"undo {change.step}")
        if str(change.step) in self.stubborn:
            raise DeployError("the platform refused")

    def live(self) -> Live:
        return Live(release=self.current)


@dataclass
class FakeBuilder:
    calls: list[str] = field(default_factory=list)
    fail: BaseException | None = None

    def build(self, release: Release) -> Image:
        self.calls.append("build")
        if self.fail:
            raise self.fail
        return release.image

    def foresee(self, release: Release) -> Image:
        self.calls.append("foresee")
        if self.fail:
            raise self.fail
        return replace(release.image, digest="sha256:" + "1" * 64)

    def push(self, image: Image) -> Image:
        self.calls.append("push")
        return Image(repository=image.repository, tag=image.tag, digest="sha256:" + "1" * 64)


@dataclass
class FakeChecks:
    """Says no wherever it is told to: "unit", a URL's version, a URL's tests."""

    unit_ok: bool = True
    wrong_version: Sequence[str] = ()
    red: Sequence[str] = ()
    calls: list[str] = field(default_factory=list)

    def unit_tests(self) -> CheckResult:
        self.calls.append("unit")
        return CheckResult(ok=self.unit_ok, reason="1 of 2 failed: test_x")

    def version(self, url: str, release: Release, headers: Mapping[str, str]) -> CheckResult:
        self.calls.append(f"version {url} {release.id}")
        return CheckResult(ok=url not in self.wrong_version, reason="asked")

    def acceptance(self, url: str, headers: Mapping[str, str]) -> CheckResult:
        self.calls.append(f"tests {url}")
        return CheckResult(ok=url not in self.red, reason="1 of 9 failed: test_hello")


@dataclass
class FakeReporter:
    lines: list[str] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)

    def planned(self, plan: Plan) -> None:
        self.plans.append(plan)
        self.lines.append("planned")

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        self.lines.append(title)
        yield

    def progress(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, problem: Problem) -> None:
        self.lines.append(str(problem))

    def finished(self, report: Report) -> None:
        self.lines.append(report.status)
