"""One client's time with a cluster: from `schedule()` to the end of its turn.

Finds the scheduler, makes the machines, passes on what becomes of its `calls`, closes. A Client
makes a new one only while no scheduler has taken it.

I/O half. Layer 5. Rows DC-15 to DC-23, DC-33 to DC-40, ST-01, ST-05, ST-09.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import replace
from typing import Any

from dispycos.client import forked, orders
from dispycos.client.allocation import DispycosNodeAllocate, ask
from dispycos.client.dispatch import Dispatch
from dispycos.client.driver import Driver
from dispycos.client.files import NodeFiles
from dispycos.client.finding import find_scheduler
from dispycos.client.fleet import Fleet
from dispycos.client.locations import Locations
from dispycos.client.members import Server
from dispycos.client.observers import Observers
from dispycos.client.presence import Presence
from dispycos.client.settings import Settings
from dispycos.client.shipping import Shipping, setup
from dispycos.client.submission import CancelAll, CloseNow, Closing, Ended, Placed, Submission
from dispycos.client.submissions import Submissions
from dispycos.client.surroundings import Surroundings
from dispycos.client.switchboard import Switchboard
from dispycos.client.tasks import ClientTask
from dispycos.events import PeerSuspect
from dispycos.kernel.operation import Called, Operation
from dispycos.kernel.task import Task
from dispycos.messages import Allocated, AskAllocate
from dispycos.model import (
    DispycosStatus,
    Incarnation,
    Location,
    Status,
    TaskInfo,
)
from dispycos.net.reactor import Later
from dispycos.runtime import Network, runtime
from dispycos.wording import listed

log = logging.getLogger("dispycos")

# Seconds until a close with terminate=True says which tasks it waits for: they were to end at once.
TERMINATED_WAIT = 2.0

ASKING = "asking for its turn"  # its state until a scheduler has answered; for refusals


class Work:
    """The turn of one Client, from its side."""

    def __init__(self, settings: Settings, surroundings: Surroundings, status_task: Task | None) -> None:
        self._settings = settings
        self._surroundings = surroundings
        self.state = ASKING  # for refusals: "the client is ..."
        self.refused = False  # no scheduler took it: the Client may try again
        self.scheduled = False
        self.open = False  # takes tasks
        self.observers = Observers(status_task)
        self._allocations: list[DispycosNodeAllocate] = list(settings.nodes)
        self._closing: Operation | None = None
        self._search: asyncio.Task[Any] | None = None  # looks for the scheduler; reactor thread
        self._asked = False  # a scheduler was asked for a turn; reactor thread
        self._note: Later | None = None  # says what a close waits for
        self._terminate = False
        network = runtime.network()
        self._network: Network = network
        # What can't be pickled is said here, where the program asked for it.
        shipping = Shipping(settings.components, network.limits)
        node_setup = None if settings.disable_nodes else setup(settings.node_setup)
        server_setup = None if settings.disable_servers else setup(settings.server_setup)
        endpoint = network.endpoint
        fleet = Fleet(
            endpoint.incarnation,
            network.limits,
            name=endpoint.name,
            pid=os.getpid(),
            location=endpoint.location,
            code=shipping.components,
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
        self._locations = Locations(fleet)
        dispatch = Dispatch(limits, self._locations.name)
        self.driver = Driver(network.kernel, endpoint, fleet, dispatch, self)
        self.submissions = Submissions(network, self.driver, shipping, self._locations, self.observers)
        self.presence = Presence(network.kernel.post, self._present)
        self._switchboard = network.service(Switchboard, lambda: Switchboard(endpoint))
        self._files = NodeFiles(network, settings.components.files)
        forked.stays_here(self)

    @property
    def network(self) -> Network:
        """The network that it uses."""
        return self._network

    def why_gone(self) -> str:
        """Why nothing of it is reached from here any more, as "the client is ..."; "": it is. Any thread."""
        return "" if self.scheduled else self.state

    @property
    def monitor(self) -> str:
        """Where its web monitor listens; "": it has none."""
        return next((watcher.address for watcher in self.observers.watchers if watcher.address), "")

    @property
    def settings(self) -> Settings:
        """What its Client was made with."""
        return self._settings

    # The turn.

    def schedule(self, where: Location | str | None, timeout: float | None) -> Operation:
        """See `Client.schedule`."""
        answer = Called("client.schedule()", self._why)
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
        endpoint = self._network.endpoint
        ours = found.scheduler == endpoint.incarnation
        name = self._switchboard.add(self.driver, self._allocate, endpoint.name, ours=ours)
        for peer in self._network.endpoint.peers():
            self.driver.feed(peer.event())
            if peer.state != "responsive":
                self.driver.feed(PeerSuspect(peer.incarnation))
        ticket = 0

        def begin(number: int) -> orders.BeginSchedule:
            nonlocal ticket
            ticket = number
            return orders.BeginSchedule(number, found.scheduler, found.location, found.announced, name)

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
        self.submissions.reservation = reservation
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

    def _why(self) -> str:
        return self.driver.why()

    def disown(self, why: str) -> None:
        """In a forked child: it is its parent's."""
        self.state = why
        self.open = self.scheduled = False
        self._closing = Operation(0)  # nothing of it is here
        self.driver.disown(why)

    def _disconnect(self) -> None:
        self._network.drop_close(self._program_ends)
        self._switchboard.remove(self.driver)
        self.driver.stop()
        if self.submissions.reservation:
            self._network.endpoint.keyring.close_reservation(self.submissions.reservation)

    # Tasks.

    @property
    def servers(self) -> int:
        """How many may be given tasks; any thread."""
        return len(self.driver.dispatch.placement.servers)

    def load(self) -> tuple[int, int]:
        """Tasks that servers have, and tasks that wait for one; any thread."""
        tasks = list(self.driver.dispatch.tasks.values())
        at = sum(task.server is not None for task in tasks)
        return at, len(tasks) - at

    def tasks(self, where: Location | str | None) -> list[ClientTask]:
        """Those that are on a server, at one place or everywhere; any thread."""
        found = None if where is None else self._locations.servers_at(where)
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
        handle.place(self._locations.places.get(server) or (server, None))
        info = handle._info
        if info is not None:
            handle._info = None
            now = time.time()
            self.observers.tell(DispycosStatus(Status.TaskCreated, TaskInfo(handle, info[0], info[1], now)))
        for watcher in self.observers.watchers:
            watcher.placed(action)
        if handle._request is not None:
            handle.answer()

    def settled(self, task: Submission) -> None:
        server = task.server
        if server is not None:
            # The news of its place may still be under way to the kernel.
            key = server.incarnation
            task.owner.place(self._locations.places.get(key) or (key, None))

    def ended(self, action: Ended) -> None:
        handle: ClientTask = action.task.owner
        told = handle._info is None  # that it was created
        for watcher in self.observers.watchers:
            watcher.ended(action)
        handle.conclude(action.outcome, action.poisoned)
        if told and self.observers.status_task is not None:
            self.observers.tell(handle._status())

    def news(self, action: Any) -> None:
        for watcher in self.observers.watchers:
            watcher.news(action)
        kind = type(action)
        if kind is orders.Notify:
            self.observers.tell(action.message)
        elif kind is orders.PleaseClose:
            log.warning("this client is asked to close: %s", action.reason)
            self.close(False, action.terminate, None)
        else:
            assert kind is orders.TurnEnded, f"nobody carries out {action!r}"
            self._turn_ended(action.reason)

    def all_done(self) -> None:
        self._end_turn()

    def send_files(self, node: Incarnation) -> None:
        self._files.send(node, self.driver.feed)

    def server_usable(self, server: Incarnation) -> list[Submission]:
        self._switchboard.connect(server, self.driver)
        record = self.driver.fleet.crew.servers.get(server)
        if record is None:
            return []
        self._locations.note(record)
        return self.presence.came(record)

    def server_gone(self, server: Incarnation) -> None:
        self.presence.gone(server)

    def no_servers(self, reason: str, lasting: bool) -> None:
        self.presence.no_servers(reason, lasting)

    def _present(self) -> list[Server]:
        crew = self.driver.fleet.crew.servers
        return [crew[server] for server in list(self.driver.dispatch.placement.servers) if server in crew]

    def tell_monitor(self) -> None:
        """Where its monitor listens has changed; any thread."""
        if self.scheduled:
            self.driver.tell_counts()

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
        self._closing = Called("client.close()", self._why)
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
        if not terminate:
            self._note_later(self._network.limits.visible_wait)
        return self._closing

    def abandon(self) -> None:
        """Nobody waits for its close any more, the end of the program neither; it goes on by itself."""
        self._network.drop_close(self._program_ends)
        self.driver.tell_dispatch(CloseNow("its program was interrupted while it closed"))
        self._end_turn()

    def _note_later(self, seconds: float) -> None:
        if self._note is not None:
            self._note.cancel()
        self._note = self._network.reactor.later(seconds, self._say_what_waits)

    def _say_what_waits(self) -> None:
        """A close that takes long says why (R-33)."""
        if self.state != "closing":
            return
        living = [str(task) for task in self.tasks(None)]
        if living and self._terminate:
            log.warning(
                "client.close() has interrupted %s, and waits for the end of that; "
                "after %g s their servers are ended with them",
                listed(living),
                self._network.limits.grace,
            )
        elif living:
            log.warning("client.close() waits for %s; close(terminate=True) ends them", listed(living))
        self._note_later(self._network.limits.visible_wait_again)

    def _end_all_later(self, timeout: float) -> None:
        text = f"the client closes, and its tasks did not end within timeout={timeout:g} s"
        self._network.reactor.loop.call_later(timeout, self._end_all, text)

    def _end_all(self, reason: str) -> None:
        self._terminate = True
        if self.state == "closing":
            self.driver.tell_dispatch(CancelAll(reason, self._network.limits.grace))
            self._note_later(TERMINATED_WAIT)

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
