"""A deployment in a process of its own, so that it can be killed: folder, URL, release."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

from tests.ci.targets.beanstalk_deploys import Deploys, release

if __name__ == "__main__":
    folder, url, number = sys.argv[1:]
    server = SimpleNamespace(url=url)
    report = Deploys(server, Path(folder)).deploy(release(number))  # type: ignore[arg-type]
    sys.exit(report.exit_code)
