"""Submitters: who asks for tasks to be run, a Client or a view of one with other options.

I/O half. Layer 5. Rows DC-17 to DC-21, DC-61, DC-63 to DC-65.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Never, NoReturn

from dispycos.client.client_executor import ClientExecutor
from dispycos.client.everywhere import Everywhere
from dispycos.client.future import Future
from dispycos.client.mapping import Map
from dispycos.client.task_options import TaskOptions
from dispycos.client.work import ASKING, Work
from dispycos.errors import TaskRejected
from dispycos.guidance import habits, hints
from dispycos.kernel.operation import Operation, how_to_wait
from dispycos.kernel.refusal import refusal
from dispycos.kernel.target import name_of
from dispycos.model import Location
from dispycos.objects.exposure import Exposure, expose
from dispycos.objects.placing import place

log = logging.getLogger("dispycos")

_KEPT: Any = object()  # "as it is" of an option whose None means something


class Submitter:
    """The ways to have a task run."""

    _work: Work | None
    _task_options = TaskOptions()
    _told_refused = ""  # why calls were refused when that was told last

    def options(
        self,
        *,
        retries: int = _KEPT,
        timeout: float | None = _KEPT,
        max_worker_deaths: int = _KEPT,
        priority: int = _KEPT,
        **unknown: Never,
    ) -> Submitter:
        """The same client with other options, for what is submitted through the answer.

        retries            further attempts for a task whose server or node is lost (R-41); an
                           exception of the task is its result. It may then begin more than once.
        timeout            seconds that it may run; then it is ended, with Timeout. None: any.
        max_worker_deaths  servers that may die under attempts of it; then it is PoisonTask (R-07).
        priority           higher ones are placed first, equal ones in order; negative: after others.
        TypeError and ValueError name the option.
        """
        hints.refuse(self.options, unknown, habits.OPTIONS)
        given = {
            "retries": retries,
            "timeout": timeout,
            "max_worker_deaths": max_worker_deaths,
            "priority": priority,
        }
        chosen = {name: value for name, value in given.items() if value is not _KEPT}
        return _View(self, self._task_options.changed(chosen))

    def rtask(self, gen: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Operation:
        """Yield this: a Task that runs `gen(*args, **kwargs)` on a server of the least loaded node.

        A server runs one such task at a time; waits until one has room. A refusal (no Task: its
        `type` is an exception class, its `value` the reason) if none can come. What can't be
        pickled raises here.
        """
        if kwargs:
            hints.refuse_options("rtask", gen, kwargs)
        work = self._work
        if work is None or not work.open:
            return self._refused()
        return work.submissions.submit(gen, args, kwargs, self._task_options)

    def rtask_at(
        self, where: Location | str, gen: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Operation:
        """As `rtask`, at a server (its Location) or at any server of a node (its address)."""
        if kwargs:
            hints.refuse_options("rtask_at", gen, kwargs)
        work = self._work
        if work is None or not work.open:
            return self._refused()
        return work.submissions.submit(gen, args, kwargs, self._task_options, place=where)

    def io_rtask(self, gen: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Operation:
        """As `rtask`, for a task that mostly waits: it runs beside others, at once."""
        if kwargs:
            hints.refuse_options("io_rtask", gen, kwargs)
        work = self._work
        if work is None or not work.open:
            return self._refused()
        return work.submissions.submit(gen, args, kwargs, self._task_options, io=True)

    def io_rtask_at(
        self, where: Location | str, gen: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Operation:
        """As `io_rtask`, at a server or node."""
        if kwargs:
            hints.refuse_options("io_rtask_at", gen, kwargs)
        work = self._work
        if work is None or not work.open:
            return self._refused()
        return work.submissions.submit(gen, args, kwargs, self._task_options, place=where, io=True)

    def submit(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Have `func(*args, **kwargs)` called on a server; any thread. Its Future, at once.

        func  a plain function, or one that `rtask` takes. A server runs one at a time, and its
              tasks that wait have their turn when it returns or yields.
        A Future that fails with TaskRejected if nobody takes it. TypeError if func can't be
        called; what can't be pickled raises here.
        """
        if not callable(func):
            raise TypeError(f"func must be a function, not {func!r:.200}")
        if kwargs:
            hints.refuse_options("submit", func, kwargs)
        work = self._work
        if work is None or not work.open:
            return Future.refused(self._refusal())
        submissions, name = work.submissions, name_of(func)
        function, payload = submissions.definition(func), submissions.pickled(name, args, kwargs)
        return submissions.call(function, name, payload, (args, kwargs), self._task_options)

    def map(
        self,
        func: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        chunksize: int | None = None,
        timeout: float | None = None,
        **unknown: Never,
    ) -> Map:
        """`func` of each item of the input, as the builtin `map`: the results, in order, as they are taken.

        `for`, `async for` and `yield it.next(None)` take them one by one; `yield it`, `await it`
        and `it.result()` give a list of all. The input may have no end: it is read only so far
        ahead that all servers have work. The first failure is raised in the place of its result,
        and ends the map. `close()`, or dropping it, withdraws what has not begun. Ctrl-C while a
        result is waited for interrupts what runs, too; so does whatever cancels the `await` of it in
        asyncio (`asyncio.timeout`, say; `timeout` here ends the map, and lets what runs finish).

        func       any function that `submit` takes.
        chunksize  items that travel and run as one task, one after the other; None: as many as
                   take some 20 ms, by measurement.
        timeout    seconds from now until TimeoutError is raised in place of the next result.
        What `client.options(...)` says holds for a chunk; its `timeout` for each item of it.
        """
        if not callable(func):
            raise TypeError(f"func must be a function, not {func!r:.200}")
        hints.refuse(self.map, unknown, habits.OPTIONS)
        if not iterables:
            raise TypeError("map() needs at least one iterable")
        work = self._work
        if work is None or not work.open:
            raise TaskRejected(self._why_refused())
        return Map(work, func, iterables, chunksize, timeout, self._task_options)

    def run_everywhere(
        self, func: Callable[..., Any], /, *args: Any, per: str = "server", **kwargs: Any
    ) -> Operation:
        """Yield this: a dict of Location to result, or to the MonitorStatus of a failure.

        `func(*args, **kwargs)` runs once on each server in use (`per="node"`: on one server of each node),
        when its turn comes there, and on each that comes until the client closes: the dict gets
        its result then. Waits for the first server if there is none yet, and fails with TaskRejected if
        none can come. What a cluster that has just begun answers has only the servers that are there by
        then: yield `client.wait_for_servers(4)` first to have four. On a server that comes later it runs
        before any call (`per="node"`: on the first one of a node, and its others do not wait for that).
        func  any function that `submit` takes.
        """
        if not callable(func):
            raise TypeError(f"func must be a function, not {func!r:.200}")
        hints.refuse_options("run_everywhere", func, kwargs)
        if per not in ("server", "node"):
            raise ValueError(f"per must be 'server' or 'node', not {per!r:.200}")
        work = self._work
        if work is None or not work.open:
            raise TaskRejected(self._why_refused())
        return Everywhere(work, func, args, kwargs, per == "node", self._task_options)

    def object_at(
        self,
        where: Location | str | None,
        make: Callable[..., Any] | Exposure,
        /,
        *args: Any,
        **kwargs: Any,
    ) -> Operation:
        """Yield this: a RemoteObject of `make(*args, **kwargs)`, which lives in a server from then on.

        Its methods are called as `yield it.method(...)`, by this program and by every task that it
        is sent to, one at a time and in the order of each caller. It is an I/O task of that server;
        it ends by `it.close()`, when this client closes, and when nobody refers to it any more.
        `client.options(timeout=...)` is for each call.

        where  a server (its Location) or a node (its address); None: the least loaded node.
        make   a class, or a function that returns the object; `dispycos.expose(make, ...)` says
               which names of it may be used, and how many calls it does at once.
        Raises what `make` raises; TaskRejected if nobody takes it; ValueError with `retries`,
        since another server would begin with another object.
        """
        exposure = make if isinstance(make, Exposure) else expose(make)
        options = self._task_options
        if options.retries:
            raise ValueError("object_at() can't be retried: another server would begin with another object")
        work = self._work
        if work is None or not work.open:
            refused = Operation()
            refused.fail(TaskRejected(self._refusal()))
            return refused
        without = replace(options, timeout=0.0)

        def submit(host: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation:
            name = exposure.name
            return work.submissions.submit(host, args, kwargs, without, place=where, io=True, name=name)

        return place(submit, exposure, args, kwargs, options.timeout or None, work.why_gone)

    def executor(self, **unknown: Never) -> ClientExecutor:
        """A `concurrent.futures.Executor` on the servers of this client.

        Its futures are those of `submit`: `cancel` ends also a call that runs. RuntimeError if this
        client is not scheduled. Shutting it down leaves the client open.
        """
        hints.refuse(self.executor, unknown, habits.OF_EXECUTORS)
        work = self._work
        if work is None or not work.open:
            raise RuntimeError(self._why_refused())
        return ClientExecutor(self.submit, work)

    run = rtask
    run_at = rtask_at
    run_async = io_rtask
    run_async_at = io_rtask_at

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Client stays in its program: a task asks that by a message")

    def __dir__(self) -> Iterable[str]:
        return hints.own(super().__dir__(), habits.METHODS)

    def _refused(self) -> Operation:
        return Operation(refusal(self._refusal()))

    def _refusal(self) -> str:
        """Why a refusal is given for what was asked. It is logged, too, for nobody may look at that."""
        why = self._why_refused()
        self._tell_refused(why)
        return why

    def _tell_refused(self, why: str) -> None:
        if why != self._told_refused:
            self._told_refused = why
            log.warning("a call is refused: %s", why)

    def _why_refused(self) -> str:
        work, schedule = self._work, how_to_wait("client.schedule()")
        if work is None:
            return f"the client is not scheduled yet: {schedule} goes first"
        if work.state == ASKING:
            return f"the client is {ASKING}: {schedule} waits for it"
        return f"the client is {work.state}"


hints.tell(Submitter, habits.METHODS)


class _View(Submitter):
    """A client with other options. It has no state of its own."""

    def __init__(self, of: Submitter, options: TaskOptions) -> None:
        self._of = of
        self._task_options = options

    def _tell_refused(self, why: str) -> None:
        self._of._tell_refused(why)

    @property
    def _work(self) -> Work | None:  # type: ignore[override]  # the client's, at any time
        return self._of._work
