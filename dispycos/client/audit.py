"""What people and tests ask of a `Dispatch`: why something waits, what happened, does all hold.

Reads only. Pure. Layer 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from dispycos.client.credits import Mode, Node, Server
from dispycos.client.gate import Gate
from dispycos.client.lines import Line
from dispycos.client.placement import Placement, why_not
from dispycos.client.submission import Stage, Submission
from dispycos.config import Limits
from dispycos.messages import Holding
from dispycos.model import Incarnation
from dispycos.story import About
from dispycos.wording import many


class Dispatch(Protocol):
    """What is read of a `Dispatch`, which stands above this file."""

    gate: Gate
    placement: Placement
    describe: Callable[[Incarnation], str]


def why_waiting(dispatch: Dispatch, id: int, now: float) -> str:
    task = dispatch.gate.tasks.get(id)
    if task is None:
        return story(dispatch, id)
    seconds = f"{now - task.since:.1f} s"
    if task.stage is Stage.SENT and task.server is not None:
        return f"{task!r} was handed to {dispatch.describe(task.server.incarnation)} {seconds} ago"
    if task.stage is Stage.PLACED:
        return f"{task!r} is on its way to a server"
    if task.stage is Stage.PAUSED:
        return f"{task!r} was lost and is tried again soon: attempt {task.attempt} of {1 + task.retries}"
    waits = f"{task!r} waits for {seconds}"
    placement = dispatch.placement
    servers: Iterable[Server] = placement.servers.values()
    if task.where is not None:
        only = placement.servers.get(task.where)
        if only is not None:
            return f"{waits}: {dispatch.describe(only.incarnation)} is {why_not(only)}"
        servers = placement.nodes[task.where].servers
    states: dict[str, int] = {}
    for server in servers:
        why = why_not(server)
        states[why] = states.get(why, 0) + 1
    if not states:
        return f"{waits}: no server {'of its node ' if task.where is not None else ''}is ready yet"
    text = ", ".join(f"{count} {why}" for why, count in states.items())
    return f"{waits}; servers that could run it: {text}"


def why_idle(dispatch: Dispatch, now: float) -> str:
    if any(server.sent or server.io for server in dispatch.placement.servers.values()):
        return ""
    if not dispatch.gate.tasks:
        return "no task is waiting"
    first = next(iter(dispatch.gate.tasks))
    waiting = many(len(dispatch.gate.tasks), "task waits", "tasks wait")
    return f"{waiting}; the first: {why_waiting(dispatch, first, now)}"


def story(dispatch: Dispatch, id: int) -> str:
    task = dispatch.gate.tasks.get(id)
    if task is not None:
        where = f" at {dispatch.describe(task.server.incarnation)}" if task.server is not None else ""
        deaths = "".join(f"; {text}" for text in task.deaths)
        return f"{task!r}: {task.stage.name.lower()}{where}, attempt {task.attempt}{deaths}"
    for key, attempt, name, end, text in reversed(dispatch.gate.ended):
        if key == id:
            return f"{name}#{id & 0xFFFFFFFF} ended at attempt {attempt} as {end.name}: {text}"
    return f"task {id} is not known here, or ended long ago"


def check(dispatch: Dispatch, limits: Limits) -> None:
    # Tests call this after each event, with thousands of tasks: it looks at each of them once.
    placement, gate = dispatch.placement, dispatch.gate
    placed: dict[int, Submission] = {}
    handed = 0
    for server in placement.servers.values():
        _check_server(placement, server, limits)
        placed |= server.sent
        placed |= server.io
        handed += len(server.sent) + len(server.io)
    assert len(placed) == handed, "a task is at two servers"
    for node in placement.nodes.values():
        assert node.load == sum(len(server.sent) for server in node.servers), "load miscounted"
    waiting = _waiting(placement)
    cpu = there = queued = 0
    for key, task in gate.tasks.items():
        stage = task.stage
        assert key == task.id
        if stage is Stage.SENT or stage is Stage.PLACED:
            there += 1
            assert key in placed, About(key, f"lost sight of {task!r}")
        elif stage is Stage.QUEUED:
            queued += 1
            assert key in waiting, About(key, f"lost sight of {task!r}")
        else:
            assert stage is Stage.PAUSED, About(key, f"{task!r} is {stage.name}")
        assert 1 <= task.attempt <= 1 + task.retries, About(key, f"{task!r} is at attempt {task.attempt}")
        cpu += not task.io
    # Each was found where it is to be; now nothing else is there.
    assert (len(placed), len(waiting)) == (there, queued), "an ended task was kept, or one is in two places"
    assert gate.cpu_live == cpu
    assert gate.submitted - gate.done == len(gate.tasks)
    # a task that could run and a credit for it never coexist.
    if any(
        server.free > 0 or (server.usable and len(server.io) < limits.max_io_credits)
        for server in placement.servers.values()
    ):
        for task in waiting.values():
            free = _first_free(placement, task, limits)
            assert free is None, About(task.id, f"{task!r} waits though {free} has a credit")


def compare(dispatch: Dispatch, server: Server, message: Holding) -> None:
    """Our ledger of a server beside its own, before its word is acted upon."""
    where = dispatch.describe(server.incarnation)
    given, taken = (server.position, server.position_io), (message.received, message.received_io)
    assert taken[0] <= given[0] and taken[1] <= given[1], About(
        server.incarnation, f"{where} took in {taken} tasks (CPU, I/O), and was handed {given}"
    )
    twice = set(message.waiting) & set(message.begun)
    assert not twice, About(min(twice), f"tasks {twice} wait and run at {where}")
    for key in (*message.waiting, *message.begun):
        task = dispatch.gate.tasks.get(key)
        elsewhere = task is not None and task.stage is Stage.SENT and task.server is not server
        assert not elsewhere, About(key, f"{task!r} is held by {where}, and was handed to another server")


def _check_server(placement: Placement, server: Server, limits: Limits) -> None:
    assert server.mode is not Mode.GONE
    assert 1 <= server.cpu_credits <= limits.max_credits
    noted = {task.id for task in server.outbox}
    for tasks in (server.sent, server.io):
        positions = []
        for task in tasks.values():
            assert task.server is server, About(task.id, f"{task!r} is not where it thinks")
            if task.stage is Stage.SENT:
                positions.append(task.position)
            else:
                assert task.stage is Stage.PLACED
                assert task.id in noted, About(task.id, f"{task!r} will never be handed over")
        assert len(set(positions)) == len(positions), "two tasks at one position"
        assert 0 not in positions
    assert (server in placement.loaded) == (len(server.sent) >= 2)
    assert (server in placement.idle) == (server.usable and not server.sent)


def _waiting(placement: Placement) -> dict[int, Submission]:
    lines = [placement.line, placement.io_line]
    places: list[Node | Server] = [*placement.nodes.values(), *placement.servers.values()]
    for place in places:
        lines += [place.line, place.io_line]
    waiting: dict[int, Submission] = {}
    for line in lines:
        assert isinstance(line, Line)
        found: list[Submission] = line.waiting()
        assert len(found) == line.count, "waiting tasks miscounted"
        for task in found:
            assert task.id not in waiting, About(task.id, f"{task!r} waits twice")
            assert task.line is line, About(task.id, f"{task!r} is not in the line that it thinks")
            waiting[task.id] = task
    return waiting


def _first_free(placement: Placement, task: Submission, limits: Limits) -> Server | None:
    """As `Placement.candidate`, without its shortcuts."""
    for server in placement.servers.values():
        if task.where not in (None, server.incarnation, server.node.incarnation):
            continue
        if task.io and server.usable and len(server.io) < limits.max_io_credits:
            return server
        if not task.io and server.free > 0:
            return server
    return None
