"""Functions that we write: source of our own, compiled where it is first needed.

Records and the wire have one function a class, each in a straight line: a loop over the
fields would take several times as long at each call. The source holds names of our own
classes and nothing that came from elsewhere; no other module that a node or a scheduler
loads compiles anything (SE-24).

Pure. Layer 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def write(source: Sequence[str], what: str, names: dict[str, Any]) -> None:
    """Add the functions of `source`, lines that see `names`, to these; tracebacks name them `<what>`."""
    exec(compile("\n".join(source), f"<{what}>", "exec"), names)
