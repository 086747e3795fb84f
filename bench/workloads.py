"""What is measured: each workload, what a unit of it is, and how large a first try is.

A peer takes part in a workload if its adapter has the method of that name. The figures that
dispycos is to reach are those of the project's performance page; here nothing is judged.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of work."""

    id: str  # as the performance page names it
    method: str  # of an adapter: method(n) does n units and returns when all are done
    title: str
    unit: str  # what is counted a second
    first: int  # units of the first try, from which the size of a repeat is worked out
    most: int  # units of a repeat at most: memory, not time, is the bound
    short: bool = True  # part of the short set


WORKLOADS = (
    Workload("P1", "tiny_tasks", "tiny tasks, submit all then gather", "tasks/s", 100, 50_000),
    Workload("P2", "one_by_one", "submit one, wait for its result", "tasks/s", 20, 50_000),
    Workload("P3", "round_trips", "message to a remote task or actor and back", "trips/s", 20, 50_000),
    Workload("P4", "streamed", "messages streamed and echoed", "messages/s", 200, 200_000),
    Workload("P5", "bulk", "32 MiB of random bytes there and back", "MiB/s, both ways", 1, 4, short=False),
    Workload(
        "P6", "uneven", "9 of 10 tasks take 1 ms, 1 takes 100 ms", "share of ideal", 100, 100, short=False
    ),
    # P12: each beside the peer whose vocabulary it speaks.
    Workload("P12G", "channel_trips", "item through a gateway's channel and back", "trips/s", 100, 50_000),
    Workload("P12R", "service_calls", "call of a service's function", "calls/s", 100, 50_000),
    Workload("P12E", "master_calls", "call of a master's function at its server", "calls/s", 100, 50_000),
)

# Those without a method of an adapter.
KERNEL = "P7"  # bench/kernel.py: the kernel alone, beside asyncio and others
START = "P8"  # from start() in a fresh process to the first result
IDS = (*(workload.id for workload in WORKLOADS), KERNEL, START)

BULK_BYTES = 32 * 1024 * 1024

# Of P6: ten tasks, of which the ideal schedule keeps two workers busy for half their sum.
UNEVEN = (0.001,) * 9 + (0.100,)
WORKERS = 2


def ids_of(name: str) -> list[str]:
    """The ids that a name stands for: itself, or all that are it and a letter; none if there is no such."""
    return [id_ for id_ in IDS if name in (id_, id_[:-1] if id_[-1].isalpha() else id_)]


def by_id(name: str) -> Workload:
    """The workload of that id; KeyError if it has no method of an adapter."""
    return {workload.id: workload for workload in WORKLOADS}[name]
