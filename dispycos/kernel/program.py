"""Holding a program at its end, while the interpreter still allows everything.

Threads, executors and servers that tasks start after the end of the main program must work
as before (KE-27), but an interpreter that ends refuses more and more:

- `concurrent.futures` refuses work from a hook that runs before non-daemon threads are
  joined. Hooks run in reverse order, so theirs is registered first and ours waits before it.
- Python 3.12.0 and 3.12.1 refuse new threads already before that hook. There the end of the
  main module's own code is watched instead.
- Ctrl-C just as the main program ends makes the interpreter skip that hook, with a traceback
  on stderr. Then `atexit` is the next best moment: tasks go on, new threads are refused.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import CodeType, TracebackType
from typing import Any

from dispycos import forks

log = logging.getLogger("dispycos")

_LIBRARY = os.path.join(os.path.dirname(os.__file__), "")  # what Python brings; others' packages may be in it

_held = False  # whether hooks are registered in this process
_hooked = False  # whether the interpreter took the earlier of them
_ended = False  # whether that one ran to its end
_at_end: Callable[[bool], object] | None = None


def hold(at_end: Callable[[bool], object]) -> None:
    """Call `at_end(interrupted)` in the main thread when the main program has ended, before all else.

    interrupted  whether Ctrl-C ended it.
    The function may be called more than once.
    """
    global _held, _hooked, _at_end
    _at_end = at_end
    if _held:
        return
    _held = True
    tell_interrupts_shortly()
    import concurrent.futures.thread

    # Imported for the order of the hooks; it could not be imported any more while we wait.
    try:
        import concurrent.futures.process  # noqa: F401
    except ImportError:
        pass  # a platform without semaphores has no process pools
    atexit.register(_end_late)
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        try:
            register(_end)
            _hooked = True
        except RuntimeError:
            pass  # the program is ending just now
    if (3, 12, 0) <= sys.version_info < (3, 12, 2) and not is_interactive():
        _watch_main()


def tell_interrupts_shortly() -> None:
    """From now on a Ctrl-C that ends the program is a line of its own code; any thread, may be repeated."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _tell


def _end() -> None:
    global _ended
    if _at_end is not None:
        _at_end(was_interrupted())
    _ended = True


def _end_late() -> None:
    if _at_end is not None and not _ended:
        # Nothing but Ctrl-C skips the hook before.
        _at_end(_hooked or was_interrupted())


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """As the interpreter tells of what ended the program; of Ctrl-C in a line.

    Where our own code waited for it is nothing to anybody, and hides the line that says what ends now.
    """
    if kind is not KeyboardInterrupt or trace is None:
        sys.__excepthook__(kind, error, trace)
        return
    theirs = [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith(_package())]
    # What of Python's own was called in between, to wait, is as little of theirs.
    frames = [frame for frame in theirs if not _is_pythons(frame.filename)] or theirs
    where = f" in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    print(f"KeyboardInterrupt{where}", file=sys.stderr)


def _is_pythons(file: str) -> bool:
    return file.startswith("<frozen ") or (file.startswith(_LIBRARY) and "-packages" not in file)


def _package() -> str:
    """How the names of our own files begin, as far as a traceback tells them."""
    # Where a gateway carried this module there is no file, and its code is named otherwise.
    ours = os.path.dirname(os.path.dirname(_package.__code__.co_filename))
    return os.path.join(ours, "") if ours else "<dispycos"


def is_interactive() -> bool:
    """Whether somebody types the program in."""
    return hasattr(sys, "ps1") or bool(sys.flags.interactive)


def was_interrupted() -> bool:
    """Whether Ctrl-C ended the main program."""
    last = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return isinstance(last, KeyboardInterrupt)


def say_interrupted(what: str, error: KeyboardInterrupt | None = None) -> None:
    """Log what is ended by Ctrl-C; main thread.

    error  what left a block; None: it came to the end of the program. The blocks around that one need not
           say it again, also if it is not the same any more.
    """
    if error is not None:
        if _is_told(error) or came_again(error):
            return
        error.told = True  # type: ignore[attr-defined]  # a mark of ours
    log.warning("interrupted: ending %s; Ctrl-C again leaves at once", what)


def came_again(error: BaseException) -> bool:
    """Whether it is a Ctrl-C that came while things ended for an earlier one, as `say_interrupted` said."""
    before = error.__context__
    while before is not None and not _is_told(before):
        before = before.__context__
    return type(error) is KeyboardInterrupt and before is not None


def _is_told(error: BaseException) -> bool:
    return getattr(error, "told", False)


def end_by_interrupt() -> None:
    """Let the interpreter end by SIGINT when all else has ended, as for a Ctrl-C that ends the main program.

    A shell stops its script then, and `make` its run; of a mere status 130 neither knows what it means.
    """
    # It notes whether the text of a program that it ran last was ended so, wherever that text came from.
    with contextlib.suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")


def _watch_main() -> None:
    """Call `_end` when the outermost frame of the main thread ends."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]  # Python 3.12 has it
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    tool = next((number for number in (4, 3, 5, 2) if monitoring.get_tool(number) is None), None)
    if frame is None or tool is None:
        return
    while frame.f_back is not None:
        frame = frame.f_back
    main = frame.f_code
    events = monitoring.events

    def ended(code: CodeType, offset: int, outcome: object) -> None:
        if code is main and threading.current_thread() is threading.main_thread():
            monitoring.set_events(tool, events.NO_EVENTS)
            monitoring.set_local_events(tool, main, events.NO_EVENTS)
            monitoring.free_tool_id(tool)
            if _at_end is not None:
                _at_end(isinstance(outcome, KeyboardInterrupt))

    monitoring.use_tool_id(tool, "dispycos")
    monitoring.register_callback(tool, events.PY_RETURN, ended)
    monitoring.register_callback(tool, events.PY_UNWIND, ended)
    monitoring.set_local_events(tool, main, events.PY_RETURN)
    monitoring.set_events(tool, events.PY_UNWIND)  # it can't be asked for one function only


def flush() -> None:
    """Write out what was printed and logged."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # no such stream, or it is closed


def leave(status: int) -> None:
    """End this process now, whatever its threads do."""
    flush()
    os._exit(status)


def _after_fork() -> None:
    global _at_end
    _at_end = None


forks.in_child(_after_fork)
