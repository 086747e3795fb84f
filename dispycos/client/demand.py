"""The work of one client, as those see it who decide how many nodes there are to be.

Pure. Layer 2.
"""

from __future__ import annotations

from collections.abc import Mapping

from dispycos.client.placement import Placement
from dispycos.messages import Demand, NodeLoad
from dispycos.model import Incarnation
from dispycos.records import record


@record
class Work:
    """Tasks of one client, now."""

    tasks: int  # CPU tasks that run, or wait for any server
    waiting_io: int  # I/O tasks that wait for any server
    done: int  # that ever ended
    seconds: float  # that a CPU task takes; below 0: nobody knows
    busy: Mapping[Incarnation, int]  # nodes with tasks of any kind, also with those that wait for them alone
    servers: int = 0  # that somebody waits for, whatever is to run there


def of(placement: Placement, done: int) -> Work:
    """The work of these servers and lines."""
    tasks = placement.line.count
    busy: dict[Incarnation, int] = {}
    means = []
    for node in placement.nodes.values():
        count = node.line.count + node.io_line.count
        for server in node.servers:
            tasks += len(server.sent)
            count += len(server.sent) + len(server.io) + server.line.count + server.io_line.count
            if server.mean >= 0:
                means.append(server.mean)
        if count:
            busy[node.incarnation] = count
    return Work(tasks, placement.io_line.count, done, sum(means) / len(means) if means else -1.0, busy)


def said(work: Work, reservation: int) -> Demand:
    """What a scheduler elsewhere is told of it."""
    busy = [NodeLoad(node, tasks) for node, tasks in work.busy.items()]
    return Demand(reservation, work.tasks, work.waiting_io, work.done, work.seconds, busy, work.servers)


def heard(demand: Demand) -> Work:
    """What a client elsewhere said."""
    busy = {load.node: load.tasks for load in demand.busy}
    return Work(demand.tasks, demand.waiting_io, demand.done, demand.seconds, busy, demand.servers)
