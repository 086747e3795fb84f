"""The far end of a gateway whose code may be tasks, with all that these need.

Named in place of `gateways.far` where a specification says execmodel=task, so that our kernel
travels only then.
"""

from __future__ import annotations

from typing import Any

from dispycos.gateways import far
from dispycos.gateways.tasks import Tasks

settle = far.settle


def main(reader: int, writer: int, options: dict[str, Any]) -> None:
    """Serve the stream with these descriptors; returns when the near end is gone."""
    far.serve(reader, writer, options, Tasks())
