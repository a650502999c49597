"""The action's way in: `python3 -I main.py` on whatever Python the runner has."""

import os
import sys

if sys.version_info < (3, 10):  # noqa: UP036  (nothing newer may stand above this line)
    found = ".".join(str(part) for part in sys.version_info[:3])
    print("::error::the runner's python3 is " + found + ": this action needs 3.10 or newer")
    sys.exit(2)

if __name__ == "__main__":
    # The action's own checkout, wherever it lies; -I leaves everything else of the caller's out.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    from action import step

    sys.exit(step.main())
