"""One client's time with a cluster: from `schedule()` to the end of its turn.

Finds the scheduler, makes the machines, submits tasks and gives out their handles, passes
statuses on, closes. A Client makes a new one only while no scheduler has taken it.

I/O half. Layer 5. Rows DC-15 to DC-23, DC-33 to DC-40, ST-01, ST-05, ST-09.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from dispycos.client import forked, orders
from dispycos.client.allocation import DispycosNodeAllocate, ask
from dispycos.client.dispatch import Dispatch
from dispycos.client.driver import Driver
from dispycos.client.files import NodeFiles
from dispycos.client.finding import find_scheduler
from dispycos.client.fleet import Fleet
from dispycos.client.future import Future, FutureTask
from dispycos.client.members import Node, Server
from dispycos.client.presence import Presence
from dispycos.client.relay import RelayTask
from dispycos.client.settings import Settings
from dispycos.client.shipping import Shipping, is_large, setup
from dispycos.client.submission import CancelAll, Closing, Ended, Placed, Submission
from dispycos.client.surroundings import Surroundings
from dispycos.client.switchboard import Switchboard
from dispycos.client.task_options import TaskOptions
from dispycos.client.tasks import ClientTask
from dispycos.client.watcher import Watcher
from dispycos.events import PeerSuspect
from dispycos.kernel.operation import Operation
from dispycos.kernel.refusal import refusal
from dispycos.kernel.task import Task
from dispycos.messages import Allocated, AskAllocate
from dispycos.model import (
    CLIENT_MADE,
    CodeHash,
    DispycosNodeAvailInfo,
    DispycosStatus,
    End,
    Incarnation,
    Location,
    Outcome,
    Payload,
    Status,
    TaskInfo,
)
from dispycos.net.reactor import Later
from dispycos.runtime import Network, runtime
from dispycos.wording import listed

log = logging.getLogger("dispycos")

# Ids of tasks are used once, ever (rule 5): one count for all clients of this process.
_numbers = itertools.count(CLIENT_MADE + 1)

# Seconds for a call that nobody waits for and that does not yield; sooner no server is ended for it.
WITHDRAWN_GRACE = 3600.0


class Work:
    """The turn of one Client, from its side."""

    def __init__(self, settings: Settings, surroundings: Surroundings, status_task: Task | None) -> None:
        self._settings = settings
        self._surroundings = surroundings
        self.state = "asking for its turn"  # for refusals: "the client is ..."
        self.refused = False  # no scheduler took it: the Client may try again
        self.scheduled = False
        self.open = False  # takes tasks
        self._reservation = 0
        self._status_task = status_task
        self.watchers: tuple[Watcher, ...] = ()  # replaced as a whole, by any thread
        self._allocations: list[DispycosNodeAllocate] = list(settings.nodes)
        self._closing: Operation | None = None
        self._search: asyncio.Task[Any] | None = None  # looks for the scheduler; reactor thread
        self._asked = False  # a scheduler was asked for a turn; reactor thread
        self._note: Later | None = None  # says what a close waits for
        self._terminate = False
        # Servers that tasks were placed on; as many as were ever granted.
        self._places: dict[Incarnation, tuple[Incarnation, Location | None]] = {}
        network = runtime.network()
        self._network: Network = network
        self._deaths = network.limits.max_worker_deaths
        # What can't be pickled is said here, where the program asked for it.
        self._shipping = Shipping(settings.components, network.limits)
        node_setup = None if settings.disable_nodes else setup(settings.node_setup)
        server_setup = None if settings.disable_servers else setup(settings.server_setup)
        endpoint = network.endpoint
        fleet = Fleet(
            endpoint.incarnation,
            network.limits,
            name=endpoint.name,
            pid=os.getpid(),
            location=endpoint.location,
            code=self._shipping.components,
            node_setup=node_setup,
            server_setup=server_setup,
            files=bool(settings.components.files),
            rules=[allocation.rule() for allocation in self._allocations],
            pulse_interval=settings.pulse_interval,
            silence=settings.zombie_period,
            disable_nodes=settings.disable_nodes,
            disable_servers=settings.disable_servers,
            restart_servers=settings.restart_servers,
            abandon_zombies=settings.abandon_zombies,
        )
        limits = network.limits if settings.send_ahead else replace(network.limits, max_credits=1)
        dispatch = Dispatch(limits, self._describe)
        self.driver = Driver(network.kernel, endpoint, fleet, dispatch, self)
        self.presence = Presence(network.kernel.post, self._present)
        self._switchboard = network.service(Switchboard, lambda: Switchboard(endpoint))
        self._files = NodeFiles(network, settings.components.files)
        forked.stays_here(self)

    @property
    def network(self) -> Network:
        """The network that it uses."""
        return self._network

    @property
    def monitor(self) -> str:
        """Where its web monitor listens; "": it has none."""
        return next((watcher.address for watcher in self.watchers if watcher.address), "")

    @property
    def settings(self) -> Settings:
        """What its Client was made with."""
        return self._settings

    def _describe(self, server: Incarnation) -> str:
        place = self._places.get(server)
        return f"server {place[1]}" if place is not None else f"server {server[:4].hex()}"

    # The turn.

    def schedule(self, where: Location | str | None, timeout: float | None) -> Operation:
        """See `Client.schedule`."""
        answer = Operation()
        asked = self._network.reactor.run(self._ask_for_turn(where, timeout))

        def answered(done: Operation) -> None:
            error = done.exception()
            if isinstance(error, asyncio.CancelledError):
                answer.complete(self._not_scheduled("its network ended"))
                return
            if error is not None:
                log.error("schedule() failed: %s", error)
                self._not_scheduled(str(error) or type(error).__name__)
                answer.fail(error)
                return
            answer.complete(done.result())

        asked.add_done_callback(answered)
        return answer

    async def _ask_for_turn(self, where: Location | str | None, timeout: float | None) -> int:
        if not self._network.endpoint.keyring.holds_cluster_key:
            text = (
                "a client can't be scheduled in a server's process, which does not hold the cluster's key: "
                "make it in a program, and have the task ask that program by messages"
            )
            log.warning(text)
            return self._not_scheduled(text)
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        if self.state == "closing":
            return self._closed_unasked()
        self._search = asyncio.current_task()
        try:
            async with asyncio.timeout_at(deadline):
                found = await find_scheduler(self._network, where, private=self._surroundings.private)
        except TimeoutError:
            text = f"no scheduler was reached at {where} in {timeout:g} s"
            log.warning(text)
            return self._not_scheduled(text)
        except asyncio.CancelledError:
            if self.state != "closing":
                raise  # the network ends
            return self._closed_unasked()
        self._asked = True
        self._network.on_close(self._program_ends, first=True)
        self._switchboard.add(self.driver, self._allocate)
        for peer in self._network.endpoint.peers():
            self.driver.feed(peer.event())
            if peer.state != "responsive":
                self.driver.feed(PeerSuspect(peer.incarnation))
        ticket = 0

        def begin(number: int) -> orders.BeginSchedule:
            nonlocal ticket
            ticket = number
            return orders.BeginSchedule(number, found.scheduler, found.location, found.announced)

        _, asked = self.driver.order(begin)
        if deadline is not None:
            timer = loop.call_at(deadline, lambda: self.driver.feed(orders.GiveUpSchedule(ticket)))
            asked.add_done_callback(lambda _: loop.call_soon_threadsafe(timer.cancel))
        code = int(await asked)
        return self._not_scheduled(self.driver.fleet.turn.refused) if code else code

    def _not_scheduled(self, why: str) -> int:
        self._stop(f"not scheduled: {why}")
        self.refused = True
        if self._closing is not None and not self._asked:
            self._closing.complete(0)
        return -1

    def _closed_unasked(self) -> int:
        """Closed before any scheduler was asked: there is no turn to end."""
        self._stop("closed")
        if self._closing is not None:
            self._closing.complete(0)
        return -1

    def turn_begun(self, reservation: int) -> None:
        """It is our turn: from now on its servers are reached with the reservation's key."""
        self._reservation = reservation
        self._network.endpoint.keyring.open_reservation(reservation)
        self.scheduled = self.open = True
        self.state = "scheduled"

    def _stop(self, state: str) -> None:
        self.state = state
        self.open = self.scheduled = False
        if self._note is not None:
            self._note.cancel()
        self.presence.stop()
        self._network.reactor.call(self._disconnect)

    async def _program_ends(self) -> None:
        """The program ends, or its cluster does, and the client was not closed: its tasks end now (R-20)."""
        if self.state != "closed":
            await self.close(False, True, None)

    def forsake(self, why: str) -> None:
        """In a forked child: it is its parent's."""
        self.state = why
        self.open = self.scheduled = False
        self._closing = Operation(0)  # nothing of it is here
        self.driver.forsake(why)

    def _disconnect(self) -> None:
        self._network.drop_close(self._program_ends)
        self._switchboard.remove(self.driver)
        self.driver.stop()
        if self._reservation:
            self._network.endpoint.keyring.close_reservation(self._reservation)

    # Tasks.

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
        driver, shipping = self.driver, self._shipping
        known = shipping.name(gen)
        name = name or known
        function = shipping.function(gen, self._define)
        payload = shipping.arguments(name, args, kwargs)
        where = None
        if place is not None:
            where = self._place(place)
            if where is None:
                return Operation(refusal(f"no server or node at {place} is in use"))
        handle = ClientTask.wanted(driver, next(_numbers), name, self._reservation)
        handle._info = None if self._status_task is None else (args, kwargs)
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
        for watcher in self.watchers:
            watcher.submitted(task, *given)
        return self.driver.submit(task, is_large(payload), awaited)

    def definition(self, function: Callable[..., Any]) -> CodeHash:
        """What calls name a function of any kind by, made known to the servers; any thread.

        NotSerializable or MessageTooLarge if it can't travel.
        """
        return self._shipping.function(function, self._define)

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
        handle = FutureTask.wanted(self.driver, next(_numbers), name, self._reservation)
        handle._info = None if self._status_task is None else info
        future = Future(handle)
        self._enter(handle, function, payload, info, options, where, False, False)
        return future

    def define(self, function: CodeHash, code: Payload) -> None:
        """Make what another program defined known under its hash; any thread. Nothing if it is."""
        self._define(function, code)

    def forget(self, functions: Sequence[CodeHash]) -> None:
        """Take `define` back, but for what living tasks name; any thread."""
        self.driver.forget(functions)

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
        handle = RelayTask.wanted(self.driver, next(_numbers), name, self._reservation)
        handle._info = None
        handle.ended = ended
        self._enter(handle, function, payload, ((), {}), options, None, False, False)
        return handle

    def withdraw(self, futures: Sequence[Future]) -> None:
        """Nobody wants these any more; any thread, also in a finalizer.

        What did not begin never begins; what runs is interrupted at its next `yield`, and is not
        ended by force before WITHDRAWN_GRACE.
        """
        # Not here and now: a finalizer may run while this thread has the driver's lock.
        self._network.kernel.post(self._withdraw, futures)

    def _withdraw(self, futures: Sequence[Future]) -> None:
        for future in futures:
            if future.task is not None and not future.done():
                reason = "its result is not wanted any more"
                self.driver.cancel(future.task.number, reason, End.CANCELLED, WITHDRAWN_GRACE)

    @property
    def servers(self) -> int:
        """How many may be given tasks; any thread."""
        return len(self.driver.dispatch.placement.servers)

    def load(self) -> tuple[int, int]:
        """Tasks that servers have, and tasks that wait for one; any thread."""
        tasks = list(self.driver.dispatch.tasks.values())
        at = sum(task.server is not None for task in tasks)
        return at, len(tasks) - at

    def _define(self, function: Any, code: Any) -> None:
        if not self.driver.defined(function):
            self.driver.define(function, code)

    def _place(self, where: Location | str) -> Incarnation | None:
        """The server or node that a program means; None if it is unknown."""
        server = self._server_at(where)
        if server is not None:
            return server.incarnation
        nodes = self._nodes_at(where)
        if not nodes:
            return None
        # Several nodes may share an address: the one with the fewest tasks of ours takes it.
        load = self.driver.dispatch.placement.nodes
        best = min(nodes, key=lambda node: load[node.incarnation].load if node.incarnation in load else 0)
        self.driver.expect(best.incarnation)
        return best.incarnation

    def _server_at(self, where: Location | str) -> Server | None:
        return self.driver.fleet.find_server(where) if isinstance(where, Location) else None

    def _nodes_at(self, where: Location | str) -> list[Node]:
        """The nodes that a program means; a name is looked up if it is none of ours."""
        fleet = self.driver.fleet
        nodes = fleet.find_nodes(where)
        if not nodes and isinstance(where, str):
            try:
                nodes = fleet.find_nodes(Location(where, 0).addr)
            except ValueError:
                return []
        return nodes

    def tasks(self, where: Location | str | None) -> list[ClientTask]:
        """Those that are on a server, at one place or everywhere; any thread."""
        found = None
        if where is not None:
            server = self._server_at(where)
            if server is not None:
                found = {server.incarnation}
            else:
                found = {key for node in self._nodes_at(where) for key in node.servers}
        # Read once: the driver's thread may take a task away from its server at any moment.
        placed = [(task, task.server) for task in list(self.driver.dispatch.tasks.values())]
        return [
            task.owner
            for task, server in placed
            if server is not None and (found is None or server.incarnation in found)
        ]

    # As the driver's listener, on the kernel's thread.

    def placed(self, action: Placed) -> None:
        handle: ClientTask = action.task.owner
        server = action.server
        handle.place(self._places.get(server) or (server, None))
        info = handle._info
        if info is not None:
            handle._info = None
            now = time.time()
            self._tell(DispycosStatus(Status.TaskCreated, TaskInfo(handle, info[0], info[1], now)))
        for watcher in self.watchers:
            watcher.placed(action)
        if handle._request is not None:
            handle.answer()

    def settled(self, task: Submission) -> None:
        server = task.server
        if server is not None:
            # The news of its place may still be under way to the kernel.
            key = server.incarnation
            task.owner.place(self._places.get(key) or (key, None))

    def ended(self, action: Ended) -> None:
        handle: ClientTask = action.task.owner
        told = handle._info is None  # that it was created
        for watcher in self.watchers:
            watcher.ended(action)
        handle.conclude(action.outcome, action.poisoned)
        if told and self._status_task is not None:
            self._tell(handle._status())

    def news(self, action: Any) -> None:
        for watcher in self.watchers:
            watcher.news(action)
        kind = type(action)
        if kind is orders.Notify:
            self._tell(action.message)
        elif kind is orders.PleaseClose:
            log.warning("this client is asked to close: %s", action.reason)
            self.close(False, action.terminate, None)
        else:
            assert kind is orders.TurnEnded, f"nobody carries out {action!r}"
            self._turn_ended(action.reason)

    def _tell(self, message: DispycosStatus | DispycosNodeAvailInfo | Any) -> None:
        task = self._status_task
        if task is None:
            return
        try:
            gone = task.send(message) != 0
        except Exception as error:
            # A task of another process, and a result that can't be sent on (ST-09).
            log.warning("status_task %s does not get %s: %s", task, type(message).__name__, error)
            return
        if gone:
            log.info("status_task %s has ended: it gets no more messages", task)
            self._status_task = None

    def all_done(self) -> None:
        self._end_turn()

    def send_files(self, node: Incarnation) -> None:
        self._files.send(node, self.driver.feed)

    def server_usable(self, server: Incarnation, usable: bool) -> None:
        if usable:
            record = self.driver.fleet.crew.servers.get(server)
            if record is not None:
                self._places[server] = (server, record.location)
                self.presence.came(record)
            self._switchboard.connect(server, self.driver)
        else:
            self.presence.gone(server)

    def _present(self) -> list[Server]:
        crew = self.driver.fleet.crew.servers
        return [crew[server] for server in list(self.driver.dispatch.placement.servers) if server in crew]

    # Rules.

    def add_rule(self, allocation: DispycosNodeAllocate) -> None:
        """See `Client.node_allocate`."""
        self._allocations.append(allocation)
        self.driver.feed(orders.AddOneRule(allocation.rule()))

    def _allocate(self, peer: Incarnation, message: AskAllocate) -> bool:
        if peer != self.driver.fleet.turn.scheduler or not 0 <= message.rule < len(self._allocations):
            return False
        self._network.kernel.post(self._answer_allocate, peer, message)
        return True

    def _answer_allocate(self, peer: Incarnation, message: AskAllocate) -> None:
        servers = ask(self._allocations[message.rule], message.facts)
        self._network.endpoint.say(peer, Allocated(message.question, servers))

    # The end.

    def close(self, await_io: bool, terminate: bool, timeout: float | None) -> Operation:
        """See `Client.close`; any thread."""
        if self._closing is not None:
            if terminate and not self._terminate:
                self._end_all("the client closes with terminate=True")
            return self._closing
        self._closing = Operation()
        if self.state == "closed" or self.refused:
            self._closing.complete(0)
            return self._closing
        was_scheduled, self.open, self.state = self.scheduled, False, "closing"
        if not was_scheduled:
            # There, a turn was asked for or it was not.
            self._network.reactor.call(self._end_early)
            return self._closing
        self.driver.tell_dispatch(Closing("its program closed it", await_io))
        if terminate:
            self._end_all("the client closes with terminate=True")
        elif timeout is not None:
            self._network.reactor.call(self._end_all_later, timeout)
        self._note_later(self._network.limits.visible_wait)
        return self._closing

    def _note_later(self, seconds: float) -> None:
        self._note = self._network.reactor.later(seconds, self._say_what_waits)

    def _say_what_waits(self) -> None:
        """A close that takes long says why (R-33)."""
        if self.state != "closing":
            return
        living = [str(task) for task in self.tasks(None)]
        if living and not self._terminate:
            log.warning("client.close() waits for %s; close(terminate=True) ends them", listed(living))
        self._note_later(self._network.limits.visible_wait_again)

    def _end_all_later(self, timeout: float) -> None:
        text = f"the client closes, and its tasks did not end within timeout={timeout:g} s"
        self._network.reactor.loop.call_later(timeout, self._end_all, text)

    def _end_all(self, reason: str) -> None:
        self._terminate = True
        if self.state == "closing":
            self.driver.tell_dispatch(CancelAll(reason, self._network.limits.grace))

    def _end_early(self) -> None:
        if self._asked:
            self._end_turn()
        elif self._search is not None:
            self._search.cancel()

    def _end_turn(self) -> None:
        _, ended = self.driver.order(lambda ticket: orders.CloseAll(ticket, self._terminate))
        ended.add_done_callback(lambda done: self._ended(done.result()))

    def _ended(self, code: int) -> None:
        self._code = code

    _code = 0

    def _turn_ended(self, reason: str) -> None:
        self._stop("closed")
        if self._closing is None:
            self._closing = Operation()
        self._closing.complete(self._code)
