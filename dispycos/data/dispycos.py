#!/usr/bin/env python3
"""`dispycos.py`: the `dispycos` command under the name that the documents use.

Python puts the folder of a program first on the module path. This file, which has the
package's name, would then hide it, so our own folder leaves the path before anything is
imported. The commands that pip makes lie in the same folder and can do no such thing: they
import this file, which gives them the package.
"""

import importlib
import os
import sys

here = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != here]

if __name__ == "__main__":
    from dispycos import entry

    sys.exit(entry.dispycos())
elif __name__ == "dispycos":
    del sys.modules[__name__]
    importlib.import_module(__name__)
