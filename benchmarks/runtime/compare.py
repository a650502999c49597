"""Compares this runtime with other frameworks, all in one run, and prints the tables.

    python benchmarks/runtime/compare.py                 # half an hour
    python benchmarks/runtime/compare.py --quick         # two minutes: few servers, 16 connections

The first run installs the rivals into an environment of their own. Needs wrk and two cores: one for
the servers, one for wrk. Servers are asked in turns, round after round; the figures are medians of
ratios within a round, so that what disturbs the machine for a while disturbs all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cases import Case, cases
from load import Sample, load
from servers import FASTAPI, FLOOR, HAND, OURS, Running, Server, running, servers

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ENVIRONMENT = ROOT / "build" / "rivals"
CONNECTIONS = (1, 16, 64)
SEVERAL = 3
QUICK = (HAND, FASTAPI, OURS, FLOOR)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One sample and where it was taken."""

    round: str
    server: str
    case: str
    connections: int
    sample: Sample


def install() -> Path:
    """The interpreter of an environment with the rivals and this checkout's runtime."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        print(f"installing the rivals into {ENVIRONMENT}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    subprocess.run(
        [
            *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--requirement", str(HERE / "rivals" / "requirements.txt")),
            *("--editable", str(ROOT / "runtime")),
        ],
        check=True,
    )
    return python


def measure(
    options: argparse.Namespace, found: dict[str, Running], asked: Sequence[Case], folder: Path
) -> Iterable[Measured]:
    for number in range(options.rounds):
        for connections in options.connections:
            for case in asked:
                for name, server in found.items():
                    sample = load(
                        server,
                        case,
                        connections=connections,
                        seconds=options.seconds,
                        core=options.load_core,
                        folder=folder,
                    )
                    yield Measured(
                        round=f"{os.getpid()}.{number}",
                        server=name,
                        case=case.name,
                        connections=connections,
                        sample=sample,
                    )
                    print(end=".", file=sys.stderr, flush=True)
    print(file=sys.stderr)


class Results:
    """All samples, by where they were taken."""

    def __init__(self, all_of_them: Iterable[Measured]) -> None:
        self._all = list(all_of_them)
        self.servers = list(dict.fromkeys(m.server for m in self._all))
        self.cases = list(dict.fromkeys(m.case for m in self._all))
        self.connections = sorted({m.connections for m in self._all})

    def _rounds(self, server: str, case: str, connections: int) -> dict[str, Sample]:
        return {
            m.round: m.sample
            for m in self._all
            if (m.server, m.case, m.connections) == (server, case, connections)
        }

    def cpu(self, server: str, case: str, connections: int) -> float | None:
        """Microseconds of CPU for a request: the median."""
        found = self._rounds(server, case, connections).values()
        return statistics.median(s.cpu for s in found) if found else None

    def ratios(
        self, server: str, to: str, case: str, connections: int
    ) -> tuple[float, float] | None:
        """How many times the requests per second, and per CPU second, of another server."""
        one, other = (self._rounds(name, case, connections) for name in (server, to))
        both = [(one[number], other[number]) for number in one if number in other]
        if not both:
            return None
        return (
            statistics.median(a.rate / b.rate for a, b in both),
            statistics.median(b.cpu / a.cpu for a, b in both),
        )


def tables(results: Results) -> str:
    """Markdown."""
    lines = []
    for connections in results.connections:
        plural = "s" if connections > 1 else ""
        lines += [f"### {connections} connection{plural}", ""]
        lines += _header(results.cases)
        for server in results.servers:
            cells = [_cell(results, server, case, connections) for case in results.cases]
            if any(cells):
                lines.append(f"| {server} | " + " | ".join(cells) + " |")
        for server in (name for name in results.servers if name.startswith(OURS)):
            found = [results.ratios(server, FASTAPI, case, connections) for case in results.cases]
            cells = [f"**{r[0]:.1f}** · {r[1]:.1f}" if r else "" for r in found]
            lines.append(f"| *{server}, to FastAPI* | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _header(names: Sequence[str]) -> list[str]:
    return ["| | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]


def _cell(results: Results, server: str, case: str, connections: int) -> str:
    ratios = results.ratios(server, HAND, case, connections)
    cpu = results.cpu(server, case, connections)
    if ratios is None or cpu is None:
        return ""
    return f"**{ratios[0]:.2f}** · {ratios[1]:.2f} ({cpu:.0f} µs)"


def latencies(
    options: argparse.Namespace, found: dict[str, Running], asked: Sequence[Case], folder: Path
) -> str:
    """The 99th percentile while each server has 70 % of the requests that it could answer."""
    connections = 64
    lines = ["### p99 in ms at 70 % load, 64 connections", "", *_header([c.name for c in asked])]
    for name, server in found.items():
        cells = []
        for case in asked:
            tails, shares = [], []
            for _ in range(options.rounds):
                common = {"connections": connections, "core": options.load_core, "folder": folder}
                most = load(server, case, seconds=options.seconds, **common)
                wanted = 0.7 * most.rate
                delay = max(1, round(connections / wanted * 1000 - most.mean / 10))
                sample = load(server, case, seconds=options.seconds * 2, delay=delay, **common)
                delay = max(1, round(delay + connections * 1000 * (1 / wanted - 1 / sample.rate)))
                sample = load(server, case, seconds=options.seconds * 2, delay=delay, **common)
                tails.append(sample.p99)
                shares.append(sample.rate / most.rate)
            share = statistics.median(shares)
            cells.append(f"{statistics.median(tails):.1f} ({share:.0%})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def footprint(
    options: argparse.Namespace, chosen: Sequence[Server], python: Path, asked: Sequence[Case],
    folder: Path,
) -> str:  # fmt: skip
    """The time from the command to the first answer; memory after some load, with one worker and
    for each further one."""
    names = ("first answer", "memory, one worker", "each further worker")
    lines = ["### Start-up and memory", "", *_header(names)]
    several = {server.name: server for server in chosen_servers(options, SEVERAL)}
    for server in chosen:
        starts, memory = [], {}
        for count, one in ((1, server), (SEVERAL, several[server.name])):
            with running([one], python, options.core, folder) as found:
                for case in asked:
                    load(
                        found[server.name], case, connections=16, seconds=1,
                        core=options.load_core, folder=folder,
                    )  # fmt: skip
                memory[count] = found[server.name].memory()
        for _ in range(options.rounds):
            with running([server], python, options.core, folder) as found:
                starts.append(found[server.name].startup)
        further = (memory[SEVERAL] - memory[1]) / (SEVERAL - 1)
        start = statistics.median(starts)
        lines.append(f"| {server.name} | {start:.2f} s | {memory[1]:.0f} MiB | {further:.0f} MiB |")
    return "\n".join([*lines, ""])


def saved(file: Path) -> list[Measured]:
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [Measured(**{**row, "sample": Sample(**row["sample"])}) for row in rows]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="three rounds of few servers at 16 connections")
    add("--rounds", type=int, help="default: 5")
    add("--seconds", type=int, default=2, help="of each measurement")
    add("--connections", type=int, nargs="+", help="default: 1 16 64")
    add("--servers", nargs="+", metavar="WORD", help="only those with one of these in their names")
    add("--cases", nargs="+", metavar="NAME", help="only these")
    add("--latency", action="store_true", help="p99 at 70 %% load, and nothing else")
    add("--footprint", action="store_true", help="start-up and memory, and nothing else")
    add("--into", type=Path, help="a file of samples: earlier ones are counted in")
    add("--core", type=int, default=0, help="the servers'")
    add("--load-core", type=int, default=1, help="wrk's")
    options = parser.parse_args()
    options.connections = options.connections or ([16] if options.quick else CONNECTIONS)
    options.rounds = options.rounds or (3 if options.quick else 5)
    return options


def chosen_servers(options: argparse.Namespace, workers: int = 1) -> list[Server]:
    found = servers(workers)
    if options.servers:
        return [s for s in found if any(word in s.name for word in options.servers)]
    return [s for s in found if not options.quick or s.name in QUICK]


def main() -> None:
    options = parse()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    if not {options.core, options.load_core} <= os.sched_getaffinity(0):
        sys.exit(f"this process may not use the cores {options.core} and {options.load_core}")
    python = install()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = [c for c in cases(folder) if not options.cases or c.name in options.cases]
        chosen = chosen_servers(options)
        if options.footprint:
            print(footprint(options, chosen, python, asked, folder))
            return
        with running(chosen, python, options.core, folder) as found:
            for server in found.values():
                for case in asked:
                    server.check(case)
            if options.latency:
                print(latencies(options, found, asked, folder))
                return
            before = saved(options.into) if options.into else []
            new = list(measure(options, found, asked, folder))
    if options.into:
        with options.into.open("a") as out:
            out.writelines(json.dumps(asdict(m)) + "\n" for m in new)
    print(tables(Results([*before, *new])))


if __name__ == "__main__":
    main()
