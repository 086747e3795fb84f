"""The command `python -m dispycos.compat PROGRAM [ARGS]`.

PROGRAM `dispycosnode.py` or `dispycos.py`, where there is no such file, is our node or scheduler.

Layer 8. Row CO-01.
"""

from __future__ import annotations

if __name__ == "__main__":  # before what takes long to import
    from dispycos import entry

    # Not `run`: Ctrl-C in the program is the program's.
    raise SystemExit(entry.load("dispycos.compat.__main__")())

import io
import os
import sys
from collections.abc import Sequence

from dispycos import entry
from dispycos.compat import launcher
from dispycos.usage import Described

# Programs of pycos that are ours where there is no file of that name: what has their `main`.
OURS = {"dispycosnode.py": "dispycos.node.cli", "dispycos.py": "dispycos.cli"}


def _parser() -> Described:
    parser = Described(
        prog="python -m dispycos.compat",
        usage="python -m dispycos.compat PROGRAM [ARGS]",
        about="Run a program that was written for pycos, or pycos's dispycosnode.py and dispycos.py, on "
        "dispycos: `import pycos`, `pycos.netpycos` and `pycos.dispycos` are all there. pycos need not be "
        "installed.",
        examples=(
            ("python -m dispycos.compat my_program.py --rounds 5", "your program, with its arguments"),
            ("python -m dispycos.compat dispycosnode.py -c 4", "a node, by pycos's options"),
        ),
        statuses={0: "as the program ends", 2: "there is no such program, or wrong usage"},
    )
    parser.add_argument(
        "program", metavar="PROGRAM", help="a file of Python, or dispycosnode.py or dispycos.py"
    )
    parser.add_argument("arguments", nargs="*", default=[], metavar="ARGS", help="what the program is given")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a pycos program; answers its exit code, unless it ends itself."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if not given or given[0].startswith("-"):
        parser.parse_args(given)  # help, or wrong usage: what follows PROGRAM is the program's
    path, *arguments = given
    ours = OURS.get(os.path.basename(path))
    if ours is not None and not os.path.exists(path):
        return entry.load(ours)(arguments)
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
    except OSError as error:
        parser.error(f"can't open {path!r}: {error.strerror}")
    launcher.run(path, source, arguments)
    return 0
