"""Datagrams of discovery: one record of fixed size, and what may come of it.

A datagram is a hint to dial, nothing more (N9). It tells who looks for whom, and where the
sender listens; it never changes or ends anything that exists. Whatever is wrong with one,
the answer is nothing but a count. A Watch guards one process against forged, repeated and
too many of them.

Pure: time, the wall clock and random bytes are arguments. Requirements SE-28 to SE-32.
"""

from __future__ import annotations

import enum
import hmac
import ipaddress
import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from dispycos.config import Limits
from dispycos.errors import LocalProtocolError
from dispycos.model import MAX_ADDRESSES, Incarnation, Location, Role
from dispycos.net.keys import TAG_BYTES, MacKey
from dispycos.net.packing import KNOWN_ROLES, pack_address, unpack_address
from dispycos.records import record

MAGIC: Final = b"\xd5ispydgm"
VERSION: Final = 1
NONCE_BYTES: Final = 16

# magic, version, kind, role, sought roles, port, incarnation, wall clock, random, echo,
# number of addresses, addresses; then the tag. Every record has this one size, so that an
# answer is never longer than its question (SE-31).
RECORD: Final = struct.Struct(f"!8sBBHHH16sQ16s16sB{16 * MAX_ADDRESSES}s")
DATAGRAM_BYTES: Final = RECORD.size + TAG_BYTES

_EVERYBODY: Final = ipaddress.IPv4Address("255.255.255.255")
_NO_ECHO: Final = bytes(NONCE_BYTES)
_LOG_AGAIN: Final = 600.0  # seconds between two log lines about one source (SE-32)
_MAX_LINES: Final = 20  # in that time about all sources, for a source is easily forged
_UNPRIVILEGED_PORT: Final = 1024  # a lower one is not dialled unless configured (SE-29)


class DatagramKind(enum.IntEnum):
    """What a datagram says."""

    SEEK = 1  # I look for peers with one of these roles
    HERE = 2  # I am here; answers a SEEK, or is said unasked


@record
class Record:
    """The content of a datagram; nothing in it but numbers."""

    kind: DatagramKind
    role: Role  # of the sender
    sought: Role  # roles a SEEK looks for; 0 in HERE
    incarnation: Incarnation
    port: int  # TCP port where the sender listens; 0: nowhere
    addresses: tuple[str, ...]  # where it says it listens, numeric; at most 4
    time: int  # seconds since the epoch, by the sender's wall clock
    nonce: bytes  # 16 random bytes
    echo: bytes = _NO_ECHO  # nonce of the SEEK that this answers; zeros: none

    def encode(self, key: MacKey) -> bytes:
        """The datagram, with its tag."""
        if len(self.addresses) > MAX_ADDRESSES:
            raise LocalProtocolError(
                f"{len(self.addresses)} addresses exceed the {MAX_ADDRESSES} of a datagram"
            )
        body = RECORD.pack(
            MAGIC,
            VERSION,
            self.kind,
            int(self.role),
            int(self.sought),
            self.port,
            self.incarnation,
            self.time,
            self.nonce,
            self.echo,
            len(self.addresses),
            b"".join(pack_address(address) for address in self.addresses),
        )
        return body + key.tag(body, b"")


@record
class Dropped:
    """Nothing comes of the datagram."""

    reason: str  # size, magic, key, version, malformed, self, stale or repeated
    log: bool = False  # worth a line: another key, the first time in ten minutes


@record
class Heard:
    """An authentic, new datagram."""

    record: Record
    fresh: bool  # False: its clock is off; a SEEK may be answered, but leads to no dial


Verdict: TypeAlias = Dropped | Heard


class Watch:
    """What one process remembers of the datagrams it sent and received. All of it is bounded."""

    __slots__ = (
        "_answers",
        "_asked",
        "_dials",
        "_incarnation",
        "_keys",
        "_limits",
        "_lines",
        "_seen",
        "_sources",
        "counts",
    )

    def __init__(
        self, keys: Callable[[], Sequence[MacKey]], incarnation: Incarnation, limits: Limits
    ) -> None:
        """`keys`: `Keyring.discovery_keys`, the first to send with, all to accept; they may change."""
        if not keys():
            raise LocalProtocolError("discovery needs the cluster's key")
        self._keys = keys
        self._incarnation = incarnation
        self._limits = limits
        self._seen: OrderedDict[bytes, None] = OrderedDict()  # tags; oldest goes, datagram_cache
        self._asked: OrderedDict[bytes, float] = OrderedDict()  # our nonces; oldest goes, the same
        self._sources: OrderedDict[str, _Source] = OrderedDict()  # oldest goes, max_datagram_sources
        self._answers: deque[float] = deque(maxlen=limits.max_answers_per_second)  # times
        self._dials: deque[float] = deque(maxlen=limits.max_dials_per_second)  # times
        self._lines: deque[float] = deque(maxlen=_MAX_LINES)  # times
        self.counts: dict[str, int] = {}  # datagrams by what came of them; nine words

    # Sending.

    def seek(self, record: Record, now: float) -> bytes:
        """The datagram of a SEEK, whose answers will be recognised for `datagram_valid` seconds."""
        self._asked[record.nonce] = now
        if len(self._asked) > self._limits.datagram_cache:
            self._asked.popitem(last=False)
        return record.encode(self._keys()[0])

    def here(self, record: Record) -> bytes:
        """The datagram of a HERE."""
        return record.encode(self._keys()[0])

    # Receiving.

    def received(self, data: bytes, source: str, now: float, wall: float) -> Verdict:
        """Judge one datagram.

        source  address it came from, as text; may be forged.
        now     monotonic seconds.
        wall    seconds since the epoch.
        """
        verdict = self._judge(data, source, now, wall)
        word = verdict.reason if isinstance(verdict, Dropped) else verdict.record.kind.name
        self.counts[word] = self.counts.get(word, 0) + 1
        return verdict

    def _judge(self, data: bytes, source: str, now: float, wall: float) -> Verdict:
        if len(data) != DATAGRAM_BYTES:
            return self._drop("size", source, now)
        if not data.startswith(MAGIC):
            return self._drop("magic", source, now)
        body, tag = data[:-TAG_BYTES], data[-TAG_BYTES:]
        if not any(hmac.compare_digest(key.tag(body, b""), tag) for key in self._keys()):
            return self._drop("key", source, now)
        # Authentic from here on: another process of this cluster made it, at some time.
        record = _decode(body)
        if isinstance(record, str):
            return self._drop(record, source, now)
        if record.incarnation == self._incarnation:
            return Dropped("self")
        if tag in self._seen:
            return self._drop("repeated", source, now)
        echoes = self._echoes(record.echo, now)
        fresh = echoes or abs(wall - record.time) <= self._limits.datagram_valid
        if not fresh and record.kind is not DatagramKind.SEEK:
            return self._drop("stale", source, now)
        self._seen[tag] = None
        if len(self._seen) > self._limits.datagram_cache:
            self._seen.popitem(last=False)
        return Heard(record, fresh)

    def _echoes(self, echo: bytes, now: float) -> bool:
        asked = self._asked.get(echo)
        return asked is not None and now - asked <= self._limits.datagram_valid

    def _drop(self, reason: str, source: str, now: float) -> Dropped:
        known = self._source(source)
        known.dropped += 1
        lines = self._lines
        log = reason == "key" and now >= known.log_after
        if log and len(lines) == _MAX_LINES and now - lines[0] < _LOG_AGAIN:
            log = False
        if log:
            known.log_after = now + _LOG_AGAIN
            lines.append(now)
        return Dropped(reason, log)

    def _source(self, source: str) -> _Source:
        known = self._sources.get(source)
        if known is None:
            known = self._sources[source] = _Source(self._limits.max_answers_per_source)
            if len(self._sources) > self._limits.max_datagram_sources:
                self._sources.popitem(last=False)
        return known

    def dropped(self, source: str) -> int:
        """Datagrams of that source that came to nothing."""
        known = self._sources.get(source)
        return known.dropped if known else 0

    # What may come of one.

    def may_answer(self, source: str, now: float) -> bool:
        """Whether one more answer may go to this source; counts it if so (SE-31)."""
        mine = self._source(source).answers
        if _full(mine, now) or _full(self._answers, now):
            return False
        mine.append(now)
        self._answers.append(now)
        return True

    def may_dial(self, now: float) -> bool:
        """Whether one more dial may follow from a datagram; counts it if so (SE-29)."""
        if _full(self._dials, now):
            return False
        self._dials.append(now)
        return True

    def check(self) -> None:
        """Assert the bounds."""
        limits = self._limits
        assert len(self._seen) <= limits.datagram_cache
        assert len(self._asked) <= limits.datagram_cache
        assert len(self._sources) <= limits.max_datagram_sources


class _Source:
    """What is counted of one source."""

    __slots__ = ("answers", "dropped", "log_after")

    def __init__(self, max_answers: int) -> None:
        self.dropped = 0
        self.log_after = float("-inf")
        self.answers: deque[float] = deque(maxlen=max_answers)  # times


def _full(times: deque[float], now: float) -> bool:
    # A deque of n times: n things happened within the last second.
    return len(times) == times.maxlen and now - times[0] < 1.0


def is_one_host(address: str, broadcasts: Collection[str] = ()) -> bool:
    """Whether what is sent there goes to one host: an answer must not go to many (SE-31)."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (ip.is_multicast or ip.is_unspecified or address in broadcasts or ip == _EVERYBODY)


def dial_address(
    record: Record,
    source: str,
    ours: Collection[Location],
    *,
    broadcasts: Collection[str] = (),
    low_ports: bool = False,
) -> Location | None:
    """The one location that a datagram makes worth dialling, or None (SE-29).

    The source if it is among the claimed addresses, else the first claimed one that can be
    dialled, else the source.

    ours        where this process listens.
    broadcasts  addresses of that kind on our networks.
    low_ports   ports under 1024 were configured.
    """
    if not record.port or (record.port < _UNPRIVILEGED_PORT and not low_ports):
        return None
    candidates = [source] if source in record.addresses else [*record.addresses, source]
    for address in candidates:
        if not _worth_dialling(address, source, broadcasts):
            continue
        location = Location(address, record.port)
        if location not in ours:
            return location
    return None


def _worth_dialling(address: str, source: str, broadcasts: Collection[str]) -> bool:
    try:
        ip = ipaddress.ip_address(address)
        came_from = ipaddress.ip_address(source)
    except ValueError:
        return False
    if not is_one_host(address, broadcasts):
        return False
    if isinstance(ip, ipaddress.IPv4Address) and (ip.is_reserved or ip.packed[0] == 0):
        return False
    # A loopback address means somebody only to who is on that host; 127.0.1.1 is what many
    # hosts take their own name for.
    if ip.is_loopback:
        return came_from.is_loopback
    scope = getattr(ip, "scope_id", None)
    return not (ip.version == 6 and ip.is_link_local and scope is None)


def _decode(body: bytes) -> Record | str:
    (_, version, kind, role, sought, port, incarnation, time, nonce, echo, count, addresses) = RECORD.unpack(
        body
    )
    if version != VERSION:
        return "version"
    if (
        kind not in (DatagramKind.SEEK, DatagramKind.HERE)
        or not role
        or (role | sought) & ~KNOWN_ROLES
        or bool(sought) != (kind == DatagramKind.SEEK)
        or count > MAX_ADDRESSES
        or not any(incarnation)
        or not any(nonce)
    ):
        return "malformed"
    return Record(
        kind=DatagramKind(kind),
        role=Role(role),
        sought=Role(sought),
        incarnation=Incarnation(incarnation),
        port=port,
        addresses=tuple(unpack_address(addresses[16 * i : 16 * i + 16]) for i in range(count)),
        time=time,
        nonce=nonce,
        echo=echo,
    )
