"""`pymasync`: the workers' command, with a sentence where what it needs is not installed."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Runs the workers of the service in the working directory, until SIGTERM."""
    try:
        for name in ("celery", "redis"):
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        sys.exit(f"pymasync needs {error.name}: pip install 'pymacaron[async]'")
    from pymacaron.tasks.worker import main as work

    work()


if __name__ == "__main__":
    main()
