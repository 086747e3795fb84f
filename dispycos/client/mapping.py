"""Maps: a function called with each item of an input, on all servers; what `client.map` gives.

The input is read, and chunks of it are sent, in the thread of who takes the results: at most
so many chunks are on their way or wait to be taken (`chunking`), so an input without end needs
no more memory than a long one, and who takes slowly is not overrun.

I/O half. Layer 5. Rows DC-60, DC-64.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import replace
from itertools import islice
from typing import Any

from dispycos.arguments import integer
from dispycos.card import card, line
from dispycos.client.arrivals import Arrivals
from dispycos.client.chunk import Each, Results
from dispycos.client.chunking import MAX_ITEMS, Chunking
from dispycos.client.future import Future
from dispycos.client.task_options import TaskOptions
from dispycos.client.work import Work
from dispycos.guidance import habits, hints
from dispycos.kernel import unwaited
from dispycos.kernel.target import name_of
from dispycos.pickling import values


class Map(Arrivals):
    """The results of a map, in the order of its input; see `Submitter.map`."""

    def __init__(
        self,
        work: Work,
        function: Callable[..., Any],
        iterables: Sequence[Iterable[Any]],
        chunksize: int | None,
        timeout: float | None,
        options: TaskOptions,
    ) -> None:
        fixed = 0 if chunksize is None else integer("chunksize", chunksize, least=1, most=MAX_ITEMS * 100)
        self._work = work
        self._spread = len(iterables) > 1
        self._items: Iterator[Any] = zip(*iterables, strict=False) if self._spread else iter(iterables[0])
        self._left = _length(iterables)
        self._name = name_of(function)
        unwaited.warn(function)
        self._function = work.submissions.definition(Each(function, self._spread))
        self._options = options
        self._chunking = Chunking(fixed)
        self._chunks: deque[Future] = deque()  # that nobody took yet, in order
        self._sizes: dict[Future, int] = {}  # bytes of the arguments, of those that are not done
        self._failure: BaseException | None = None  # raised when all chunks are taken
        self._more = True  # the input has more, and is wanted
        super().__init__(timeout)
        # What is done and was not looked at. Chunks hold these, and not the map: it may be dropped.
        self._done: deque[Future] = deque()
        self._breaks_off = False  # what runs is interrupted where it is, when nobody wants it any more
        self._closed = False
        self._fill()

    def __dir__(self) -> Iterable[str]:
        return hints.own(super().__dir__(), habits.OF_MAPS)

    def __repr__(self) -> str:
        return line("Map", *self._shown())

    def _repr_html_(self) -> str:
        return card("Map", *self._shown())

    def _shown(self) -> tuple[str, list[tuple[str, str]]]:
        state = "all results are taken, or no more are wanted" if self._closed else "results are to come"
        ahead = len(self._chunks)
        facts = [
            ("function", self._name),
            ("chunks ahead", f"{ahead}, {ahead - len(self._sizes)} of them done"),
        ]
        if self._left is not None and self._more:
            facts.append(("items not sent yet", str(self._left)))
        return state, facts

    # Giving out.

    def _fill(self) -> None:
        servers = self._work.servers
        while self._more and self._chunking.may_go_out(servers, len(self._sizes), len(self._chunks)):
            wanted = self._chunking.size(servers, self._left)
            items: list[Any] = []
            broken: Exception | None = None
            try:
                for item in islice(self._items, wanted):
                    items.append(item)
            except Exception as error:
                broken = error
            if len(items) < wanted:
                self._more = False
            if self._left is not None:
                self._left = max(0, self._left - len(items))
            if items:
                self._send(items)
            if broken is not None and self._failure is None:
                self._fail(broken)

    def _send(self, items: list[Any]) -> None:
        """Submit a chunk. What can't be sent is a failure at the place of its item."""
        try:
            future, size = self._submitted(items)
        except Exception as error:
            if len(items) > 1:
                half = len(items) // 2
                self._send(items[:half])
                if self._failure is None:
                    self._send(items[half:])
            else:
                self._fail(self._of_item(items[0], error))
            return
        self._chunks.append(future)
        self._sizes[future] = size
        done, bell = self._done, self._bell

        def tell(future: Any) -> None:
            done.append(future)
            bell.ring()

        future.add_done_callback(tell)

    def _submitted(self, items: list[Any]) -> tuple[Future, int]:
        work, options = self._work, self._options
        if not work.open:
            return Future.refused(f"the client is {work.state}"), 0
        if options.timeout:
            options = replace(options, timeout=options.timeout * len(items))
        submissions = work.submissions
        payload = submissions.pickled(self._name, (items,), {})
        return submissions.call(self._function, self._name, payload, ((items,), {}), options), payload.size

    def _of_item(self, item: Any, error: Exception) -> Exception:
        """Why an item can't be sent, in the words of a call with it."""
        try:
            values.dump_call(item if self._spread else (item,), {}, name=self._name)
        except Exception as better:
            return better
        return error

    def _fail(self, error: BaseException) -> None:
        """Behind the chunks that were given out there is only this."""
        self._failure = error
        self._more = False

    # Taking.

    def _take(self) -> list[Any] | None:
        self._learn()
        self._fill()
        taken: list[Any] = []
        while self._chunks and self._chunks[0] not in self._sizes:
            taken += self._results(self._chunks.popleft())
        if taken or self._chunks:
            return taken
        if self._failure is not None:
            raise self._failure
        return None

    def _results(self, chunk: Future) -> list[Any]:
        """What the first chunk came to. A failure in it ends the map: those behind it do not matter."""
        try:
            results = Results(*chunk.result())
            taken, error = results.load(), results.error()
        except BaseException as lost:
            # The chunk as a whole: then none of its items has a result.
            taken, error = [], lost
        if error is not None:
            self._fail(error)
            self._withdraw()
        return taken

    def _learn(self) -> None:
        """See what has come back since the last time."""
        while self._done:
            future = self._done.popleft()
            size = self._sizes.pop(future)
            if not future.failed:
                results = Results(*future.result())
                self._chunking.ran(results.number, results.seconds, max(size, results.size))

    def _unfinished(self) -> str:
        return f"the next result of mapping {self._name} did not come"

    def _why(self) -> str:
        return self._chunks[0]._why() if self._chunks else ""

    # The end.

    def _interrupted(self) -> None:
        # Nobody has a handle on its calls but this one, and whoever presses Ctrl-C, or cancels, wants
        # their end.
        self._breaks_off = True
        self.close()

    def _withdraw(self) -> None:
        chunks = list(self._chunks)
        self._chunks.clear()
        self._work.submissions.withdraw(chunks, self._breaks_off)

    def _release(self) -> None:
        self._more = False
        if self._chunks:
            self._withdraw()


hints.tell(Map, habits.OF_MAPS)


def _length(iterables: Sequence[Iterable[Any]]) -> int | None:
    """Items that all of them have; None if one does not say."""
    lengths = [len(one) if isinstance(one, Sized) else None for one in iterables]
    known = [length for length in lengths if length is not None]
    return min(known) if len(known) == len(lengths) else None
