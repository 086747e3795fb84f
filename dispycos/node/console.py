"""The commands that a person types at a node: status, close, quit, exit, terminate.

Read by a thread, because a terminal, a pipe and a file all block in their own ways. End of
file, or a background process group, ends the reading and nothing else (DN-19).

I/O half. Layer 5. Rows DN-19 to DN-23.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from dispycos.node.events import Order

ORDERS = {
    "close": Order.CLOSE,
    "quit": Order.QUIT,
    "exit": Order.QUIT,
    "terminate": Order.TERMINATE,
}
HELP = "commands: status (or an empty line), close, quit, exit, terminate"
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


def show_status(status: dict[str, Any]) -> str:
    """The machine's status as text (DN-20)."""
    client = status["client"]
    if status["reservation"]:
        using = (
            f"used by client {client.hex()[:8]} (reservation {status['reservation']})" if client else "in use"
        )
    else:
        using = "free" if status["open"] else "closed for clients"
    node = f"node {status['name']} at {status['location']}: {status['state']}, {using}"
    lines = [f"{node}, {status['served']} clients served"]
    for server in status["servers"]:
        where = server["location"] or server["state"]
        line = f"  {server['name']} at {where}, pid {server['pid']}, running {server['running']} tasks"
        if client:
            line += f", client {client.hex()[:8]}"
        lines.append(f"{line}: {server['reason']}" if server["reason"] else line)
    return "\n".join(lines)
