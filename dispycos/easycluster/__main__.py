"""`python -m dispycos.easycluster`: the easycluster command."""

import sys

from dispycos import entry

if __name__ == "__main__":
    sys.exit(entry.easycluster())
