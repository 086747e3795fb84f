"""What a client program and the master of a worker pool say to each other.

A master passes jobs on and results back, and looks into neither: what a program sends is
opaque to it (SE-24 in spirit, rule 6), and so is what a worker answers.

Pure. Layer 0.
"""

from __future__ import annotations

from typing import Any

from dispycos.model import CodeHash, Outcome, Payload
from dispycos.protocol.facts import Job
from dispycos.records import record

# A client program says to the master.


@record
class JoinPool:
    """I have jobs: tell me how many you take, now and whenever that changes."""

    name: str


@record
class DefineJob:
    """A function with its surroundings, which later jobs name by this hash; goes ahead of them."""

    function: CodeHash
    name: str  # of the function, for reasons
    folder: str  # the working directory of its jobs
    path: list[str]  # what they import from, before what the worker has itself
    code: Payload


@record
class SubmitJobs:
    """Run these, in order."""

    jobs: list[Job]


@record
class ForgetJobs:
    """No job of mine names these functions any more, unless I define them again."""

    functions: list[CodeHash]


@record
class LeavePool:
    """I want nothing more of you: what I have sent and was not told of need not be done."""


# The master says to a client program.


@record
class PoolRoom:
    """So many jobs of yours may be here and not ended; it may fall below what is here."""

    jobs: int
    workers: int  # that are usable now


@record
class JobsEnded:
    """How jobs ended, each once."""

    outcomes: list[Outcome]  # FINISHED: the value is what `workers.job` makes of it


@record
class PoolClosed:
    """I take no jobs of yours any more, and why; those that you were not told of are lost."""

    reason: str


NUMBERS: dict[int, type[Any]] = {
    120: JoinPool,
    121: DefineJob,
    122: SubmitJobs,
    123: ForgetJobs,
    124: LeavePool,
    126: PoolRoom,
    127: JobsEnded,
    128: PoolClosed,
}
