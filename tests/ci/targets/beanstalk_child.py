"""A deployment in a process of its own: folder, URL, release, and whose patience it has."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pymacaron_ci.simulator.beanstalk.names import PATIENCE
from tests.ci.targets.beanstalk_deploys import Deploys, release

if __name__ == "__main__":
    folder, url, number, *patience = sys.argv[1:]
    server = SimpleNamespace(url=url)
    deploys = Deploys(server, Path(folder))  # type: ignore[arg-type]
    options: dict[str, Any] = {"patience": PATIENCE} if patience == ["simulation"] else {}
    report = deploys.deploy(release(number), **options)
    sys.exit(report.exit_code)
