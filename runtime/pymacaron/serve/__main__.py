"""`python -m pymacaron.serve` is `pymacaron-serve`."""

from __future__ import annotations

import sys

from pymacaron.serve.command import main

if __name__ == "__main__":
    sys.exit(main())
