"""`python -m dispycos`: the dispycos command."""

import sys

from dispycos.cli import main

if __name__ == "__main__":
    sys.exit(main())
