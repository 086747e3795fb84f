"""What a client has called on its servers: from a program's functions and arguments to submissions.

Any thread. I/O half. Layer 5. Rows DC-15 to DC-23, ST-05.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from dispycos.client.driver import Driver
from dispycos.client.future import Future, FutureTask
from dispycos.client.locations import Locations
from dispycos.client.observers import Observers
from dispycos.client.relay import RelayTask
from dispycos.client.shipping import Shipping, is_large
from dispycos.client.submission import Submission
from dispycos.client.task_options import TaskOptions
from dispycos.client.tasks import ClientTask
from dispycos.kernel import unwaited
from dispycos.kernel.operation import Operation
from dispycos.kernel.refusal import refusal
from dispycos.model import CLIENT_MADE, CodeHash, End, Incarnation, Location, Outcome, Payload
from dispycos.runtime import Network

# Ids of tasks are used once, ever (rule 5): one count for all clients of this process.
_numbers = itertools.count(CLIENT_MADE + 1)

# Seconds for a call that nobody waits for and that does not yield; sooner no server is ended for it.
WITHDRAWN_GRACE = 3600.0


class Submissions:
    """Those of one client's turn.

    reservation  of that turn; 0 before it began, when there are none.
    """

    def __init__(
        self,
        network: Network,
        driver: Driver,
        shipping: Shipping,
        locations: Locations,
        observers: Observers,
    ) -> None:
        self.reservation = 0
        self._kernel = network.kernel
        self._deaths = network.limits.max_worker_deaths
        self._driver = driver
        self._shipping = shipping
        self._locations = locations
        self._observers = observers

    def submit(
        self,
        gen: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: TaskOptions,
        place: Location | str | None = None,
        io: bool = False,
        name: str | None = None,
    ) -> Operation:
        """See `Submitter.rtask`; any thread.

        name  None: the function's.
        """
        driver, shipping = self._driver, self._shipping
        known = shipping.name(gen)
        name = name or known
        function = shipping.function(gen, self.define)
        payload = shipping.arguments(name, args, kwargs)
        where = None
        if place is not None:
            where = self._place(place)
            if where is None:
                return Operation(refusal(f"no server or node at {place} is in use"))
        handle = ClientTask.wanted(driver, next(_numbers), name, self.reservation)
        handle._info = None if self._observers.status_task is None else (args, kwargs)
        return self._enter(handle, function, payload, (args, kwargs), options, where, io, True)

    def _enter(
        self,
        handle: ClientTask,
        function: CodeHash,
        payload: Payload,
        given: tuple[tuple[Any, ...], dict[str, Any]],
        options: TaskOptions,
        where: Incarnation | None,
        io: bool,
        awaited: bool,
    ) -> Operation:
        task = self._made(handle, function, payload, options, where, io)
        self._tell(task, given)
        return self._driver.submit(task, is_large(payload), awaited)

    def _tell(self, task: Submission, given: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        for watcher in self._observers.watchers:
            watcher.submitted(task, *given)

    def _made(
        self,
        handle: ClientTask,
        function: CodeHash,
        payload: Payload,
        options: TaskOptions,
        where: Incarnation | None,
        io: bool,
    ) -> Submission:
        task = handle._submission = Submission(
            handle.number,
            function,
            payload,
            io,
            where,
            options.priority,
            options.retries,
            options.timeout,
            options.max_worker_deaths or self._deaths,
            False,
            True,
            handle._name,
            handle,
        )
        return task

    def definition(self, function: Callable[..., Any]) -> CodeHash:
        """What calls name a function of any kind by, made known to the servers; any thread.

        NotSerializable or MessageTooLarge if it can't travel.
        """
        unwaited.warn(function)
        return self._shipping.function(function, self.define)

    def pickled(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Payload:
        """The arguments of a call; what pickling them raises, or MessageTooLarge."""
        return self._shipping.arguments(name, args, kwargs)

    def call(
        self,
        function: CodeHash,
        name: str,
        payload: Payload,
        info: tuple[tuple[Any, ...], dict[str, Any]],
        options: TaskOptions,
        where: Incarnation | None = None,
    ) -> Future:
        """Have a definition called on a server that is free, or at a server or node; any thread.

        info  the arguments that are pickled in `payload`, for who watches statuses.
        """
        future, handle = self._future(name, info)
        self._enter(handle, function, payload, info, options, where, False, False)
        return future

    def first_call(
        self,
        function: CodeHash,
        name: str,
        payload: Payload,
        info: tuple[tuple[Any, ...], dict[str, Any]],
        options: TaskOptions,
        where: Incarnation,
    ) -> tuple[Future, Submission]:
        """As `call`, for `ServerUsable.first`; any thread, which waits for nothing."""
        future, handle = self._future(name, info)
        task = self._made(handle, function, payload, options, where, False)
        # Those who watch may ask the driver, whose lock our caller has. It is ahead of the task's news.
        self._kernel.post(self._tell, task, info)
        return future, task

    def _future(self, name: str, info: tuple[tuple[Any, ...], dict[str, Any]]) -> tuple[Future, FutureTask]:
        handle = FutureTask.wanted(self._driver, next(_numbers), name, self.reservation)
        handle._info = None if self._observers.status_task is None else info
        return Future(handle), handle

    def define(self, function: CodeHash, code: Payload) -> None:
        """Make what another program defined known under its hash; any thread. Nothing if it is."""
        if not self._driver.defined(function):
            self._driver.define(function, code)

    def forget(self, functions: Sequence[CodeHash]) -> None:
        """Take `define` back, but for what living tasks name; any thread."""
        self._driver.forget(functions)

    def relay(
        self,
        function: CodeHash,
        name: str,
        payload: Payload,
        options: TaskOptions,
        ended: Callable[[RelayTask, Outcome], object],
    ) -> RelayTask:
        """Have a definition called for another program; any thread.

        payload  pickled (args, kwargs), which nobody here looks into.
        ended    called once with its outcome as it came; kernel thread.
        """
        handle = RelayTask.wanted(self._driver, next(_numbers), name, self.reservation)
        handle._info = None
        handle.ended = ended
        self._enter(handle, function, payload, ((), {}), options, None, False, False)
        return handle

    def withdraw(self, futures: Sequence[Future], break_off: bool = False) -> None:
        """Nobody wants these any more; any thread, also in a finalizer.

        What did not begin never begins; what runs is interrupted at its next `yield`, and is not
        ended by force before WITHDRAWN_GRACE.
        break_off  it is interrupted where it is, and has the usual grace.
        """
        # Not here and now: a finalizer may run while this thread has the driver's lock.
        self._kernel.post(self._withdraw, futures, None if break_off else WITHDRAWN_GRACE)

    def _withdraw(self, futures: Sequence[Future], grace: float | None) -> None:
        for future in futures:
            if future.task is not None and not future.done():
                reason = "its result is not wanted any more"
                self._driver.cancel(future.task.number, reason, End.CANCELLED, grace)

    def _place(self, where: Location | str) -> Incarnation | None:
        """The server or node that a program means; None if it is unknown."""
        server = self._locations.server_at(where)
        if server is not None:
            return server.incarnation
        nodes = self._locations.nodes_at(where)
        if not nodes:
            return None
        # Several nodes may share an address: the one with the fewest tasks of ours takes it.
        load = self._driver.dispatch.placement.nodes
        best = min(nodes, key=lambda node: load[node.incarnation].load if node.incarnation in load else 0)
        self._driver.expect(best.incarnation)
        return best.incarnation
