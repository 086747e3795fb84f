"""Chunks: several items of a map in one task.

`Each` is what a server runs: it calls the program's function with one item after the other,
and gives others a turn between two of them. The first failure ends the chunk; what came
before it is kept. The results travel as a pickle inside the task's own result, so that the
first one that can't be pickled is a failure at its place too.

I/O half. Layer 5. Row DC-64.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from pickle import PickleBuffer
from types import CoroutineType, GeneratorType
from typing import Any, NamedTuple

from dispycos import forks
from dispycos.kernel import trace
from dispycos.kernel.target import begin, calls_plainly, name_of, runs
from dispycos.kernel.task import is_interruption
from dispycos.model import Payload
from dispycos.pickling import values

TURN = (
    0.010  # seconds that a chunk of short items keeps the kernel: then messages and other tasks have theirs
)


class Results(NamedTuple):
    """What a chunk comes to. It travels as a plain tuple, whose large bytes are not copied."""

    number: int  # of results, in order from its first item
    seconds: float  # that the items took
    pickled: tuple[Any, ...]  # a list of the results, as a Payload's data and buffers
    failure: tuple[bytes | None, str] | None  # what the item after them raised, as `dump_exception` has it

    @property
    def size(self) -> int:
        """Bytes of the results."""
        return sum(map(len, self.pickled))

    def load(self) -> list[Any]:
        """The results."""
        data, *buffers = self.pickled
        results: list[Any] = values.load(Payload(data, tuple(buffers)))
        return results

    def error(self) -> BaseException | None:
        """What the item after them raised, with its traceback; None: that were all."""
        if self.failure is None:
            return None
        data, text = self.failure
        error = values.load_exception(None if data is None else Payload(data, ()), text)
        return values.survivable(error, "an item's call")


class Each:
    """Calls a function with each item of a list; a task.

    spread  an item is a tuple of several arguments.
    """

    def __init__(self, function: Callable[..., Any], spread: bool) -> None:
        self.function = function
        self.spread = spread
        self.__name__ = name_of(function)

    def __call__(self, items: Sequence[Any], task: Any = None) -> Generator[Any, Any, tuple[Any, ...]]:
        function, spread = self.function, self.spread
        is_target = runs(function)
        # Not `forks.parent_goes_on`: items may be as short as that.
        born = forks.generation
        clock = time.monotonic
        results: list[Any] = []
        failure: BaseException | None = None
        began = turn = clock()
        for item in items:
            try:
                if is_target:
                    value = yield begin(function, item if spread else (item,), {}, task)
                else:
                    value = function(*item) if spread else function(item)
                    if type(value) is GeneratorType or type(value) is CoroutineType:
                        value = yield value
            except BaseException as error:
                if forks.generation != born:
                    forks.leave(error)
                if isinstance(error, GeneratorExit) or is_interruption(error):
                    raise  # somebody wants this task to end
                failure = _without_us(error)
                break
            if forks.generation != born:
                forks.leave()  # the other items are the parent's
            results.append(value)
            now = clock()
            if now - turn >= TURN:
                yield
                turn = clock()
        return self._packed(results, clock() - began, failure)

    def _packed(self, results: list[Any], seconds: float, failure: BaseException | None) -> tuple[Any, ...]:
        try:
            payload = values.dump(results)
        except Exception:
            good, failure = self._up_to_failure(results)
            payload = values.dump(good)
            results = good
        pickled = (payload.data, *map(PickleBuffer, payload.buffers))
        dumped = None
        if failure is not None:
            exception, text = values.dump_exception(failure)
            dumped = (None if exception is None else bytes(exception.data), text)
        return tuple(Results(len(results), seconds, pickled, dumped))

    def _up_to_failure(self, results: list[Any]) -> tuple[list[Any], BaseException | None]:
        """Those before the first result that can't be pickled, and what pickling it raises."""
        for number, value in enumerate(results):
            try:
                values.dump(value, what=f"result of {self.__name__}")
            except Exception as error:
                return results[:number], error
        return results, None


calls_plainly.add(Each.__call__.__code__)
trace.leading.add(__name__)


def _without_us(error: BaseException) -> BaseException:
    """The failure of an item, as of a task of its own."""
    trace.trim(error)
    if isinstance(error, StopIteration):
        # It would end who asks for the item; generators make this of it too.
        failure = RuntimeError(f"raised {error!r}")
        failure.__cause__ = error
        return failure
    return error
