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
    mebibytes: int = 0  # that a unit takes there, and back; 0: units are what is counted
    less: bool = False  # the lower the figure the better


BOTH_WAYS = "MiB/s, both ways"

WORKLOADS = (
    Workload("P1", "tiny_tasks", "tiny tasks, submit all then gather", "tasks/s", 100, 50_000),
    Workload("P2", "one_by_one", "submit one, wait for its result", "tasks/s", 20, 50_000),
    Workload("P3", "round_trips", "message to a remote task or actor and back", "trips/s", 20, 50_000),
    Workload("P4", "streamed", "messages streamed and echoed", "messages/s", 200, 200_000),
    Workload("P5", "bulk_bytes", "32 MiB of random bytes there and back", BOTH_WAYS, 1, 4, mebibytes=32),
    Workload("P5A", "bulk_array", "a NumPy array of 32 MiB there and back", BOTH_WAYS, 1, 4, mebibytes=32),
    Workload("P5B", "large_bytes", "512 MiB of random bytes there and back", BOTH_WAYS, 1, 1, False, 512),
    Workload("P5C", "large_array", "a NumPy array of 512 MiB there and back", BOTH_WAYS, 1, 1, False, 512),
    Workload(
        "P5M",
        "bulk_peak",
        "most memory that a trip of 32 MiB takes of a process",
        "payloads",
        1,
        1,
        less=True,
    ),
    Workload("P5N", "array_peak", "the same for a NumPy array of 32 MiB", "payloads", 1, 1, less=True),
    Workload("P6", "uneven", "9 of 10 tasks take 1 ms, 1 takes 100 ms", "share of ideal", 100, 100),
    Workload("P6T", "even", "tasks of 20 ms", "share of ideal", 40, 40),
    # P12: each beside the peer whose vocabulary it speaks.
    Workload("P12G", "channel_trips", "item through a gateway's channel and back", "trips/s", 100, 50_000),
    Workload("P12R", "service_calls", "call of a service's function", "calls/s", 100, 50_000),
    Workload("P12E", "master_calls", "call of a master's function at its server", "calls/s", 100, 50_000),
)

# Those without a method of an adapter.
KERNEL = "P7"  # bench/kernel.py: the kernel alone, beside asyncio and others
START = "P8"  # from start() in a fresh process to the first result
OWN = {  # dispycos alone: title, unit, whether less is better
    "P8I": ("import dispycos", "seconds", True),
    "P9S": ("an idle server, its share of what is shared included", "MiB", True),
    "P9T": ("a queued task at the client", "bytes", True),
    "P10": ("the scheduler's machine, 10,000 nodes of 8 servers", "events/s", False),
    "P10D": ("the dispatch machine, 80,000 servers", "events/s", False),
    "P10F": ("an event of the scheduler's machine at 10,000 nodes ÷ at 100", "times", True),
}
IDS = (*(workload.id for workload in WORKLOADS), KERNEL, START, *OWN)
LESS = {START, *(id_ for id_, (_, _, less) in OWN.items() if less), *(w.id for w in WORKLOADS if w.less)}

MIB = 1024 * 1024

# Of P6: seconds that each of ten tasks takes.
UNEVEN = (0.001,) * 9 + (0.100,)
EVEN = 0.020  # seconds
WORKERS = 2


def ids_of(name: str) -> list[str]:
    """The ids that a name stands for: itself, or all that are it and a letter; none if there is no such."""
    return [id_ for id_ in IDS if name in (id_, id_[:-1] if id_[-1].isalpha() else id_)]


def by_id(name: str) -> Workload:
    """The workload of that id; KeyError if it has no method of an adapter."""
    return {workload.id: workload for workload in WORKLOADS}[name]
