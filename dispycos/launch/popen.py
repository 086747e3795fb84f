"""popen: a Python on this machine, or on that of the carrier.

Row EX-02.
"""

from __future__ import annotations

from dispycos.launch.launched import Command
from dispycos.launch.program import COMMAND
from dispycos.launch.python import SAME, python_of
from dispycos.launch.spec import XSpec


def command(spec: XSpec) -> Command:
    """What starts it."""
    python = python_of(spec.python, SAME)
    return Command([*python, "-u", "-c", COMMAND], python[0] or "python")
