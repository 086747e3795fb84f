"""Forks: what is done in a child that this process forks by os.fork().

It is called inside of os.fork(), in the only thread that the child has. The others stayed in the
parent: whatever they had locked is locked for ever in the child, and what they were changing is
half changed. What descriptors lead to is the parent's as well. So it may only mark what is the
parent's, and make anew what the child needs, locks above all. It takes no lock, waits for nothing,
and neither reads nor writes; who uses a thing of the parent's later looks at the mark.

Two verbs: `disown` marks a thing as the parent's, `renew` makes it that of a process that begins.
Where the system has no fork, nothing is ever called. Layer 0.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


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
