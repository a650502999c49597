"""`python -m pymacaron_ci` is `pymacaron-ci`."""

from pymacaron_ci.cli import main

if __name__ == "__main__":
    main()
