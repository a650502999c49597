"""`python -m pymacaron_ci.simulator --state DIR`."""

import os
import sys

from pymacaron_ci.simulator.daemon import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
