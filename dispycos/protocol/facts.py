"""What nodes, servers and tasks are, as others are told; parts of messages.

Pure. Layer 0.
"""

from __future__ import annotations

from dispycos.model import CodeHash, Incarnation, Location, Payload
from dispycos.records import record


@record
class Avail:
    """What a node has to spare; None where psutil is missing there."""

    cpu: float | None = None  # percent idle
    memory: int | None = None  # free bytes
    disk: int | None = None  # free bytes of dest_path's partition
    swap: int | None = None  # free bytes


@record
class NodeFacts:
    """What a node says of itself; what allocation rules are applied to."""

    incarnation: Incarnation
    location: Location  # where it is dialled
    name: str
    platform: str  # platform.platform()
    python: str  # version, as 3.11.7
    cpus: int  # servers it may start
    avail: Avail


@record
class ServerFacts:
    """One live server, as its node knows it."""

    incarnation: Incarnation
    location: Location
    index: int  # from 1: its place on the node
    pid: int
    begun: int  # position of the last CPU task begun, from the shared page
    begun_io: int  # likewise for I/O tasks
    unresponsive: float = 0.0  # seconds its kernel has not stepped; 0: it steps
    running: int = 0  # tasks begun and not ended, of both kinds
    ended: int = 0  # tasks that ended there, in whatever way


@record
class NodeLoad:
    """What a client has for one of its nodes."""

    node: Incarnation
    tasks: int  # of any kind, also those that wait for it alone


@record
class Rule:
    """One allocation rule as data (S5); see `scheduler.allocate`."""

    node: str  # address, host name or pattern with '*'
    port: int
    platform: str  # regular expression, searched without case; '' any
    cpus: int
    memory: int
    disk: int
    asks_client: bool = False  # a subclass: its `allocate` runs in the client that wrote it


@record
class StackLine:
    """One line of a task's stack."""

    file: str
    line: int
    function: str


@record
class TaskSight:
    """A task that runs, and where it stands."""

    id: int
    attempt: int
    ran: float  # seconds since it began
    stack: list[StackLine]  # outermost first


@record
class ServerSight:
    """What a server uses, and what it printed."""

    incarnation: Incarnation
    pid: int
    cpu_seconds: float | None  # that its process used so far; None: nobody knows
    memory: int | None  # resident bytes
    number: int  # of the last line of `lines`, from 1; 0: it printed nothing
    lines: list[str]


@record
class Job:
    """One call of a function that was defined before."""

    id: int  # unique among the jobs of this program
    function: CodeHash
    args: Payload
    retries: int  # further attempts, should its worker be lost
