"""Marks: what a node's tasks started is known by them when no parent of ours is left to tell.

While a node or its zygote lives, parentage says more (see `node.ties`). If both are killed at once,
what called setsid becomes a child of the system's first process. But a zygote has the mark of its
node in its environment, and so has all that is started below it, unless it clears that. Whoever
takes or removes the dead node's directory ends what bears its mark (R-11).

Linux only: elsewhere the environment of others can't be read, or they can't be named for sure.

I/O half. Layer 5. Rules R-11, R-48, R-49.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

from dispycos.node import ties
from dispycos.node.ties import Identity

# No setting: those begin with DISPYCOS_.
_NAME = "_DISPYCOS_OF_NODE"

_PATIENCE = 2.0  # seconds of killing
_LOOK_AGAIN = 0.02  # seconds between two looks


def ours() -> dict[str, str]:
    """What is to be in the environment of this node's zygotes."""
    who = ties.identity(os.getpid()) if sys.platform == "linux" else None
    return {} if who is None else {_NAME: _mark(who)}


def _mark(who: Identity) -> str:
    # All three, for only they prove a process: another node with its pid has another mark.
    return f"{who.pid}:{who.start}:{who.boot}"


def end_bearers(node: Identity) -> int:
    """End what the tasks of a dead node have left; answers how many processes that were."""
    assert not ties.lives(node), "while it lives, its tasks are its own"
    entry = f"{_NAME}={_mark(node)}".encode()
    ended: set[int] = set()
    deadline = time.monotonic() + _PATIENCE
    # What was started while we looked is found the next time.
    while (found := _kill_bearers(entry)) and time.monotonic() < deadline:
        ended |= found
        time.sleep(_LOOK_AGAIN)
    return len(ended)


def _kill_bearers(entry: bytes) -> set[int]:
    found: set[int] = set()
    if sys.platform != "linux":
        return found
    for name in os.listdir("/proc"):
        if name.isdigit() and _bears(name, entry):
            with contextlib.suppress(OSError):  # it has ended, or may not be killed by us
                descriptor = os.pidfd_open(int(name))
                try:
                    # Looked at again: the number may have come to another process meanwhile.
                    if _bears(name, entry):
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                        found.add(int(name))
                finally:
                    os.close(descriptor)
    return found


def _bears(pid: str, entry: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return entry in file.read().split(b"\0")
    except OSError:
        return False  # it has ended, or is another account's
