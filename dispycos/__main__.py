"""`python -m dispycos`: the dispycos command."""

import sys

from dispycos import entry

if __name__ == "__main__":
    sys.exit(entry.dispycos())
