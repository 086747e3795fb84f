"""What local tasks and channels need of the network, and the names they are known by here.

A kernel without a network works alone: names are looked up in this process only and a
reference can't leave it.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

from dispycos.kernel.wait import Waitable, Waiter, seconds
from dispycos.model import Location

Kind: TypeAlias = Literal["task", "channel", "rps"]

MAX_NAMES = 100_000  # registered names of one process; beyond it `register` answers -1


class Outside(Protocol):
    """This process's face to others, once it has one: `Kernel.network`."""

    @property
    def location(self) -> Location:
        """Where this process is reached."""
        ...

    def reduce(self, receiver: Any) -> tuple[Any, ...]:
        """The pickle reduction of a local Task, Channel or RPS: it travels as a reference."""
        ...

    def locate(self, kind: Kind, name: str, location: Location | None, timeout: float | None) -> Any:
        """Answer a waitable: the Task, Channel or RPS registered as `name` elsewhere, else None.

        location  the only process to ask; None: those present, and those that appear until `timeout`.
        """
        ...


class Names:
    """Who is registered under which name in this process."""

    __slots__ = ("_known", "_wanted")

    def __init__(self) -> None:
        self._known: dict[tuple[Kind, str], Any] = {}  # at most MAX_NAMES
        # Calls to make when a name appears; each is dropped when made or taken back.
        self._wanted: dict[tuple[Kind, str], list[Callable[[Any], object]]] = {}

    def register(self, kind: Kind, name: str, receiver: Any) -> int:
        """0, or -1 if the name belongs to another receiver already. Any thread."""
        if len(self._known) >= MAX_NAMES:
            return -1
        if self._known.setdefault((kind, name), receiver) is not receiver:
            return -1
        return 0

    def announce(self, kind: Kind, name: str) -> None:
        """Tell those who wait for the name; kernel thread."""
        receiver = self._known.get((kind, name))
        if receiver is not None:
            for call in self._wanted.pop((kind, name), ()):
                call(receiver)

    def unregister(self, kind: Kind, name: str, receiver: Any) -> int:
        """0, or -1 if `receiver` is not registered under this name. Any thread."""
        if self._known.get((kind, name)) is not receiver:
            return -1
        self._known.pop((kind, name), None)
        return 0

    def find(self, kind: Kind, name: str) -> Any:
        """The receiver of that name, or None. Any thread."""
        return self._known.get((kind, name))

    def wait(self, kind: Kind, name: str, call: Callable[[Any], object]) -> None:
        """Call `call(receiver)` once, when the name gets registered; kernel thread."""
        self._wanted.setdefault((kind, name), []).append(call)

    def forget(self, kind: Kind, name: str, call: Callable[[Any], object]) -> None:
        """Take a `wait` back."""
        calls = self._wanted.get((kind, name))
        if calls and call in calls:
            calls.remove(call)
            if not calls:
                del self._wanted[kind, name]


class Located(Waitable):
    """The receiver of a name in this process, now or when it gets registered; None at the time-out."""

    __slots__ = ("_kind", "_name", "_names", "_timeout")

    _what = "locate()"

    def __init__(self, names: Names, kind: Kind, name: str, timeout: float | None) -> None:
        self._names = names
        self._kind = kind
        self._name = name
        self._timeout = seconds(timeout)

    def _wait(self, task: Waiter) -> Waitable | None:
        found = self._names.find(self._kind, self._name)
        timeout = self._timeout
        if found is not None or (timeout is not None and timeout <= 0):
            task._input = found
            return None
        if timeout is not None:
            task._limit(timeout)
        self._names.wait(self._kind, self._name, task._wake)
        return self

    def _undo(self, task: Waiter) -> None:
        self._names.forget(self._kind, self._name, task._wake)
