"""Frames: which lines of a stack are ours, and where in a traceback those of others begin.

And how the traceback of an exception is had without asking it: its class may be anybody's.
For who reads one outside of the kernel; of a task's own, `kernel.trace` knows more.

Pure: no I/O, clock or randomness. Layer 0.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final

OURS: Final = "dispycos."

# Not by the exception itself, nor by its class, which may answer for all of their attributes.
_slot = vars(BaseException)["__traceback__"]
traceback_of: Final[Callable[[BaseException], TracebackType | None]] = _slot.__get__
set_traceback: Final[Callable[[BaseException, TracebackType | None], None]] = _slot.__set__


def with_traceback(error: BaseException, trace: TracebackType | None) -> BaseException:
    """The exception, which has this traceback from now on."""
    set_traceback(error, trace)
    return error


def is_ours(frame: FrameType, modules: str | tuple[str, ...] = OURS) -> bool:
    """Whether it runs a line of ours.

    modules  how the names of those begin that count.
    """
    name = frame.f_globals.get("__name__")
    return type(name) is str and name.startswith(modules)


def beyond_ours(trace: TracebackType | None, modules: str | tuple[str, ...] = OURS) -> TracebackType | None:
    """From the first line on that is none of ours; None if all are."""
    while trace is not None and is_ours(trace.tb_frame, modules):
        trace = trace.tb_next
    return trace


def raised_in(trace: TracebackType) -> str:
    """The name of the module whose line it ends at."""
    while trace.tb_next is not None:
        trace = trace.tb_next
    name: str = trace.tb_frame.f_globals.get("__name__", "")
    return name
