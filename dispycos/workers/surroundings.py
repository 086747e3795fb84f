"""The surroundings of jobs: the working directory and module path of the program that sends them.

They are those of the moment in which a job is submitted (CW-09, CW-10).

I/O half. Layer 7.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import NamedTuple


class Surroundings(NamedTuple):
    """Of one job."""

    folder: str  # the working directory
    path: tuple[str, ...]  # folders that it imports from, but for Python's own library


def now() -> Surroundings:
    """This program's, at this moment. FileNotFoundError if its working directory was removed."""
    folder = os.getcwd()
    key = (folder, *sys.path)
    known = _known.get(key)
    if known is None:
        # A relative folder is one of this directory. The library is each worker's own.
        path = [os.path.join(folder, entry) if entry else folder for entry in sys.path]
        kept = dict.fromkeys(entry for entry in path if entry not in _LIBRARY and not entry.endswith(".zip"))
        if len(_known) > _MOST:
            _known.clear()
        known = _known[key] = Surroundings(folder, tuple(kept))
    return known


_MOST = 256
_known: dict[tuple[str, ...], Surroundings] = {}
_paths = sysconfig.get_paths()
_LIBRARY = {
    _paths["stdlib"],
    _paths["platstdlib"],
    os.path.join(_paths["stdlib"], "lib-dynload"),
    os.path.join(_paths["platstdlib"], "lib-dynload"),
}
