"""Where a task is, and where it failed: frames and tracebacks without the lines of ours that led there.

Reading frames is safe in any thread: nothing here runs the task's code (K8).

Pure: no I/O, clock or randomness. Rules K5, K8.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, NamedTuple

from dispycos.frames import set_traceback, traceback_of

_OURS = "dispycos.kernel."

# Names of modules above the kernel that call it, or users' code, for somebody else; each adds itself.
leading: set[str] = set()


class Frame(NamedTuple):
    """One line of a task's stack."""

    filename: str
    line: int  # from 1
    function: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.line} in {self.function}"


def _is_ours(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__")
    return isinstance(name, str) and (name.startswith(_OURS) or name in leading)


def frames(runnables: Iterable[Any]) -> list[Frame]:
    """Where generators and coroutines stand, with what each delegates to, in the given order."""
    found = []
    for runnable in runnables:
        for frame in _delegates(runnable):
            if not _is_ours(frame):
                code = frame.f_code
                line = frame.f_lineno or code.co_firstlineno
                found.append(Frame(code.co_filename, line, code.co_qualname))
    return found


def _delegates(runnable: Any) -> Iterator[FrameType]:
    while runnable is not None:
        frame = getattr(runnable, "gi_frame", None) or getattr(runnable, "cr_frame", None)
        if frame is None:
            return
        yield frame
        inner = getattr(runnable, "gi_yieldfrom", None)
        runnable = inner if inner is not None else getattr(runnable, "cr_await", None)


def running_frames(innermost: FrameType | None) -> list[Frame]:
    """The frames of a thread from its kernel's step inwards: what the running task does just now."""
    found: list[Frame] = []
    frame = innermost
    while frame is not None and frame.f_globals.get("__name__") != _OURS + "core":
        if not _is_ours(frame):
            code = frame.f_code
            found.append(Frame(code.co_filename, frame.f_lineno or 0, code.co_qualname))
        frame = frame.f_back
    found.reverse()
    return found


# Not by the class, whose metaclass may be anybody's.
_name_of: Callable[[type], str] = vars(type)["__name__"].__get__


def kind_of(error: BaseException) -> str:
    """The name of its class."""
    return _name_of(type(error))


def trim(error: BaseException) -> TracebackType | None:
    """Take our frames out of the exception's traceback; none is left of a call that did not take place.

    What is left.
    """
    kept = []
    entry = traceback_of(error)
    while entry is not None:
        if not _is_ours(entry.tb_frame):
            kept.append(entry)
        entry = entry.tb_next
    following: TracebackType | None = None
    for entry in reversed(kept):
        entry.tb_next = following
        following = entry
    set_traceback(error, following)
    return following


def text_of(error: BaseException) -> str:
    """The traceback as text, as Python prints it; what its class leaves of that if it objects."""
    try:
        lines = traceback.format_exception(error)
    except Exception:
        lines = [*traceback.format_tb(traceback_of(error)), f"{kind_of(error)}: its class can't be asked"]
    return "".join(lines).rstrip()
