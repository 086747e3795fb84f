"""The values that the parts of dispycos hand to each other.

Plain data: no behaviour beyond comparing, printing and small conversions. What processes
say to each other stands in `messages`; every limit and interval stands in `config.py`.

Pure. Layer 0.
"""

from __future__ import annotations

import contextlib
import enum
import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NewType, TypeAlias

from dispycos.records import record

Buffer: TypeAlias = bytes | bytearray | memoryview

# 128 random bits drawn when a process starts (rule 5): who somebody is. An address only
# says where to dial; a restarted process at the same address is a stranger.
Incarnation = NewType("Incarnation", bytes)

# The first 16 bytes of the SHA-256 of a shipped definition: the same code has the same
# hash in every process, so it is sent to a server once (D5).
CodeHash = NewType("CodeHash", bytes)

# Ids of tasks that a client made carry this bit, ids that a process gives to its own tasks
# and channels do not; so a client may name a task on a server that has not heard of it (D2).
CLIENT_MADE = 1 << 62


class Role(enum.IntFlag):
    """What a process is to its peers. A private scheduler's process is CLIENT | SCHEDULER."""

    CLIENT = 1
    SCHEDULER = 2
    NODE = 4
    SERVER = 8
    PEER = 16  # a program that only exchanges messages, files and tasks with named peers


MAX_ADDRESSES = 4  # of one process, that others are told of


class Location:
    """Where a process listens: a numeric IP address and a TCP port.

    `host` may be a name; it is resolved once, here, by `Location.resolver`, which the I/O
    half installs (this module asks no name server). ValueError if it can't be resolved.

    others  further addresses of the same process, at the same port, for who does not reach the
            first: whoever dials tries them in order. They are advice, and no part of who is
            equal to whom.
    """

    __slots__ = ("addr", "others", "port")

    resolver: Callable[[str], str] | None = None

    addr: str
    port: int
    others: tuple[str, ...]

    def __init__(self, host: str, port: int | str, others: Iterable[str] = ()) -> None:
        number = int(port)
        if not 0 <= number <= 65535:
            raise ValueError(f"port {port!r} is not between 0 and 65535")
        addresses = tuple(dict.fromkeys(_numeric(name) for name in (host, *others)))
        if len(addresses) > MAX_ADDRESSES:
            raise ValueError(f"{len(addresses)} addresses of one process: {MAX_ADDRESSES} can be told")
        object.__setattr__(self, "addr", addresses[0])
        object.__setattr__(self, "port", number)
        object.__setattr__(self, "others", addresses[1:])

    @classmethod
    def parse(cls, place: Location | str, port: int) -> Location:
        """The place that somebody names: a Location, a host, or `host:port`.

        port  where none is named.
        ValueError says why a text names no place.
        """
        if isinstance(place, Location):
            return place
        host, named = host_and_port(place)
        return cls(host, port if named is None else named)

    @property
    def addresses(self) -> tuple[str, ...]:
        """All its addresses, in the order in which they are tried."""
        return (self.addr, *self.others)

    def includes(self, place: Location) -> bool:
        """Whether `place` is this one, by any of its addresses."""
        return self.port == place.port and place.addr in self.addresses

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Location is read-only: can't set {name!r}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Location):
            return NotImplemented
        return self.port == other.port and self.addr == other.addr

    def __hash__(self) -> int:
        return hash((self.addr, self.port))

    def __lt__(self, other: Location) -> bool:
        return (self.addr, self.port) < (other.addr, other.port)

    def __repr__(self) -> str:
        return f"Location({self.addr!r}, {self.port})"

    def __str__(self) -> str:
        return f"[{self.addr}]:{self.port}" if ":" in self.addr else f"{self.addr}:{self.port}"

    def __reduce__(self) -> tuple[type[Location], tuple[Any, ...]]:
        return (Location, self.parts)

    @property
    def parts(self) -> tuple[Any, ...]:
        """What it is made of, as its constructor takes it; short where there is one address."""
        return (self.addr, self.port, self.others) if self.others else (self.addr, self.port)


# HOST, HOST:PORT, [IPv6], [IPv6]:PORT.
_PLACE = re.compile(r"(?:\[([^\[\]\s]+)\]|((?!-)[^:\[\]\s]+))(?::([0-9]{1,5}))?")


def host_and_port(text: str) -> tuple[str, int | None]:
    """The host and the port that a text names; None: it names no port.

    An IPv6 address stands in brackets where a port follows. ValueError for what is neither.
    """
    if text.isdecimal():
        # The system would take it for an address in one number, which nobody writes.
        raise ValueError(f"{text!r} is a number and names no host: a port is written HOST:PORT")
    found = _PLACE.fullmatch(text)
    if found is not None:
        port = int(found[3]) if found[3] else None
        if port is None or 1 <= port <= 65535:
            return found[1] or found[2], port
    elif text.count(":") > 1 and not text.startswith("["):
        with contextlib.suppress(ValueError):
            return str(ipaddress.IPv6Address(text)), None
    raise ValueError(f"{text!r} is neither a host nor HOST:PORT with a port from 1 to 65535")


def _numeric(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    if Location.resolver is None:
        raise ValueError(f"{host!r} is no numeric address and this process resolves no names")
    return Location.resolver(host)


@record
class Address:
    """One receiver anywhere: a task, a channel or a reply slot."""

    incarnation: Incarnation  # the process it lives in
    location: Location | None  # where that process is dialled; None before it listens
    number: int  # unique within the incarnation, never used again


@record
class Payload:
    """One pickled user value, as opaque bytes.

    data     pickle protocol 5.
    buffers  its out-of-band buffers, each at least `Limits.out_of_band_bytes`; sent and
             received as they are, never joined or copied.
    """

    data: Buffer
    buffers: tuple[Buffer, ...] = ()

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.data) + sum(memoryview(buffer).nbytes for buffer in self.buffers)


@record(frozen=False)
class TaskSpec:
    """One attempt at one task, as the client hands it to a server."""

    id: int  # made by the client, with CLIENT_MADE; used once, ever
    attempt: int  # from 1; rises with each placement that begins
    function: CodeHash  # what to run; the definition went ahead of it on the same session
    args: Payload  # pickled (args, kwargs)
    io: bool = False  # True: runs beside others; False: one at a time per server (D1)
    timeout: float = 0.0  # seconds from its begin, then it is ended; 0: none


class End(enum.IntEnum):
    """The ways in which an attempt ends. No other end exists (R-31)."""

    FINISHED = 1  # returned a value
    FAILED = 2  # raised an exception
    CANCELLED = 3  # ended by somebody: the text says by whom
    TIMED_OUT = 4  # its timeout passed
    REJECTED = 5  # never began: the text says why
    SERVER_LOST = 6  # its server process died under it
    NODE_LOST = 7  # its node's daemon or machine is gone
    ABANDONED = 8  # its silent node was given up by choice


# These come many at once: all that a node had is lost with it.
LOST_WITH_NODE: Final = frozenset({End.NODE_LOST, End.ABANDONED})
# What ran it went away under it: another attempt may do better.
LOST: Final = LOST_WITH_NODE | {End.SERVER_LOST}


@record(frozen=False)
class Outcome:
    """How one attempt ended, as the server tells it."""

    id: int
    attempt: int
    end: End
    value: Payload | None  # FINISHED: the value; FAILED: the exception, where it can travel
    text: str = ""  # why it did not finish, 20 to 4,096 characters; traceback if FAILED


class Status(enum.IntEnum):
    """The states that status messages name; the numbers are the founding document's."""

    NodeIgnore = 1
    NodeDiscovered = 2
    NodeInitialized = 3
    NodeSuspended = 4
    NodeResumed = 5
    NodeClosed = 6
    NodeDisconnected = 7
    NodeAbandoned = 8
    ServerDiscovered = 12
    ServerInitialized = 13
    ServerSuspended = 14
    ServerResumed = 15
    ServerClosed = 16
    ServerDisconnected = 17
    ServerAbandoned = 18
    TaskCreated = 21
    TaskFinished = 22
    TaskAbandoned = 23
    TaskTerminated = 24
    ClientScheduled = 31
    ClientClosed = 32


@dataclass(frozen=True, slots=True)
class DispycosStatus:
    """One change of a node, server, task or client, as status_task receives it."""

    status: Status
    info: Any  # DispycosNodeAvailInfo, Location or TaskInfo, by the kind of status
    reason: str = field(default="", compare=False)  # why, where there is a why (DC-08)

    def __str__(self) -> str:
        return f"{self.status.name}: {self.info}{f' ({self.reason})' if self.reason else ''}"


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """What is known of a task at its creation."""

    task: Any  # the Task
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    start_time: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class DispycosNodeAvailInfo:
    """What a node has to spare; fields but `location` are None where psutil is missing."""

    location: Location  # of the node's own process, for send_file
    cpu: float | None = None  # percent idle, 0 to 100
    memory: int | None = None  # free bytes
    disk: int | None = None  # free bytes of the partition of dest_path
    swap: int | None = None  # free bytes
    name: str = field(default="", compare=False)  # the node's name
    cpus: int = field(default=0, compare=False)  # servers in use for this client
    platform: str = field(default="", compare=False)  # platform.platform() of the node
    reason: str = field(default="", compare=False)  # why the state changed, where there is a why

    @property
    def addr(self) -> str:
        """The node's IP address."""
        return self.location.addr

    @property
    def avail_info(self) -> DispycosNodeAvailInfo:
        """This record itself (the newest pycos keeps it one attribute deeper)."""
        return self


class MonitorStatus:
    """How a task ended, as its monitors and waiters receive it.

    info   the Task.
    type   StopIteration if it returned, else the exception's class, or
           `Status.TaskAbandoned` / `Status.TaskTerminated`.
    value  the result, or the traceback text, or the reason.
    """

    __slots__ = ("info", "type", "value")

    def __init__(self, info: Any, type: Any, value: Any = None) -> None:
        self.info = info
        self.type = type
        self.value = value

    def __getattr__(self, name: str) -> Any:
        # Mostly it is what the result has, and who asks has not seen that there is none.
        if name.startswith("__") or name in MonitorStatus.__slots__:
            raise AttributeError(name)
        told = "" if self.type is StopIteration else f": {self}"
        text = (
            f"a MonitorStatus has no {name!r}, only info, type and value: it says how a task ended{told:.300}"
        )
        raise AttributeError(text, name=name, obj=self)

    def __repr__(self) -> str:
        return f"MonitorStatus({self.info!r}, {self.type!r}, {self.value!r})"

    def __str__(self) -> str:
        kind = getattr(self.type, "__name__", None) or getattr(self.type, "name", str(self.type))
        value = (str(self.value).strip().splitlines() or [""])[-1]
        # The last line of a traceback begins with the type already, and its module.
        first, colon, rest = value.partition(": ")
        if first == kind or first.endswith(f".{kind}"):
            return f"{self.info}: {kind}{colon}{rest}"
        return f"{self.info}: {kind}: {value}"

    def __getitem__(self, index: int) -> Any:
        """info, type, value: older programs take it for a tuple (CO-08)."""
        return (self.info, self.type, self.value)[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MonitorStatus):
            return NotImplemented
        return (self.info, self.type, self.value) == (other.info, other.type, other.value)

    __hash__ = None  # type: ignore[assignment]  # holds user values, which may be unhashable

    def __reduce__(self) -> tuple[type[MonitorStatus], tuple[Any, Any, Any]]:
        return (MonitorStatus, (self.info, self.type, self.value))
