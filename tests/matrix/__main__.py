from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from tests.matrix import beanstalk, cells, cloud_run, gke
from tests.matrix.cells import Bed, Wound

MakeBed = Callable[[], AbstractContextManager[Bed]]
BEDS: Mapping[str, tuple[MakeBed, Sequence[Wound]]] = {
    "beanstalk": (beanstalk.bed, beanstalk.WOUNDS),
    "cloud-run": (cloud_run.bed, cloud_run.WOUNDS),
    "gke": (gke.bed, gke.WOUNDS),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix")
    parser.add_argument("target", nargs="*", choices=[*BEDS, []], help="by default all")
    parser.add_argument("--deployment", choices=["first", "second"], help="by default both")
    parser.add_argument("--wound", help="this kind of wound only")
    parser.add_argument(
        "--every", type=int, default=1, help="hurt every n-th call only, each wound other ones"
    )
    asked = parser.parse_args()
    found = 0
    for target in asked.target or BEDS:
        bed, wounds = BEDS[target]
        for number, wound in enumerate(wounds):
            if asked.wound not in (None, wound.kind):
                continue
            steps = {"start": 1 + number % asked.every, "every": asked.every}
            for deployment in (d for d in ("first", "second") if asked.deployment in (None, d)):
                begin, count = time.monotonic(), 0
                if deployment == "first":
                    findings = cells.from_nothing(bed, wound, **steps)
                else:
                    findings = _second(bed, wound, **steps)
                for finding in findings:
                    count += 1
                    print(f"  {finding}", flush=True)
                took = time.monotonic() - begin
                print(
                    f"{target}, {deployment} deployment, {wound}: {count} findings ({took:.0f} s)",
                    flush=True,
                )
                found += count
    return 1 if found else 0


def _second(bed: MakeBed, wound: Wound, **steps: int) -> Iterator[str]:
    with bed() as made:
        yield from cells.beside_live(made, wound, **steps)


if __name__ == "__main__":
    sys.exit(main())
