"""A run's summary in GitHub's Markdown: result, problems, tests, plan, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from pymacaron_ci.model import Plan, Problem, Release, Report, TestResult
from pymacaron_ci.reporter import HEADLINES

_MARKS = {
    "deployed": "✅",
    "unchanged": "✅",
    "planned": "📋",
    "built": "✅",
    "valid": "✅",
    "live": "✅",
}
_MOST_ROWS = 200  # keeps a summary readable, and far below what GitHub takes
_LONGEST = 2000
_FEW = 5


def text(value: str) -> str:
    """Somebody's text as one line of Markdown that shows it as it is."""
    value = " ".join(value.split())
    if len(value) > _LONGEST:
        value = value[:_LONGEST] + "…"
    for character, shown in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        value = value.replace(character, shown)
    for character in "\\`*_{}[]()#+!|~@":
        value = value.replace(character, f"\\{character}" if character != "@" else "&#64;")
    return value


def code(value: str) -> str:
    """Somebody's text in a code span; a pipe would end a table's cell even there."""
    value = " ".join(value.split())[:_LONGEST].replace("|", "\\|")
    ticks = "`" * (_longest_run(value, "`") + 1)
    pad = " " if value.startswith("`") or value.endswith("`") else ""
    return f"{ticks}{pad}{value}{pad}{ticks}" if value else ""


def block(value: str, limit: int = 20_000) -> str:
    """Somebody's lines in a fence longer than any in them."""
    value = value if len(value) <= limit else value[:limit] + "\n… (the log has the rest)"
    fence = "`" * max(3, _longest_run(value, "`") + 1)
    return f"{fence}text\n{value.rstrip()}\n{fence}\n"


def _longest_run(value: str, character: str) -> int:
    longest = run = 0
    for each in value:
        run = run + 1 if each == character else 0
        longest = max(longest, run)
    return longest


def render(report: Report, plan: Plan | None = None, *, repository: str = "") -> str:
    """The whole summary of a run."""
    return "\n".join(_parts(report, plan, repository)).rstrip() + "\n"


def _parts(report: Report, plan: Plan | None, repository: str) -> Iterator[str]:
    name = f"{report.target or 'pym-config.yaml'}{' (simulated)' if report.simulated else ''}"
    yield f"## {_MARKS.get(report.status, '❌')} {text(name)}: {text(HEADLINES[report.status])}\n"
    if report.simulated:
        yield "This was a simulation: no cloud was asked.\n"
    if report.release:
        yield _result(report, repository)
    yield from _problems(report.problems)
    yield from _tests(report.failures)
    if plan and report.status in ("planned", "unchanged"):
        yield from _plan(plan)
    yield from _notes(report.notes)
    if step := next_step(report):
        yield f"**Next:** {step}\n"


def _result(report: Report, repository: str) -> str:
    rows: list[tuple[str, str]] = []
    if release := report.release:
        rows.append(("release", code(release.id)))
        rows.append(("version", code(release.version)))
        rows.append(("commit", _commit(release, repository)))
        rows.append(("image", code(str(release.image))))
    rows.append(("live", _link(report.url)))
    rows.append(("staging", _link(report.staging_url)))
    if report.previous:
        rows.append(("before", code(report.previous.id)))
    if report.seconds:
        rows.append(("took", f"{report.seconds:.0f} s"))
    shown = "\n".join(f"| {name} | {value} |" for name, value in rows if value)
    return f"| | |\n|---|---|\n{shown}\n"


def _commit(release: Release, repository: str) -> str:
    revision = release.revision
    if len(revision) == 40 and repository:
        return f"[{code(revision[:12])}](https://github.com/{repository}/commit/{revision})"
    return code(revision)


def _link(url: str | None) -> str:
    if not url:
        return ""
    if not url.startswith(("https://", "http://")):
        return text(url)
    return f"[{text(url)}]({quote(url, safe=':/?#@&=+$,;%~-._')})"


def _problems(problems: Sequence[Problem]) -> Iterator[str]:
    if not problems:
        return
    yield "| | where | what | what to do |\n|---|---|---|---|"
    for problem in problems[:_MOST_ROWS]:
        where = code(str(problem.location)) if problem.location else ""
        mark = "❌" if problem.severity == "error" else "⚠️"
        yield f"| {mark} | {where} | {text(problem.text)} | {text(problem.hint or '')} |"
    if len(problems) > _MOST_ROWS:
        yield f"| | | … and {len(problems) - _MOST_ROWS} more: the log has them all | |"
    yield ""


def _tests(failures: Sequence[TestResult]) -> Iterator[str]:
    if not failures:
        return
    yield f"### {len(failures)} test{'s' if len(failures) > 1 else ''} failed\n"
    for failure in failures[:_MOST_ROWS]:
        yield f"<details><summary>{text(failure.name)}</summary>\n"
        yield f"{block(failure.message)}</details>\n"


def _notes(notes: Sequence[str]) -> Iterator[str]:
    """A few are sentences; many are somebody's log."""
    if len(notes) > _FEW:
        shown = block("\n".join(notes))
        yield f"<details><summary>Details</summary>\n\n{shown}</details>\n"
    elif notes:
        yield "\n".join(f"- {text(note)}" for note in notes) + "\n"


def _plan(plan: Plan) -> Iterator[str]:
    yield "### Plan\n"
    if not plan.phases:
        yield "Nothing changes: this release is live and proven.\n"
        return
    yield "| phase | step | proof |\n|---|---|---|"
    proofs = {
        "none": "",
        "version": "health, /ping, /version",
        "tests": "health, /ping, /version, acceptance tests",
    }
    for phase in plan.phases:
        for number, step in enumerate(phase.steps):
            last = number == len(phase.steps) - 1
            name = text(phase.name) if number == 0 else ""
            yield f"| {name} | {text(str(step))} | {proofs[phase.proof] if last else ''} |"
    yield ""
    secrets = ", ".join(code(secret.name) for secret in plan.release.secrets)
    yield f"Secrets, by name only: {secrets or 'none'}.\n"
    if plan.current:
        yield f"Live now: release {code(plan.current.id)}, version {code(plan.current.version)}.\n"


def next_step(report: Report) -> str:
    """What somebody who reads this wants to do now."""
    if report.status == "planned":
        return "merge, and the push to the main branch deploys it."
    if report.status == "undo-failed":
        return (
            "**a human is needed**: look at the live service now, then run this action with "
            "`command: status`."
        )
    if report.status == "stopped":
        return "run the job again: it goes on from what is there."
    serving = "the former release serves" if report.previous else "nothing new is live"
    return {
        2: "mend the lines above and push; `pymacaron-ci validate` tells the same on your machine.",
        3: "set the secrets in the repository's or environment's settings, and hand each to the "
        "step by a line in its `env:`.",
        4: "nothing was deployed; mend it and push.",
        5: f"{serving}; mend it, then run the job again.",
        6: f"{serving}; mend what the proof found, then push.",
        70: f"{serving}; see what it waited for, then run the job again.",
    }.get(report.exit_code, "")
