"""What a pycos program's code finds on servers: its modules, and names that it never imported.

Layer 7. Row CO-05.
"""

from __future__ import annotations

import builtins
import importlib
import os

from dispycos.compat import aliases


def enter() -> None:
    """Make this process, which serves a pycos program and nobody else, one where its code feels at home."""
    aliases.install()
    importlib.import_module("pycos.netpycos")
    # Names of every module that the program has here; its own hide them.
    builtins.pycos = importlib.import_module("pycos")  # type: ignore[attr-defined]  # new there
    builtins.os = os  # type: ignore[attr-defined]
