"""How a command begins, and how Ctrl-C ends it while it is not yet there.

Its modules take a moment to import, and a person who sees a mistake in what he typed does not wait
for them: then it ends with 130, as later, and without a traceback.

I/O half. Layer 8. Row GN-06.
"""

from __future__ import annotations

import importlib
import os
import signal

INTERRUPTED = 130  # what a shell says of a program that SIGINT ended


def run(module: str) -> int:
    """Import that module, and run its `main` on what was typed; answers the exit code."""
    # Else it is ignored, as behind nohup.
    hears = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if hears:
        # Not as an exception: an import may hide it.
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    main = importlib.import_module(module).main
    try:
        if hears:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return int(main())
    except KeyboardInterrupt:
        return INTERRUPTED


# As pip installs them.


def dispycos() -> int:
    """The scheduler, and tools for a cluster."""
    return run("dispycos.cli")


def dispycosnode() -> int:
    """A node."""
    return run("dispycos.node.cli")


def classic() -> int:
    """This Python, for who has its key."""
    return run("dispycos.rpc.classic_server")


def easycluster() -> int:
    """EasyCluster's server."""
    return run("dispycos.easycluster.cli")
