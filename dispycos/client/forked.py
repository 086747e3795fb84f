"""What a forked child finds of its parent's clients: nothing that it could use.

A client's threads, connections and turn stay in the process that scheduled it, and a lock of
its may be held for ever in the child. So whatever of it is used there raises at once, and says why.
A Client that the child makes has a turn of its own.

I/O half. Layer 5. Row DC-60; rule S6.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn, Protocol

from dispycos import forks
from dispycos.client import surroundings
from dispycos.errors import Closed


class Disowned(Protocol):
    """A client's turn, as far as a fork is its business."""

    def disown(self, why: str) -> None: ...


class Elsewhere:
    """Stands in the place of what is in another process: any use of it raises Closed."""

    def __init__(self, why: str) -> None:
        self._why = why

    def refuse(self) -> NoReturn:
        raise Closed(f"the client is {self._why}")

    def __getattr__(self, name: str) -> Any:
        self.refuse()

    def __enter__(self) -> NoReturn:
        self.refuse()

    def __exit__(self, *error: object) -> None:
        self.refuse()


def stays_here(work: Disowned) -> None:
    """Have a client disowned in each child that this process forks."""
    _here.add(work)


def _disown(work: Disowned) -> None:
    _here.discard(work)  # a child of the child is to name the same process
    work.disown(
        f"in use in process {os.getppid()}, of which this one is a forked child: make a Client "
        "here, or have that process do it"
    )


forks.in_child(surroundings.renew)
_here = forks.each_in_child(_disown)
