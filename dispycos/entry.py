"""How a command begins, and how Ctrl-C ends it while it is not yet there.

Its modules take a moment to import, and a person who sees a mistake in what he typed does not wait
for them: then it ends with 130, as later, and without a traceback.

Before this module begins, Ctrl-C is Python's own, so whatever comes first is short: this file and
`dispycos` import next to nothing at once.

A module that is run by `python -m` calls `run` with its own name before its imports. So it is loaded
once, under that name, and what is defined there does not exist a second time in `__main__`.

I/O half, imports nothing of ours but what it is to run. Layer 3. Row GN-06.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` itself loads ten modules first
import os

TYPE_CHECKING = False  # to programs; see `dispycos`

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130  # what a shell says of a program that SIGINT ended


def load(module: str) -> Callable[..., int]:
    """Import that module; its `main`. Ctrl-C while it is imported ends the process with 130."""
    # Else it is ignored, as behind nohup.
    hears = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if hears:
        signal.signal(signal.SIGINT, _end)
    import importlib  # not before somebody hears

    main: Callable[..., int] = importlib.import_module(module).main
    if hears:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return main


def _end(number: int, frame: object) -> None:
    # Not as an exception: an import may hide it.
    os._exit(INTERRUPTED)


def run(module: str) -> int:
    """Import that module, and run its `main` on what was typed; answers the exit code."""
    try:
        return int(load(module)())
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
