"""A client as the source of a monitor: its machines are read, its statuses noted.

It watches the client's `Work` from the side: `status_task` and everything else of the program is
as without it. What costs something for each task is done only while somebody looks at tasks, and
then for so many a second (`Sampling`); what is counted for each task is a few additions.

Which thread: `submitted` in the program's, `placed`, `ended` and `news` on the kernel's, surveys
on the reactor's. All tell the monitor by its feed only.

I/O half. Layer 7. Rows HT-08, HT-17, MO-03, MO-04, MO-23, MO-36.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Hashable, Sequence
from typing import Any

from dispycos.client.client import Client
from dispycos.client.members import Node, Server
from dispycos.client.orders import Notify, TurnEnded
from dispycos.client.submission import Ended, Placed, Submission
from dispycos.client.work import Work
from dispycos.httpd import argtext, client_actions, client_survey
from dispycos.httpd.client_sights import NOT_ASKED, ClientSights
from dispycos.httpd.client_surroundings import Surroundings
from dispycos.httpd.events import (
    Changed,
    Living,
    LivingTask,
    TaskEnded,
    TaskPlaced,
    TaskSubmitted,
)
from dispycos.httpd.feed import Feed
from dispycos.httpd.known import EVERYTHING
from dispycos.httpd.metrics import Tally
from dispycos.httpd.sampling import Sampling
from dispycos.httpd.source import Look
from dispycos.httpd.tasks import GOOD
from dispycos.httpd.telling import Telling, now, wall_time
from dispycos.kernel.operation import Operation
from dispycos.model import DispycosStatus, Incarnation, Location, Status

MAX_TEXTS = 1000  # argument texts made in a second (MO-36)
MAX_KEPT = 20_000  # argument texts of tasks that live
SPARE = 64  # servers that are gone and still counted
NOT_RECORDED = "not recorded: more than 1,000 tasks were submitted in a second"
NOT_SHOWN = "the program does not show arguments"
NOT_THERE = "the task was submitted before its arguments were recorded"

_LEVELS = {
    Status.NodeDisconnected: "warning",
    Status.NodeAbandoned: "error",
    Status.NodeIgnore: "warning",
    Status.ServerDisconnected: "warning",
    Status.ServerAbandoned: "error",
}


class ClientSource:
    """Tells a monitor of one client; see `httpd.source.Source`.

    show_args  arguments are recorded as text.
    redact     patterns of names of keyword arguments that are not shown, checked by `argtext`.
    """

    known = EVERYTHING

    def __init__(self, client: Client, show_args: bool, redact: Sequence[str] = ()) -> None:
        self.name = os.path.basename(sys.argv[0]) or "python"
        self.address = ""  # where the monitor listens, when it does
        self.show_args = show_args
        self._client = client
        self._redact = tuple(redact)
        self._their_redact: tuple[str, ...] = ()  # what the scheduler of this turn adds to them
        self._secret = argtext.secret(self._redact)
        self._telling = Telling()
        self._look = Look()
        self._tally = Tally()
        self._sampling = Sampling()
        self._paced = 0.0  # when, on the clock of the machines, and what had been counted then
        self._paced_at = (0, 0)
        self._work: Work | None = None  # whose machines are shown
        self._surroundings = Surroundings(client)
        self._sights = ClientSights()
        self._texts: dict[int, str] = {}  # arguments of tasks that live; at most MAX_KEPT
        self._asked: set[int] = set()  # tasks that were at no server yet; at most MAX_KEPT
        self._second = 0.0  # when the present count of texts began, on the clock of the machines
        self._made = 0
        self._failed = 0
        self._running = 0  # at the last survey
        # server -> [ended, failed]; dropped when it is gone
        self._counts: dict[Incarnation, list[int]] = {}
        # Of servers there are many: what was told last, without a dict for each.
        self._seen: dict[Incarnation, tuple[Any, ...]] = {}
        self._nodes: dict[Incarnation, Location] = {}  # that are shown
        self._servers: dict[Incarnation, Server] = {}
        self._reasons: dict[Location, str] = {}  # the last reason of a status, by place; at most a few
        self._scheduled: float | None = None

    # As the monitor's source.

    def listens_at(self, address: str) -> None:
        """The monitor of this client can be asked there."""
        self.address = address
        if self._client.work is not None:
            self._client.work.tell_monitor()

    def watch(self, feed: Feed) -> None:
        self._telling.feed = feed
        self._surroundings.tell(feed)
        self._sights.feed = feed
        work = self._client.work
        if work is not None:
            # It has run for a while: what ended before is counted by what was handed over.
            for server in list(work.driver.dispatch.placement.servers.values()):
                self._counts[server.incarnation] = [client_survey.done_before(server), 0]
        self._client.watch(self)

    def stop(self) -> None:
        self._client.unwatch(self)
        self._surroundings.close()
        self._sights.close()

    def set_show_args(self, show: bool) -> None:
        self.show_args = show
        if not show:
            self._texts.clear()

    def refresh(self, look: Look) -> Operation:
        self._look = look
        done = Operation()
        work = self._client.work
        if work is None:
            self._telling.put("cluster", None, {"state": "not scheduled"})
            done.complete(None)
        elif work.network.closed:
            # Its thread is gone, and nothing changes any more.
            self._survey(work, look, done)
        else:
            work.network.reactor.call(self._survey, work, look, done)
        return done

    def surroundings(self) -> dict[str, Any]:
        return self._surroundings.told(self._work, self._tally)

    def act(self, action: str, key: Hashable, role: str) -> Operation:
        return client_actions.act(self._work, action, key, role)

    # As the client's watcher.

    def submitted(self, task: Submission, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if len(self._asked) < MAX_KEPT:
            self._asked.add(task.id)
        text = None
        if self.show_args:
            clock = time.monotonic()
            # In a burst few texts are made: the other tasks cost no more than this look.
            if self._made < MAX_TEXTS or clock - self._second >= 1.0:
                text = self._record(task.id, args, kwargs, clock)
        if self._look.tasks and self._sampling.begins(task.id):
            why = self._why_no_args(text)
            self._telling.feed.put(
                TaskSubmitted(task.id, task.name, task.io, 1 + task.retries, now(), text, why)
            )

    def placed(self, action: Placed) -> None:
        task = action.task
        clock = time.monotonic()
        if task.id in self._asked:  # not when it is placed once more
            self._asked.discard(task.id)
            self._tally.queued.add(clock - task.submitted)
        if self._look.tasks and self._sampling.begins(task.id):
            text = self._texts.get(task.id)
            wall = now()
            self._telling.feed.put(
                TaskPlaced(
                    number=task.id,
                    name=task.name,
                    io=task.io,
                    attempts=1 + task.retries,
                    server=action.server,
                    attempt=task.attempt,
                    submitted=wall_time(task.submitted, wall, clock),
                    time=wall,
                    args=text,
                    why_no_args=self._why_no_args(text),
                )
            )

    def ended(self, action: Ended) -> None:
        task, outcome = action.task, action.outcome
        server, end = task.owner._where[0], outcome.end
        if self._texts:
            self._texts.pop(task.id, None)
        self._asked.discard(task.id)  # it may have ended while it waited
        clock = time.monotonic()
        passed = clock - task.since
        self._tally.ended(task.name, end, passed)
        counts = self._counts.get(server)
        if counts is None:
            counts = self._counts[server] = [0, 0]
        counts[0] += 1
        failed = end not in GOOD
        if failed:
            self._failed += 1
            counts[1] += 1
        if (self._look.tasks or failed) and self._sampling.ends(task.id, failed):
            wall = now()
            event = TaskEnded(
                number=task.id,
                name=task.name,
                io=task.io,
                attempt=outcome.attempt,
                end=end,
                text=outcome.text,
                server=server,
                submitted=wall_time(task.submitted, wall, clock),
                begun=wall_time(max(task.since, task.begun), wall, clock),
                time=wall,
            )
            self._telling.feed.put(event)

    def news(self, action: Any) -> None:
        if type(action) is Notify:
            message = action.message
            if isinstance(message, DispycosStatus):
                self._status(message)
        elif type(action) is TurnEnded:
            text = f"its turn is over: {action.reason}"
            self._telling.happened("info", "client", self.name, text)

    def _status(self, message: DispycosStatus) -> None:
        status, info = message.status, message.info
        place = info if isinstance(info, Location) else getattr(info, "location", None)
        reason = message.reason or getattr(info, "reason", "")
        if status is Status.ClientScheduled:
            self._scheduled = now()
        if status is Status.NodeIgnore:
            self._surroundings.ignored(getattr(info, "name", str(place)), place, reason)
        if isinstance(place, Location) and reason:
            if len(self._reasons) > 1000:
                self._reasons.clear()
            self._reasons[place] = reason
        text = _words(status.name)
        kind = "node" if status < 12 else "server" if status < 21 else "task" if status < 31 else "client"
        about: tuple[str, Hashable] | None = None
        if kind == "node":
            about = next((("node", key) for key, known in list(self._nodes.items()) if known == place), None)
        elif kind == "server":
            servers = list(self._servers.items())
            about = next((("server", key) for key, known in servers if known.location == place), None)
        subject = getattr(info, "name", "") or str(place or self.name)
        self._telling.happened(
            _LEVELS.get(status, "info"), kind, subject, f"{text}: {reason}" if reason else text, about
        )

    # Arguments.

    def _record(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any], clock: float) -> str | None:
        if clock - self._second >= 1.0:
            self._second, self._made = clock, 0
        if self._made >= MAX_TEXTS or len(self._texts) >= MAX_KEPT:
            return None
        self._made += 1
        work = self._client.work
        if work is not None and work.driver.fleet.turn.redact is not self._their_redact:
            # It is known before the first task of a turn can be submitted.
            self._their_redact = work.driver.fleet.turn.redact
            self._secret = argtext.secret((*self._redact, *self._their_redact[: argtext.PATTERNS]))
        text = argtext.text(args, kwargs, self._secret)
        self._texts[number] = text
        return text

    def _why_no_args(self, text: str | None) -> str:
        if text is not None:
            return ""
        return NOT_RECORDED if self.show_args else NOT_SHOWN

    # Surveys, on the reactor's thread.

    def _survey(self, work: Work, look: Look, done: Operation) -> None:
        try:
            if work is not self._work:
                self._begin(work)
            wall, clock = now(), time.monotonic()
            held = dict(work.driver.fleet.nodes_held)
            self._survey_nodes(work, held, wall, clock)
            came = self._survey_servers(work, look, wall, clock)
            # After their servers, whose last counts they add up.
            for key in [key for key in self._nodes if key not in held]:
                why = self._reasons.get(self._nodes.pop(key), "it is held no more")
                self._telling.gone("node", key, why, wall)
            self._pace(work, look, clock)
            self._survey_client(work, look)
            if (look.servers or look.nodes) and not work.network.closed:
                self._sights.look(work, look.servers, look.nodes)
            # Tasks that were placed at a server before it was shown could not be told where they are.
            if look.survey or (look.tasks and came):
                shown = self._sampling.lives
                living = client_survey.living(work.driver.dispatch)
                tasks = [self._living(task, wall, clock) for task in living if shown(task.id)]
                past = client_survey.ended(work.driver.dispatch)
                self._telling.feed.put_always(Living(tasks, wall, past))
        finally:
            done.complete(None)

    def _begin(self, work: Work) -> None:
        """A client begins a turn: what was shown of another one is over (HT-17)."""
        wall = now()
        for key in list(self._servers):
            self._server_gone(key, wall)
        for key in list(self._nodes):
            self._telling.gone("node", key, "the turn it was held for is over", wall)
        self._nodes.clear()
        self._work = work
        self._surroundings.begin(work)
        self._sights.begin(work)
        self._sampling.forget()
        self._paced_at = 0, 0

    def _pace(self, work: Work, look: Look, clock: float) -> None:
        dispatch = work.driver.dispatch
        counted = dispatch.submitted, dispatch.done
        passed, self._paced = clock - self._paced, clock
        began, ended = (now - before for now, before in zip(counted, self._paced_at, strict=True))
        self._paced_at = counted
        sampling = self._sampling
        if not look.tasks:
            sampling.forget()
        sampling.pace(max(began, ended), max(passed, 0.05))
        self._telling.feed.collapsed += sampling.left_out
        sampling.left_out = 0

    def _survey_nodes(self, work: Work, held: dict[Incarnation, Node], wall: float, clock: float) -> None:
        for key, node in held.items():
            values = client_survey.node_values(node, wall, clock)
            if key not in self._nodes:
                self._nodes[key] = node.location
                values |= self._node_facts(work, node)
                values["since"] = wall
            self._telling.put("node", key, values)

    def _node_facts(self, work: Work, node: Node) -> dict[str, Any]:
        peer = work.network.endpoint.peer(node.incarnation)
        return client_survey.node_facts(node, peer.release if peer is not None else "", self.name)

    def _survey_servers(self, work: Work, look: Look, wall: float, clock: float) -> bool:
        """Tell what changed; answers whether a server is shown from now on that has tasks already."""
        came = False
        crew = work.driver.fleet.crew
        self._running = 0
        placement = work.driver.dispatch.placement
        waits = crew.plan.wait
        alive = dict(crew.servers)
        for key, server in alive.items():
            placed = placement.servers.get(key)
            ended, failed = self._counted(key)
            running, waiting = client_survey.server_counts(placed)
            self._running += running
            state = client_survey.server_state(server, placed)
            mean = placed.mean if placed is not None and placed.mean >= 0 else None
            # To the tenth: the difference of two clocks is not the same twice. Who looks sees it move.
            looked_at = key in look.servers or server.node.incarnation in look.nodes
            pulse = wall_time(server.node.last_heard, wall, clock, 1)
            heard = pulse if looked_at else None
            seen = (state, running, waiting, ended, failed, server.why, server.unresponsive, mean, heard)
            if self._seen.get(key) == seen and key in self._servers:
                continue
            self._seen[key] = seen
            values: dict[str, Any] = {
                "state": state,
                "why": client_survey.server_why(server, waits),
                "running": running,
                "waiting": waiting,
                "done": ended,
                "failed": failed,
                "submitted": ended + running + waiting,
                "unresponsive": server.unresponsive,
                "credits": placed.cpu_credits if placed is not None else None,
                "mean": None if mean is None else float(f"{mean:.3g}"),
                "pulse": pulse,
            }
            if key not in self._servers:
                self._servers[key] = server
                values |= self._server_facts(server, wall)
                came = came or running + waiting > 0
            self._telling.feed.put_always(Changed("server", key, values, server.node.incarnation))
        for key in [key for key in self._servers if key not in alive]:
            self._server_gone(key, wall)
        if len(self._counts) > 2 * len(alive) + SPARE:
            # Of servers that were gone when the last news of their tasks came.
            for key in [key for key in self._counts if key not in alive]:
                self._counts.pop(key, None)
        return came

    def _server_gone(self, key: Incarnation, wall: float) -> None:
        server = self._servers.pop(key)
        self._seen.pop(key, None)
        # What ended there since it was seen last.
        ended, failed = self._counted(key)
        self._counts.pop(key, None)
        last = {"running": 0, "waiting": 0, "done": ended, "failed": failed, "submitted": ended}
        self._telling.feed.put_always(Changed("server", key, last, server.node.incarnation))
        self._telling.gone("server", key, self._reasons.get(server.location, "it is gone"), wall)

    def _counted(self, key: Incarnation) -> tuple[int, int]:
        """Tasks that ended at a server, and those of them that failed."""
        counts = self._counts.get(key)
        return (counts[0], counts[1]) if counts is not None else (0, 0)

    def _server_facts(self, server: Server, wall: float) -> dict[str, Any]:
        return {
            "location": str(server.location),
            "index": server.index,
            "incarnation": server.incarnation.hex(),
            "since": wall,
            "notes": dict.fromkeys(("cpu", "memory", "pid"), NOT_ASKED),
        }

    def _survey_client(self, work: Work, look: Look) -> None:
        driver = work.driver
        turn, dispatch = driver.fleet.turn, driver.dispatch
        state = client_survey.CLIENT_STATES[turn.state]
        # Also while it only waits for its last tasks: nothing is submitted any more.
        if state == "scheduled" and (turn.ending or work.state == "closing"):
            state = "closing"
        has_turn = state in ("scheduled", "closing")
        self._telling.put(
            "cluster",
            None,
            {
                "state": state,
                "submitted": dispatch.submitted,
                "done": dispatch.done,
                "failed": self._failed,
                "client": turn.name if has_turn else "",
                "scheduled": self._scheduled,
                "pulse_interval": turn.pulse_interval,
                "waiting_clients": 1 if state == "queued" else 0,
                "one_in": self._sampling.one_in if look.tasks else 1,
            },
        )
        values = {
            "name": turn.name,
            "location": str(turn.our_location) if turn.our_location is not None else None,
            "state": state,
            "place": turn.place if state == "queued" else 0,
            "why": turn.reason,
            "submitted": dispatch.submitted,
            "done": dispatch.done,
            "running": self._running,
            "pid": turn.pid,
            "nodes": len(self._nodes),
            "servers": len(self._servers),
            "monitor": self.address,
        }
        self._telling.put("client", "ours", values)

    def _living(self, task: Submission, wall: float, clock: float) -> LivingTask:
        text = self._texts.get(task.id)
        server = client_survey.incarnation_of(task)
        return LivingTask(
            number=task.id,
            name=task.name,
            io=task.io,
            state="waiting" if server is None else "sent",
            attempt=task.attempt if server is not None else task.attempt - 1,
            attempts=1 + task.retries,
            server=server,
            submitted=wall_time(task.submitted, wall, clock),
            since=wall_time(task.since, wall, clock),
            begun=wall_time(max(task.since, task.begun), wall, clock),
            args=text,
            why_no_args="" if text is not None else NOT_THERE if self.show_args else NOT_SHOWN,
        )


def _words(name: str) -> str:
    """NodeInitialized -> initialized."""
    for kind in ("Node", "Server", "Client", "Task"):
        name = name.removeprefix(kind)
    return name.lower()
