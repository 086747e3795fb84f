"""Waiting for several Futures: as they come, for some or all of them, for all their results.

Each takes Futures of `client.submit`, or other Operations, and can be yielded, awaited, or
waited for in a plain thread (DC-60).

I/O half. Layer 5. Row DC-64.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import count
from typing import Any, NamedTuple, Never

from dispycos.arguments import seconds_or_none
from dispycos.client.arrivals import Arrivals
from dispycos.client.bell import Bell
from dispycos.client.deadline import Deadline
from dispycos.client.future import Future
from dispycos.client.mapping import Map
from dispycos.guidance import habits, hints
from dispycos.kernel.late import NOT_MADE, Late
from dispycos.kernel.loop import current_kernel
from dispycos.kernel.operation import Operation

FIRST_COMPLETED = "FIRST_COMPLETED"
FIRST_EXCEPTION = "FIRST_EXCEPTION"
ALL_COMPLETED = "ALL_COMPLETED"


def operations(fs: Iterable[Any]) -> list[Operation]:
    """`fs` as a list. TypeError names what is no Future."""
    if isinstance(fs, Map):
        raise TypeError(
            "fs must be Futures, and a map gives results: take those, or make Futures by "
            "[client.submit(f, x) for x in items]"
        )
    if isinstance(fs, Operation) or not isinstance(fs, Iterable):
        raise TypeError(f"fs must be Futures in a list or another iterable, not {fs!r:.200}")
    found = list(fs)
    for one in found:
        if not isinstance(one, Operation):
            raise TypeError(f"fs must be Futures, as client.submit gives them, not {one!r:.200}")
    return found


def _why_first(fs: Iterable[Operation]) -> str:
    """What keeps the first of them that is not done, as far as is known."""
    first = next((one for one in fs if not one.done()), None)
    return "" if first is None else first._why()


def has_failed(one: Operation) -> bool:
    """Whether one that is done raises; a result is not looked at."""
    return one.failed if isinstance(one, Future) else one.exception() is not None


class Arriving:
    """Notes which of several Operations are done, and rings a bell; it keeps nobody alive who waits."""

    def __init__(self, fs: list[Operation], bell: Bell) -> None:
        self.done: deque[Operation] = deque()
        self._bell = bell
        self.fs = fs
        for one in fs:
            one.add_done_callback(self._arrived)

    def _arrived(self, one: Operation) -> None:
        self.done.append(one)
        self._bell.ring()

    def forget(self) -> None:
        """Be told no more; any thread."""
        for one in self.fs:
            if not one.done():
                one.remove_done_callback(self._arrived)


class Completed(Arrivals):
    """Futures in the order in which they complete; see `as_completed`."""

    def __init__(self, fs: Iterable[Any], timeout: float | None) -> None:
        found = list(dict.fromkeys(operations(fs)))
        super().__init__(timeout)
        self.total = len(found)
        self._left = self.total
        self._arriving = Arriving(found, self._bell)
        self._closed = False

    def __dir__(self) -> Iterable[str]:
        return hints.own(super().__dir__(), habits.OF_COMPLETED)

    def __repr__(self) -> str:
        return f"<as_completed: {self._left} of {self.total} futures are to come>"

    def _take(self) -> list[Any] | None:
        if not self._left:
            return None
        done = self._arriving.done
        batch = [done.popleft() for _ in range(len(done))]
        self._left -= len(batch)
        return batch

    def _release(self) -> None:
        self._arriving.forget()

    def _unfinished(self) -> str:
        return f"{self._left} of {self.total} futures were not done"

    def _why(self) -> str:
        return _why_first(self._arriving.fs)


hints.tell(Completed, habits.OF_COMPLETED)


def as_completed(fs: Iterable[Any], timeout: float | None = None, **unknown: Never) -> Completed:
    """The Futures of `fs` as they complete: those that are done first, each once.

    `for f in as_completed(fs)` in a plain thread, `async for` in asyncio or an `async def` task,
    `f = yield it.next(None)` in a generator task; `yield it` gives all, in that order.
    timeout  seconds from now until TimeoutError is raised; the Futures go on.
    """
    hints.refuse(as_completed, unknown, habits.OF_WAITING)
    return Completed(fs, timeout)


class Waited(NamedTuple):
    """What `wait` comes to."""

    done: set[Any]
    not_done: set[Any]


class _Some(Late):
    """Done when enough of several Operations are."""

    __slots__ = ("_fs", "_numbers")

    def __init__(self, fs: Iterable[Operation]) -> None:
        super().__init__()
        self._fs = list(dict.fromkeys(fs))
        self._numbers = count(1)

    def _why(self) -> str:
        why = _why_first(self._fs)
        undone = f"{sum(not one.done() for one in self._fs)} of {len(self._fs)} futures were not done"
        return f"{undone}{why and f'; the first: {why}'}"

    def _begin(self) -> None:
        if not self._fs:
            self._enough()
        for one in self._fs:
            one.add_done_callback(self._one)
        if self.done():
            # Perhaps before the last of them was asked to tell.
            self._forget()

    def _one(self, one: Operation) -> None:
        # The number is taken in one step of the interpreter: several threads may complete them.
        if next(self._numbers) == len(self._fs) or self._suffices(one):
            self._enough()

    def _suffices(self, one: Operation) -> bool:
        """Whether the others need not be waited for."""
        raise NotImplementedError

    def _enough(self) -> None:
        if self.complete(NOT_MADE):
            self._forget()

    def _forget(self) -> None:
        for one in self._fs:
            if not one.done():
                one.remove_done_callback(self._one)


class _Wait(_Some):
    """See `wait`."""

    __slots__ = ("_deadline", "_return_when")

    def __init__(self, fs: list[Operation], timeout: float | None, return_when: str) -> None:
        super().__init__(fs)
        self._return_when = return_when
        self._deadline = None if timeout is None else Deadline(current_kernel(), timeout, self._enough)
        self._begin()

    def _title(self) -> str:
        return "wait(futures)"

    def _suffices(self, one: Operation) -> bool:
        if self._return_when == FIRST_EXCEPTION:
            return has_failed(one) and not (isinstance(one, Future) and one.cancelled())
        return self._return_when == FIRST_COMPLETED

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super()._forget()

    def _make(self) -> tuple[Any, BaseException | None]:
        done = {one for one in self._fs if one.done()}
        return Waited(done, set(self._fs) - done), None


def wait(
    fs: Iterable[Any], timeout: float | None = None, return_when: str = ALL_COMPLETED, **unknown: Never
) -> Operation:
    """Yield, await or ask `.result()` of this: `(done, not_done)`, two sets of Futures.

    timeout      seconds after which it answers in any case; the Futures go on.
    return_when  "ALL_COMPLETED", "FIRST_COMPLETED" or "FIRST_EXCEPTION", as `concurrent.futures` has them.
    """
    hints.refuse(wait, unknown, habits.OF_WAITING)
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(
            f"return_when must be {ALL_COMPLETED!r}, {FIRST_COMPLETED!r} or {FIRST_EXCEPTION!r}, "
            f"not {return_when!r:.200}"
        )
    return _Wait(operations(fs), seconds_or_none("timeout", timeout), return_when)


class _Gathered(_Some):
    """See `gather`."""

    __slots__ = ("_all", "_failed")

    def __init__(self, fs: list[Operation]) -> None:
        super().__init__(fs)
        self._all = fs
        self._failed: Operation | None = None
        self._begin()

    def _suffices(self, one: Operation) -> bool:
        if self._failed is None and has_failed(one):
            self._failed = one
        return self._failed is not None

    def _title(self) -> str:
        return "gather(futures)"

    def _unawaited(self) -> None:
        # As asyncio.gather has it: the results are wanted together or not at all.
        for one in self._all:
            one._unawaited()

    def _make(self) -> tuple[Any, BaseException | None]:
        if self._failed is not None:
            return None, self._failed.exception()
        try:
            return [one.result() for one in self._all], None
        except BaseException as error:
            return None, error  # it can't be loaded here


def gather(fs: Iterable[Any], **unknown: Never) -> Operation:
    """Yield, await or ask `.result()` of this: the results of all Futures, in their order.

    Raises what the first one that fails raises, at once; the others go on.
    """
    hints.refuse(gather, unknown, habits.OF_WAITING)
    return _Gathered(operations(fs))
