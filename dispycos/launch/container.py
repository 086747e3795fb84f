"""Containers: a Python inside one that runs, by `docker exec` or `podman exec`.

SE-53, SE-121.
"""

from __future__ import annotations

import re
from typing import Final

from dispycos.launch.launched import Command
from dispycos.launch.program import COMMAND
from dispycos.launch.python import python_of
from dispycos.launch.quoting import excerpt
from dispycos.launch.spec import XSpec

PYTHON = "python3"  # what a container is expected to have

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")


def command(spec: XSpec) -> Command:
    """What starts it: `docker=CONTAINER` or `podman=CONTAINER`, by name or id. ValueError."""
    engine = spec.kind
    name = getattr(spec, engine)
    if not _NAME.fullmatch(name):
        raise ValueError(f"{engine}={excerpt(name)} is no name of a container")
    python = [*python_of(spec.python, PYTHON), "-u", "-c", COMMAND]
    return Command(
        [engine, "exec", "-i", "--", name, *python],
        f"{python[0]} in {engine}={name}",
        address=name,
        keep_errors=True,
        advice=f"install {engine}",
    )
