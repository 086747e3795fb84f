"""The commands that a person types at a program of ours, such as `status` and `quit`.

Read by a thread, because a terminal, a pipe and a file all block in their own ways. End of
file, or a background process group, ends the reading and nothing else (DN-19, DS-16).

I/O half. Layer 3.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable

_MAX_LINE = 4096  # bytes; a longer one is no command


def read_commands(loop: asyncio.AbstractEventLoop, typed: Callable[[str], None], descriptor: int = 0) -> None:
    """Call `typed(line)` on the loop with each line, until there are no more."""
    # Reading in the background would stop the whole process: let it fail instead.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    if not _in_foreground(descriptor):
        return

    def run() -> None:
        # By descriptor: a daemon thread inside sys.stdin would block the interpreter's end.
        rest = b""
        with contextlib.suppress(OSError, RuntimeError):
            while data := os.read(descriptor, _MAX_LINE):
                *lines, rest = (rest + data).split(b"\n")
                rest = rest[-_MAX_LINE:]
                for line in lines:
                    loop.call_soon_threadsafe(typed, line.decode("utf-8", "replace").strip())

    threading.Thread(target=run, name="dispycos-commands", daemon=True).start()


def _in_foreground(descriptor: int) -> bool:
    try:
        if not os.isatty(descriptor):
            return True
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False
