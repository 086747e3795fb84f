"""What the daemon knows of each process it started, and how one is started.

Records and calls of the system only; `node.processes` has the rules.

I/O half. Layer 5. Rules SE-51.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field

from dispycos.model import Incarnation
from dispycos.node import page, ties
from dispycos.node.output import Output
from dispycos.node.page import Counters, StepWatch
from dispycos.node.pipe import LoopPipe


@dataclass(eq=False, slots=True)
class Zygote:
    """One zygote, from its exec until it was waited for."""

    number: int
    reservation: int
    process: subprocess.Popen[bytes]
    output: Output
    pipe: LoopPipe


@dataclass(eq=False, slots=True)
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
    incarnation: Incarnation | None = None  # None: it does not listen yet
    counters: Counters = field(default_factory=Counters)
    steps: StepWatch = field(default_factory=StepWatch)
    resident: int = 0  # bytes when last looked at
    killed: bool = False  # by us
    problem: str = ""  # why it can't listen


def exec_zygote(run_as: str = "") -> tuple[subprocess.Popen[bytes], socket.socket, int]:
    """Start a fresh interpreter; answers it, our end of its pipe, the read end of its output.

    run_as  the account that it is to become; "": ours.
    """
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    try:
        flags, folder = where_we_are()
        command = [
            sys.executable,
            *flags,
            "-m",
            "dispycos.node.zygote",
            str(theirs.fileno()),
            str(os.getpid()),
            *filter(None, [run_as]),
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write,
            cwd=folder,
            env=ties.clean_environment(os.environ),
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        os.close(read)
        raise
    finally:
        theirs.close()
        os.close(write)
    return process, ours, read


def where_we_are() -> tuple[list[str], str]:
    """Interpreter flags and working directory with which a fresh interpreter finds this package."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if root in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        # Installed: found anyway, and no working directory may hide a module of the library's.
        return ["-P"], "/"
    return [], root


def server_descriptors() -> tuple[socket.socket, socket.socket, int, int, int]:
    """Control pipe (ours, theirs), output (read, write) and page of a new server. OSError."""
    with contextlib.ExitStack() as undo:
        ours, theirs = socket.socketpair()
        undo.callback(ours.close)
        undo.callback(theirs.close)
        read, write = os.pipe()
        undo.callback(os.close, read)
        undo.callback(os.close, write)
        shared = page.make()
        undo.pop_all()
        return ours, theirs, read, write, shared
