"""`python -m dispycos.easycluster`: the easycluster command."""

import sys

from dispycos.easycluster.cli import main

if __name__ == "__main__":
    sys.exit(main())
