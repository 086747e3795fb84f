"""How the interpreter of a process that is to run client code begins, and how it ends.

It is one that was started fresh: a zygote, or a server where the system has no fork.

I/O half. Layer 5. Rule SE-51.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Never

from dispycos.node.pipe import Pipe

_FAILED = 70  # exit code after an error of ours


def run(descriptor: int, work: Callable[[Pipe], int]) -> Never:
    """Do `work` with the pipe to whoever started us, and end with the exit code that it answers."""
    # A terminal's Ctrl-C is the daemon's to handle.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    faulthandler.enable(2, all_threads=False)
    if sys.path and sys.path[0] == os.getcwd():
        # `-m` put the working directory first; it is needed last, if at all, to find ourselves.
        sys.path.append(sys.path.pop(0))
    os.set_inheritable(descriptor, False)
    code = _FAILED
    try:
        code = work(Pipe(socket.socket(fileno=descriptor), max_body=1 << 62))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        # Not sys.exit: what client code registered for the interpreter's end could wait for ever.
        flush()
        os._exit(code)


def flush() -> None:
    """Write what is printed and buffered."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
