"""What the daemon knows of each process it started, and what a server is given.

Records and calls of the system only; `node.processes` has the rules.

I/O half. Layer 5.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from dataclasses import field

from dispycos.model import Incarnation
from dispycos.node import page
from dispycos.node.output import Output
from dispycos.node.page import Counters, StepWatch
from dispycos.node.pipe import LoopPipe, Said
from dispycos.records import record


@record(frozen=False, eq=False)
class Zygote:
    """One zygote, from its exec until it was waited for."""

    number: int
    reservation: int
    process: subprocess.Popen[bytes]
    output: Output
    pipe: LoopPipe


@record(frozen=False, eq=False)
class Server:
    """One server, from the order to fork it until it is gone."""

    index: int
    zygote: Zygote
    output: Output
    page: int  # descriptor
    control: LoopPipe | None = None
    port: int = 0  # where it is to listen; 0: it chooses
    pid: int = 0  # 0: not forked yet
    pidfd: int = -1
    ahead: Said | None = None  # that it is up, said before its zygote said that it was forked
    incarnation: Incarnation | None = None  # None: it does not listen yet
    counters: Counters = field(default_factory=Counters)
    steps: StepWatch = field(default_factory=StepWatch)
    resident: int = 0  # bytes when last looked at
    killed: bool = False  # by us
    problem: str = ""  # why it can't listen
    leaving: str = ""  # why it ends itself


def server_descriptors() -> tuple[socket.socket, socket.socket, int, int, int, int]:
    """Control pipe, output and page of a new server, of each first our end and then its own. OSError."""
    with contextlib.ExitStack() as undo:
        ours, theirs = socket.socketpair()
        undo.callback(ours.close)
        undo.callback(theirs.close)
        read, write = os.pipe()
        undo.callback(os.close, read)
        undo.callback(os.close, write)
        shared = page.make()
        undo.callback(os.close, shared)
        copy = os.dup(shared)
        undo.pop_all()
        return ours, theirs, read, write, shared, copy
