"""Builtin names: Python's own functions, which code of users can take from all code of a process.

After `del builtins.len` whatever runs next breaks, the kernel most often. Nothing heals that: what
broke is half done. But it can be said, and for that they are put back.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

import builtins

_now = vars(builtins)
_ours = dict(_now)
_ours.pop("_", None)  # of a prompt: its last value


def put_back() -> tuple[list[str], list[str]]:
    """Have them as they were when this was imported; the names of those that were removed, and replaced.

    Notebooks and printers replace some, `input` and `print`, and nothing breaks.
    """
    removed = [name for name in _ours if name not in _now]
    replaced = [name for name, value in _ours.items() if name in _now and _now[name] is not value]
    _now.update(_ours)
    return removed, replaced
