#!/usr/bin/env python3
"""`dispycosnode.py`: the `dispycosnode` command under the name that the documents use.

Python puts the folder of a program first on the module path. Beside this file may lie one
named `dispycos.py`, which would then hide the package, so our own folder leaves the path
before anything is imported.
"""

import os
import sys

here = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != here]

if __name__ == "__main__":
    from dispycos import entry

    sys.exit(entry.dispycosnode())
