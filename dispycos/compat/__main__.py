"""The command `python -m dispycos.compat PROGRAM [ARGS]`.

PROGRAM `dispycosnode.py` or `dispycos.py`, where there is no such file, is our node or scheduler.

Layer 8. Row CO-01.
"""

from __future__ import annotations

import importlib
import io
import os
import sys

from dispycos.compat import launcher

USAGE = "usage: python -m dispycos.compat PROGRAM [ARGS]"

# Programs of pycos that are ours where there is no file of that name: what has their `main`.
OURS = {"dispycosnode.py": "dispycos.node.cli", "dispycos.py": "dispycos.cli"}


def main() -> None:
    """Run a pycos program."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        help_asked = len(sys.argv) > 1
        print(
            f"{USAGE}\nRun a program that was written for pycos.",
            file=sys.stdout if help_asked else sys.stderr,
        )
        sys.exit(0 if help_asked else 2)
    path, arguments = sys.argv[1], sys.argv[2:]
    ours = OURS.get(os.path.basename(path))
    if ours is not None and not os.path.exists(path):
        sys.exit(importlib.import_module(ours).main(arguments))
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
    except OSError as error:
        print(f"{USAGE}\ncan't open {path!r}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    launcher.run(path, source, arguments)


if __name__ == "__main__":
    main()
