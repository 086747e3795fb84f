"""`python -m dispycos.node`: the dispycosnode command."""

import sys

from dispycos.node.cli import main

if __name__ == "__main__":
    sys.exit(main())
