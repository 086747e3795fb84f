"""Validating runs: `DISPYCOS_VALIDATE=1`, as every test has it (R-62).

Each machine checks its invariants after each event; what a peer says it holds is compared with
our own ledger before it is heard; a process that must not decode what others made is watched by
the interpreter. Whatever does not hold ends the process with the machine's story of the thing,
since going on could only hide where it went wrong.

I/O half. Layer 3. Rules R-62, SE-24.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from dispycos.story import About

ON = os.environ.get("DISPYCOS_VALIDATE") == "1"

EXIT_CODE = 70  # EX_SOFTWARE: the fault is ours


def check(machine: Any, event: Any = None) -> None:
    """Have a machine check itself, after this event; ends the process if an invariant is broken."""
    _hold(machine, machine.check, after=event)


def compare(machine: Any, peer: Any, message: Any) -> None:
    """Have a machine compare, if it can, what a peer says it holds; ends the process if it can't be so."""
    if (compare := getattr(machine, "compare", None)) is not None:
        _hold(machine, lambda: compare(peer, message), after=message)


def _hold(machine: Any, holds: Callable[[], None], after: Any) -> None:
    try:
        holds()
    except AssertionError as exc:
        what = exc.args[0] if exc.args else None
        thing = what.thing if isinstance(what, About) else None
        tell = getattr(machine, "story", None)
        story = tell(thing) if tell is not None and thing is not None else "it is not said of what"
        _end(
            f"an invariant of {type(machine).__name__} is broken: {what or 'see above'}\n"
            f"after: {after!r:.2000}\nstory of {thing!r}: {story}"
        )


def forbid_unpickling(who: str, *, here_only: bool = False) -> None:
    """From now on this process ends if it unpickles an object: `who` must not decode what others made.

    here_only  only the thread that calls is watched, as the process has others that may.
    """
    if not ON:
        return
    # Not the thread's number, which the next thread may be given.
    here = threading.local()
    here.watched = True

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "pickle.find_class" and (hasattr(here, "watched") or not here_only):
            _end(f"{who} unpickles {'.'.join(map(str, arguments))}, and may decode nothing that others made")

    sys.addaudithook(heard)


def _end(text: str) -> NoReturn:
    # Whatever standard error has become, the process ends.
    with contextlib.suppress(Exception):
        traceback.print_stack() if sys.exception() is None else traceback.print_exc()
        print(f"dispycos: {text}", file=sys.stderr, flush=True)
    os._exit(EXIT_CODE)
