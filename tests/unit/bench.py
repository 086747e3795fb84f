"""A bench for one machine: feed it, let time pass, look at what it answered last."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from dispycos.events import Heard, Say
from dispycos.model import Incarnation
from dispycos.testing import Machine

M = TypeVar("M", bound=Machine)
T = TypeVar("T")


def who(name: str) -> Incarnation:
    """An incarnation that can be read in a failure's text."""
    return Incarnation(name.encode().ljust(16, b"."))


class MachineBench(Generic[M]):
    """One machine on a clock of its own; each step is checked."""

    def __init__(self, machine: M) -> None:
        self.machine = machine
        self.now = 100.0
        self.out: list[Any] = []  # what it answered last

    def note(self, actions: list[Any]) -> list[Any]:
        """Note an answer."""
        self.out = actions
        self.machine.check()
        return actions

    def feed(self, event: Any) -> list[Any]:
        return self.note(list(self.machine.handle(event, self.now)))

    def hear(self, peer: Incarnation, message: Any) -> list[Any]:
        return self.feed(Heard(peer, message))

    def wait(self, seconds: float) -> list[Any]:
        """Let time pass; every answer of the ticks in between."""
        end = self.now + seconds
        answers: list[Any] = []
        while (due := self.machine.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            answers += self.note(list(self.machine.tick(self.now)))
        self.now = end
        self.out = answers
        return answers

    def found(self, kind: type[T]) -> list[T]:
        """Of the last answer: actions, or messages said, of this type."""
        said = [action.message for action in self.out if isinstance(action, Say)]
        return [thing for thing in [*self.out, *said] if isinstance(thing, kind)]

    def said_to(self, peer: Incarnation, kind: type[T]) -> list[T]:
        """Of the last answer: messages of this type to that peer."""
        return [
            action.message
            for action in self.out
            if isinstance(action, Say) and action.peer == peer and isinstance(action.message, kind)
        ]
