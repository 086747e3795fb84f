"""Forks: what is done in a child that this process forks by os.fork(), and where such a child ends.

What is done is called inside of os.fork(), in the only thread that the child has. The others stayed in the
parent: whatever they had locked is locked for ever in the child, and what they were changing is
half changed. What descriptors lead to is the parent's as well. So it may only mark what is the
parent's, and make anew what the child needs, locks above all. It takes no lock, waits for nothing,
and neither reads nor writes; who uses a thing of the parent's later looks at the mark.

Two verbs: `disown` marks a thing as the parent's, `renew` makes it that of a process that begins.
Where the system has no fork, nothing is ever called.

Code of others that forks comes back from there twice, in the parent and in the child; what follows is
the parent's. So whoever calls it does so inside of `parent_goes_on`, which a child never leaves. Layer 0.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, TypeVar

from dispycos import frames

T = TypeVar("T")

generation = 0  # how many forks lead here from the process in which this was imported


def in_child(function: Callable[[], object]) -> None:
    """Have it called in each child from now on, after all that was said here before."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def each_in_child(function: Callable[[T], object]) -> weakref.WeakSet[T]:
    """A set: `function(thing)` is called in each child for each thing that is in it then."""
    things: weakref.WeakSet[T] = weakref.WeakSet()

    def call() -> None:
        for thing in list(things):
            function(thing)

    in_child(call)
    return things


class parent_goes_on:  # noqa: N801 - read as a verb, as those of contextlib are
    """`with parent_goes_on(): ...`: a child that is forked inside ends where it would come out (`leave`).

    0.25 µs; who can't afford them compares `generation` and calls `leave` himself.
    """

    __slots__ = ("_born",)

    def __init__(self) -> None:
        self._born = generation

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if generation != self._born:
            leave(error)


def leave(error: BaseException | None = None) -> NoReturn:
    """End this process, a forked child, where the code that forked it returns, or raises `error`.

    As Python ends: an error is printed, with status 1; what SystemExit says is the status; else it is 0.
    Not what was registered for the end of the program, which is the parent's.
    """
    status = 1
    try:
        if isinstance(error, SystemExit) and not isinstance(error.code, str):
            status = error.code if isinstance(error.code, int) else 0
        elif isinstance(error, SystemExit):
            print(error.code, file=sys.stderr)
        elif error is not None:
            trace = frames.beyond_ours(frames.traceback_of(error))
            frames.set_traceback(error, trace)
            sys.excepthook(type(error), error, trace)
        else:
            status = 0
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                status = status or 1  # what was printed is lost; or there is no such stream
        os._exit(status & 0xFF)


def _count() -> None:
    global generation
    generation += 1


in_child(_count)
