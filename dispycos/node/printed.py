"""What a node prints, as it is written here and read by who started it elsewhere.

Layer 5. Row DN-01.
"""

from __future__ import annotations

import logging
import re
from typing import Final

from dispycos.model import Location
from dispycos.records import record

# Of a line of the log, by commands of ours.
LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"

_LOGGED: Final = re.compile(r"[0-9-]{10} [0-9:]{8},[0-9]{3} (DEBUG|INFO|WARNING|ERROR|CRITICAL) (.*)")
_READY: Final = re.compile(r"dispycosnode .* ready at (\S+) with ([0-9]{1,6}) servers?")


@record
class Ready:
    """The node is usable."""

    location: Location
    servers: int


@record
class Logged:
    """A line of its log."""

    level: int  # of the logging module
    text: str


def ready_line(name: str, location: Location, servers: int) -> str:
    """The line that says that the node is usable."""
    # No separator of thousands, as people have it: programs read the line.
    count = "1 server" if servers == 1 else f"{servers} servers"
    return f"dispycosnode {name} ready at {location} with {count}"


def read(line: str) -> Ready | Logged | None:
    """What a line says; None: it is of a task, or of somebody else. Who prints it may be anybody."""
    if logged := _LOGGED.fullmatch(line):
        return Logged(logging.getLevelNamesMapping()[logged[1]], logged[2])
    if ready := _READY.fullmatch(line):
        try:
            return Ready(Location.parse(ready[1], 0), int(ready[2]))
        except ValueError:
            return None
    return None
