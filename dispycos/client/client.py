"""Client: what a program uses to run tasks on a cluster.

The surface over one `Driver`; every promise to users is kept in the machines below it. Calls
return Operations: yield them in a task, await them in asyncio, or ask `.result()` in a plain
thread (DC-60). Requests before `schedule()` or after `close()` are refused, not raised.

I/O half. Layer 5. Rows DC-01 to DC-40, DC-60.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Never, Self

from dispycos.arguments import integer, seconds_or_none
from dispycos.card import card, line
from dispycos.client import orders, surroundings
from dispycos.client.allocation import DispycosNodeAllocate, checked
from dispycos.client.settings import Settings, settings
from dispycos.client.shipping import setup
from dispycos.client.submitter import Submitter
from dispycos.client.surroundings import Surroundings
from dispycos.client.watcher import Watcher
from dispycos.client.work import Work
from dispycos.configuration.settings import of_client
from dispycos.errors import Closed, LocalProtocolError
from dispycos.guidance import habits, hints
from dispycos.kernel import event_loop, program
from dispycos.kernel.operation import Operation
from dispycos.kernel.task import Task
from dispycos.kernel.wait import Known
from dispycos.model import Location
from dispycos.wording import listed

log = logging.getLogger("dispycos")


class Client(Submitter):
    """Run tasks on the nodes of a cluster.

    components       functions, classes, instances (their class), modules and paths of files that
                     the tasks use; sent once per node. What is not among them travels at its
                     first use.
    pulse_interval   seconds between signs of life; from MinPulseInterval (5 times that by
                     default) to MaxPulseInterval. In a LocalCluster: the cluster's.
    nodes            names, addresses, patterns or DispycosNodeAllocate; empty: any node found.
    status_task      gets DispycosStatus, DispycosNodeAvailInfo and MonitorStatus messages.
    node_setup       runs once per node before its servers exist; result 0: the node is used.
    server_setup     runs in every server before its first task; result 0: the server is used.
    disable_nodes    a node waits for `enable_node`; disable_servers likewise.
    restart_servers  a server that closes comes back as a new process.
    abandon_zombie_nodes  True: a silent node is given up with its tasks; False: it may come back.
    ping_interval    seconds between searches for nodes; None: once.
    zombie_period    seconds of silence until a node counts as silent; at least 5 pulses; 0: never.

    `with Client() as client:` (in asyncio `async with`) schedules it and closes it, with all that still
    runs if the block is left by an exception; Ctrl-C while it closes after a Ctrl-C leaves at once.
    RuntimeError says why it can't be scheduled.
    TypeError and ValueError name the argument.
    """

    def __init__(
        self,
        components: Sequence[Any] = (),
        pulse_interval: float | None = None,
        nodes: Iterable[str | DispycosNodeAllocate] = (),
        status_task: Task | None = None,
        node_setup: Callable[..., Any] | None = None,
        server_setup: Callable[..., Any] | None = None,
        disable_nodes: bool = False,
        disable_servers: bool = False,
        restart_servers: bool = False,
        abandon_zombie_nodes: bool = False,
        *,
        ping_interval: float | None = None,
        zombie_period: float | None = None,
        **unknown: Never,
    ) -> None:
        hints.refuse(type(self), unknown, habits.ARGUMENTS)
        self._surroundings = Surroundings.now()
        self._settings: Settings = settings(
            components=components,
            pulse_interval=pulse_interval,
            nodes=nodes,
            node_setup=node_setup,
            server_setup=server_setup,
            disable_nodes=disable_nodes,
            disable_servers=disable_servers,
            restart_servers=restart_servers,
            abandon_zombie_nodes=abandon_zombie_nodes,
            ping_interval=ping_interval,
            zombie_period=zombie_period,
            shortest_pulse=self._surroundings.pulse_interval,
            # A LocalCluster is what the program says.
            configured=None if self._surroundings.private else of_client(),
        )
        self._status_task: Task | None = None
        self.status_task = status_task
        self._work: Work | None = None
        self._watchers: tuple[Watcher, ...] = ()

    # As a context: `with` in a plain thread or a notebook, `async with` in asyncio and in tasks.

    def __enter__(self) -> Self:
        if event_loop.is_held_up():
            raise RuntimeError(
                "a `with` here would block the running event loop: use `async with` for a Client"
            )
        scheduling = self.schedule()
        try:
            code = scheduling.result()
        except BaseException:
            self.close(terminate=True)  # its turn might come when nobody waits for it any more
            raise
        return self._entered(code)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if type(error) is KeyboardInterrupt:
            program.say_interrupted("the tasks of this client", error)
        closing = self.close(terminate=kind is not None)
        try:
            closing.result()
        except KeyboardInterrupt:
            # The first one ends what runs, which has its grace for that; nothing waits after the second.
            self.close(terminate=True)
            if type(error) is KeyboardInterrupt and self._work is not None:
                self._work.abandon()
            raise

    async def __aenter__(self) -> Self:
        scheduling = self.schedule()
        try:
            code = await scheduling
        except BaseException:
            self.close(terminate=True)  # its turn might come when nobody waits for it any more
            raise
        return self._entered(code)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(terminate=kind is not None)

    def _entered(self, code: int) -> Self:
        if code != 0:
            work = self._work
            is_open = work is not None and work.open
            raise RuntimeError("the client is already scheduled" if is_open else self._why_refused())
        return self

    @property
    def status_task(self) -> Task | None:
        """Who gets the status messages. TypeError if it is set to what is no Task."""
        return self._status_task

    @status_task.setter
    def status_task(self, task: Task | None) -> None:
        if task is not None and not isinstance(task, Task):
            raise TypeError(f"status_task must be a Task, not {task!r:.200}")
        self._status_task = task

    # Its turn.

    def schedule(self, location: Location | str | None = None, timeout: float | None = None) -> Operation:
        """Yield this: 0 when it is this client's turn, -1 if it is refused or `timeout` seconds passed.

        location  of the scheduler: a Location, a host or `host:port`. None: this process's, else
                  the one that is set (`dispycos config`), else a shared one on this host or network,
                  else a private one is started.
        """
        limit = seconds_or_none("timeout", timeout)
        config = self._settings
        if (config.disable_nodes or config.disable_servers) and self._status_task is None:
            flag = "disable_nodes" if config.disable_nodes else "disable_servers"
            raise ValueError(f"{flag} needs a status_task, or nobody could enable them")
        work = self._work
        if work is not None and not work.refused:
            return _said(-1, f"the client is already {work.state}")
        if location is None and not self._surroundings.private and surroundings.is_unopened():
            log.warning(
                "a LocalCluster was made and not started, so no client uses it: use it in a `with` block, "
                "or start() it before the client is scheduled"
            )
        self._work = work = Work(config, self._surroundings, self._status_task)
        work.observers.watchers = self._watchers
        return work.schedule(location, limit)

    def close(
        self, await_io: bool = False, terminate: bool = False, timeout: float | None = None
    ) -> Operation:
        """Yield this: 0 when everything of this client on the cluster has ended.

        Waits for the tasks that were asked for before; I/O tasks are terminated, or awaited
        with `await_io`. `terminate`: all are ended at once; `timeout`: after so many seconds.
        Other than 0 if the scheduler could not be told.
        """
        limit = seconds_or_none("timeout", timeout)
        if self._work is None:
            return Operation(0)
        return self._work.close(bool(await_io), bool(terminate), limit)

    # Who watches.

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` what happens from now on; any thread."""
        self._watch_with((*self._watchers, watcher))

    def unwatch(self, watcher: Watcher) -> None:
        """Take `watch` back. May be repeated."""
        self._watch_with(tuple(other for other in self._watchers if other is not watcher))

    def _watch_with(self, watchers: tuple[Watcher, ...]) -> None:
        self._watchers = watchers
        if self._work is not None:
            self._work.observers.watchers = watchers
            self._work.tell_monitor()

    # What it looks like.

    def __repr__(self) -> str:
        return line("Client", *self._shown())

    def _repr_html_(self) -> str:
        return card("Client", *self._shown())

    def _shown(self) -> tuple[str, list[tuple[str, str]]]:
        """Its state, and what else is worth a line."""
        work = self._work
        if work is None:
            return "not scheduled yet", []
        if not work.scheduled:
            return work.state, []
        fleet = work.driver.fleet
        at, waiting = work.load()
        return work.state, [
            ("servers", str(len(fleet.servers()))),
            ("nodes", listed(fleet.nodes()) or "none"),
            ("tasks at servers", f"{at:,}"),
            ("tasks waiting", f"{waiting:,}"),
        ]

    @property
    def work(self) -> Work | None:
        """Its time with a cluster, for those who watch; None before `schedule()`."""
        return self._work

    # Tasks.

    def tasks(self, where: Location | str | None = None) -> Operation:
        """Yield this: the Tasks that a server has and that have not ended, those that wait there included.

        where  a server (its Location) or a node (its address or Location); None: everywhere. []
               if nothing is known of it.
        """
        return Operation([] if self._work is None else self._work.tasks(where))

    # Servers and nodes.

    def servers(self) -> Operation:
        """Yield this: the Locations of the servers in use."""
        return Operation([] if self._work is None else self._work.driver.fleet.servers())

    def wait_for_servers(self, n: int, timeout: float | None = None) -> Operation:
        """Yield this: the Locations of the servers that get tasks, as soon as there are `n` or more.

        Calls need no such wait, for a server gets some as soon as it is there; what is to begin on all of
        them at once does. Nodes that a cluster of this program may start by `adapt` are started for it.
        timeout  seconds until it fails with TimeoutError, which says how many there are and what keeps more
                 away; the log says that, too. None: as long as the client is scheduled.
        ValueError for less than one, or more than a million. It fails with Closed when this client closes,
        with PeerLost when its turn is over otherwise, with TaskRejected when no node can come.
        """
        count, limit = integer("n", n, least=1, most=1_000_000), seconds_or_none("timeout", timeout)
        work = self._work
        if work is None or not work.open:
            had_turn = work is not None and work.submissions.reservation
            error = Closed if had_turn else LocalProtocolError
            raise error(f"client.wait_for_servers({count}): {self._why_refused()}")
        return work.driver.await_servers(count, limit)

    def nodes(self) -> Operation:
        """Yield this: the addresses of the nodes in use; `addr:port` where several share one."""
        return Operation([] if self._work is None else self._work.driver.fleet.nodes())

    def suspend_server(self, location: Location) -> Accepted:
        """No new tasks there; 0, or -1 if it is unknown."""
        return self._order(lambda ticket: orders.Suspend(ticket, location, False))

    def resume_server(self, location: Location) -> Accepted:
        """New tasks go there again; 0, or -1 if it is unknown."""
        return self._order(lambda ticket: orders.Resume(ticket, location, False))

    def close_server(self, location: Location, terminate: bool = False, restart: bool = False) -> Accepted:
        """Close a server when its tasks are done, or with them if `terminate`; 0, or -1 if it is unknown.

        restart  a new process takes its place. Yield the answer to wait until it is gone.
        """
        return self._order(
            lambda ticket: orders.CloseOneServer(ticket, location, bool(terminate), bool(restart))
        )

    def restart_server(self, location: Location, terminate: bool = False) -> Accepted:
        """`close_server(location, terminate, restart=True)`."""
        return self.close_server(location, terminate, restart=True)

    def suspend_node(self, node: Location | str) -> Accepted:
        """No new tasks at its servers; 0, or -1 if it is unknown."""
        return self._order(lambda ticket: orders.Suspend(ticket, node, True))

    def resume_node(self, node: Location | str) -> Accepted:
        """New tasks go to its servers again; 0, or -1 if it is unknown."""
        return self._order(lambda ticket: orders.Resume(ticket, node, True))

    def close_node(self, node: Location | str, terminate: bool = False) -> Accepted:
        """Close all its servers, then give it back; 0, or -1 if it is unknown."""
        return self._order(lambda ticket: orders.CloseNode(ticket, node, bool(terminate)))

    def restart_node(self, location: Location | str, terminate: bool = False, *setup_args: Any) -> Accepted:
        """Close its servers, run node_setup again (with `setup_args` if given), start new ones."""
        new = setup(self._settings.node_setup, setup_args) if setup_args else None
        return self._order(lambda ticket: orders.RestartOneNode(ticket, location, bool(terminate), new))

    def enable_node(self, node: Location | str, *setup_args: Any) -> Accepted:
        """With disable_nodes: run node_setup with these and use the node; 0, or -1 if it does not wait."""
        new = setup(self._settings.node_setup, setup_args)
        return self._order(lambda ticket: orders.EnableNode(ticket, node, new))

    def enable_server(self, location: Location, *setup_args: Any) -> Accepted:
        """With disable_servers: run server_setup with these and use the server."""
        new = setup(self._settings.server_setup, setup_args)
        return self._order(lambda ticket: orders.EnableServer(ticket, location, new))

    def abandon_zombie(self, location: Location | str | None, flag: bool) -> Accepted:
        """Whether this node, when silent, is given up with its tasks; None: all nodes."""
        return self._order(lambda ticket: orders.AbandonZombie(ticket, location, bool(flag)))

    def node_allocate(self, allocation: DispycosNodeAllocate | str) -> Accepted:
        """One more rule for nodes, judged after the earlier ones. TypeError for anything else."""
        rule = checked(allocation)
        if self._work is None or not self._work.open:
            return Accepted(-1)
        self._work.add_rule(rule)
        return Accepted(0)

    def _order(self, make: Callable[[int], Any]) -> Accepted:
        work = self._work
        if work is None or not work.scheduled:
            return Accepted(-1)
        return Accepted.of(*work.driver.order(make))


class Accepted(Known):
    """0 or -1, known at once; yield, await or ask `.result()` to wait until it is carried out."""

    _operation: Operation | None = None

    @classmethod
    def of(cls, code: int | None, operation: Operation) -> Accepted:
        """What an order came to; None: accepted, and not carried out yet."""
        accepted = cls(code or 0)
        accepted._operation = operation if code is None else None
        return accepted

    def result(self, timeout: float | None = None) -> int:
        """Wait in a plain thread until it is carried out."""
        return int(self) if self._operation is None else int(self._operation.result(timeout))

    def _wait(self, task: Any) -> Any:
        return super()._wait(task) if self._operation is None else self._operation._wait(task)

    def __await__(self) -> Any:
        return super().__await__() if self._operation is None else self._operation.__await__()


def _said(code: int, reason: str) -> Operation:
    log.warning("%s", reason)
    return Operation(code)
