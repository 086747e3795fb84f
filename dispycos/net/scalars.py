"""Single values in control messages: numbers, texts, ids, enums, locations; exact types only (SE-23).

What a Kind is, and what stands in a message beside its head. `RemoteProtocolError` names the
field and never shows a value. Pure: no I/O, clock or randomness. Rule N6.
"""

from __future__ import annotations

import enum
import functools
import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import field
from operator import attrgetter
from typing import Any, NoReturn

from dispycos.config import Limits
from dispycos.errors import MessageTooLarge, RemoteProtocolError
from dispycos.model import MAX_ADDRESSES, Buffer, Location
from dispycos.records import record
from dispycos.wording import clip

LIMITS = Limits()  # of them only config.WIRE_LIMITS, which no process may change
INT_MAX = (1 << 63) - 1


# Texts of these names are names (SE-27); reasons are clipped by the sender, names are not.
_NAMES = frozenset({"Introduction.name", "Introduction.python", "Introduction.release", "NodeFacts.name"})
_NAMES |= {"NodeFacts.platform", "NodeFacts.python", "Schedule.name", "ServerReady.name", "Rule.node"}
_NAMES |= {"Locate.name", "Located.name", "Rule.platform"}
# Of these, what anybody may see in a log or a terminal as it is.
_SHOWN = frozenset({"Introduction.name", "NodeFacts.name", "Schedule.name"})
_CLIPPED = frozenset({"reason", "text"})


class Out:
    """What one message has to attach."""

    __slots__ = ("attachments", "inline")

    def __init__(self, inline: int) -> None:
        self.attachments: list[Buffer] = []
        self.inline = inline  # payloads below this many bytes stay in the head


class In:
    """The attachments of a received message, taken in order."""

    __slots__ = ("at", "count", "tail")

    def __init__(self, tail: memoryview) -> None:
        self.tail = tail
        self.at = 0
        self.count = 0

    def take(self, length: Any) -> memoryview:
        if type(length) is not int or length < 0:
            refuse("attachment", "length expected")
        start, self.at = self.at, self.at + length
        self.count += 1
        if self.at > len(self.tail) or self.count > LIMITS.max_buffers:
            refuse("attachments", "more than the message has, or than max_buffers")
        return self.tail[start : self.at]


@record
class Kind:
    """How values of one type travel.

    passes  Python source, with `{}` for a received value: whether `passed` is what it stands for;
            `take` is called only if it is not, or if `passes` is "".
    leaves  the same of a value that is sent, for `left` and `put`.
    names   what the sources use beside `came`, `out` and builtins.
    """

    take: Callable[[Any, In], Any]
    put: Callable[[Any, Out], Any] | None = None  # None: travels as it is
    passes: str = ""
    passed: str = "{}"
    leaves: str = ""
    left: str = "{}"
    names: dict[str, Any] = field(default_factory=dict)


def refuse(where: str, why: str) -> NoReturn:
    raise RemoteProtocolError(f"{where}: {why}")


def size_of(part: Buffer) -> int:
    return len(part) if type(part) is bytes else memoryview(part).nbytes


# Simple types.


def exactly(kind: type[Any], where: str) -> Kind:
    expected = f"{kind.__name__} expected"

    def take(value: Any, came: In) -> Any:
        if type(value) is not kind:
            refuse(where, expected)
        return value

    return Kind(take, passes=f"type({{}}) is {kind.__name__}")


def int_(where: str, least: int = 0) -> Kind:
    expected = f"int from {least} to {INT_MAX} expected"

    def take(value: Any, came: In) -> int:
        if type(value) is not int or not least <= value <= INT_MAX:
            refuse(where, expected)
        return value

    return Kind(take, passes=f"type({{}}) is int and {least} <= {{}} <= {INT_MAX}")


# Whether a float is finite: no comparison holds for a NaN, and the literals are infinite.
_FINITE = "type({}) is float and -1e999 < {} < 1e999"


def float_(where: str) -> Kind:
    def take(value: Any, came: In) -> float:
        if type(value) is not float or not math.isfinite(value):
            refuse(where, "finite float expected")
        return value

    def put(value: float, out: Out) -> float:
        if not math.isfinite(value):
            raise ValueError(f"{where}: a finite number is needed, not {value!r}")
        return float(value)

    return Kind(take, put, _FINITE, leaves=_FINITE)


def text_(where: str) -> Kind:
    name = where.rpartition(".")[2]
    chars = LIMITS.max_text_bytes
    if name == "reason":
        chars = LIMITS.max_reason_chars
    elif where in _NAMES:
        chars = LIMITS.max_name_chars
    # msgpack itself holds texts to max_text_bytes; no character takes more than 4 bytes.
    safe = min(chars, LIMITS.max_text_bytes // 4)

    def take(value: Any, came: In) -> str:
        if type(value) is not str or len(value) > chars:
            refuse(where, f"text of at most {chars} expected")
        if where in _SHOWN and not value.isprintable():
            refuse(where, "a name that can be read in a line expected")
        return value

    def put(value: str, out: Out) -> str:
        if len(value) <= safe:
            return value
        if name in _CLIPPED:
            value = clip(value, chars, LIMITS.max_text_bytes)
        size = len(value.encode(errors="backslashreplace"))
        if len(value) > chars or size > LIMITS.max_text_bytes:
            raise MessageTooLarge(f"{where}: text of {len(value)} characters exceeds {chars}")
        return value

    return Kind(take, put, f"type({{}}) is str and len({{}}) <= {chars}", leaves=f"len({{}}) <= {safe}")


def bytes_(where: str, length: int | None) -> Kind:
    top = LIMITS.max_text_bytes if length is None else length

    def take(value: Any, came: In) -> bytes:
        if type(value) is not bytes or len(value) > top or len(value) < (length or 0):
            refuse(where, f"{'at most ' if length is None else ''}{top} bytes expected")
        return value

    passes = f"type({{}}) is bytes and len({{}}) {f'<= {top}' if length is None else f'== {length}'}"
    return Kind(take, passes=passes)


def enum_(where: str, kind: type[enum.Enum]) -> Kind:
    top = sum(member.value for member in kind) if issubclass(kind, enum.Flag) else -1
    members = {member.value: member for member in kind}

    def take(value: Any, came: In) -> enum.Enum:
        if type(value) is int and 0 <= value <= top:
            return kind(value)
        refuse(where, f"no {kind.__name__} has this number")

    name = f"members_of_{kind.__name__}"
    known = f"type({{}}) is int and {{}} in {name}"
    return Kind(take, passes=known, passed=f"{name}[{{}}]", names={name: members})


# An IPv6 address may carry a zone; Location must not ask a name server for what a peer says.
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}(%[0-9A-Za-z_.-]{1,32})?")


@functools.lru_cache(maxsize=4096)
def _location(addr: str, port: int, *others: str) -> Location | None:
    addresses = (addr, *others)
    try:
        if all(_ADDRESS.fullmatch(one) and str(ipaddress.ip_address(one)) == one for one in addresses):
            location = Location(addr, port, others)
            return location if location.addresses == addresses else None
    except ValueError:
        pass
    return None


def locations(where: str) -> Kind:
    pair = attrgetter("addr", "port")
    shapes = {(str, int) + (str,) * count for count in range(MAX_ADDRESSES)}

    def take(value: Any, came: In) -> Location:
        # Further addresses follow the port, so the usual one is short.
        if type(value) is tuple and tuple(map(type, value)) in shapes:
            location = _location(*value)
            if location is not None:
                return location
        refuse(where, "[address, port, other addresses...] expected")

    def put(value: Location, out: Out) -> tuple[Any, ...]:
        return (*pair(value), *value.others) if value.others else pair(value)

    return Kind(take, put)
