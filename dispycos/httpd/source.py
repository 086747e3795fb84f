"""What a monitor asks of the program that it watches.

There are two such programs: one with a Client, and the shared scheduler. Layer 7.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from dispycos.httpd.feed import Feed
from dispycos.httpd.known import Known
from dispycos.kernel.operation import Operation


@dataclass(frozen=True, slots=True)
class Look:
    """What somebody looks at just now; nothing else needs to be told (MO-03)."""

    tasks: bool = False  # each task's changes
    servers: frozenset[Hashable] = frozenset()  # whose tasks' stacks and printed lines
    nodes: frozenset[Hashable] = frozenset()  # whose servers' figures
    survey: bool = False  # all tasks that live, once


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an action at one target."""

    outcome: str  # done, gone, refused
    text: str  # one sentence


class Source(Protocol):
    """Any thread may call; nothing waits."""

    @property
    def name(self) -> str:
        """Of the program, as people know it."""

    @property
    def known(self) -> Known:
        """What it can tell of tasks."""

    @property
    def show_args(self) -> bool:
        """Whether arguments are recorded and shown (MO-36)."""

    def watch(self, feed: Feed) -> None:
        """Begin to tell what happens."""

    def refresh(self, look: Look) -> Operation:
        """Put the present figures into the feed; done when they are in it."""

    def act(self, action: str, key: Hashable, role: str) -> Operation:
        """Carry out an action of `httpd.actions` at a node, server or task; gives a Result."""

    def set_show_args(self, show: bool) -> None:
        """Record arguments from now on, or no more."""

    def surroundings(self) -> dict[str, Any]:
        """What only the program knows of why nothing may run, and its versions and settings."""

    def stop(self) -> None:
        """Tell nothing more."""
