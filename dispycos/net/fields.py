"""How the fields of control messages travel, by their type.

    record      array of its fields           Location   [address, port]
    enum        its int                       float      msgpack float, finite
    X | None    nil or X                      int        0 to 2**63 - 1
    Payload     bin, if it is small and has no buffers; else
                [bin or length, [length, ...]]: each length is one attachment, in order

Nothing else is accepted (SE-23): exact types, no missing or further field, no map, no
extension. `RemoteProtocolError` names the field and never shows a value. Each type is
compiled once into functions that put values into a message and take them out.

Pure: no I/O, clock or randomness. Rule N6.
"""

from __future__ import annotations

import enum
import functools
import ipaddress
import itertools
import math
import re
import types
import typing
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, NoReturn

from dispycos.config import Limits
from dispycos.errors import MessageTooLarge, RemoteProtocolError
from dispycos.model import Buffer, CodeHash, Incarnation, Location, Payload

LIMITS = Limits()
INT_MAX = (1 << 63) - 1
ID_BYTES = 16  # of an Incarnation or a CodeHash

# Texts of these names are names (SE-27); reasons are clipped by the sender, names are not.
_NAMES = frozenset({"Introduction.name", "Introduction.python", "Introduction.release", "NodeFacts.name"})
_NAMES |= {"NodeFacts.platform", "NodeFacts.python", "Schedule.name", "ServerReady.name", "Rule.node"}
_NAMES |= {"Locate.name", "Located.name", "Rule.platform"}
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


@dataclass(frozen=True, slots=True)
class Kind:
    """How values of one type travel. Columns are all values of one field in a list of records."""

    take: Callable[[Any, In], Any]
    takes: Callable[[Sequence[Any], In], Sequence[Any]]
    put: Callable[[Any, Out], Any] | None = None  # None: travels as it is
    puts: Callable[[Sequence[Any], Out], Sequence[Any]] | None = None
    attaches: int = 0  # fields with attachments inside


def refuse(where: str, why: str) -> NoReturn:
    raise RemoteProtocolError(f"{where}: {why}")


def size_of(part: Buffer) -> int:
    return len(part) if type(part) is bytes else memoryview(part).nbytes


# Simple types.


def _exactly(kind: type[Any], where: str) -> Kind:
    expected = f"{kind.__name__} expected"

    def take(value: Any, came: In) -> Any:
        if type(value) is not kind:
            refuse(where, expected)
        return value

    def takes(values: Sequence[Any], came: In) -> Sequence[Any]:
        if set(map(type, values)) - {kind}:
            refuse(where, expected)
        return values

    return Kind(take, takes)


def _int(where: str, top: int = INT_MAX) -> Kind:
    expected = f"int from 0 to {top} expected"

    def take(value: Any, came: In) -> int:
        if type(value) is not int or not 0 <= value <= top:
            refuse(where, expected)
        return value

    def takes(values: Sequence[Any], came: In) -> Sequence[int]:
        if values and (set(map(type, values)) != {int} or min(values) < 0 or max(values) > top):
            refuse(where, expected)
        return values

    return Kind(take, takes)


def _float(where: str) -> Kind:
    def take(value: Any, came: In) -> float:
        if type(value) is not float or not math.isfinite(value):
            refuse(where, "finite float expected")
        return value

    def takes(values: Sequence[Any], came: In) -> Sequence[float]:
        if values and (set(map(type, values)) != {float} or not all(map(math.isfinite, values))):
            refuse(where, "finite float expected")
        return values

    def put(value: float, out: Out) -> float:
        if not math.isfinite(value):
            raise ValueError(f"{where}: a finite number is needed, not {value!r}")
        return float(value)

    def puts(values: Sequence[float], out: Out) -> Sequence[float]:
        if all(map(math.isfinite, values)):
            return list(map(float, values))
        return [put(value, out) for value in values]

    return Kind(take, takes, put, puts)


def _text(where: str) -> Kind:
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

    def puts(values: Sequence[str], out: Out) -> Sequence[str]:
        if not values or max(map(len, values)) <= safe:
            return values
        return [put(value, out) for value in values]

    return Kind(take, _each(take), put, puts)


def clip(text: str, chars: int, size: int = LIMITS.max_text_bytes) -> str:
    """The text, or its beginning and end if it is longer than `chars` or `size` bytes."""
    if len(text) <= chars and len(text.encode(errors="backslashreplace")) <= size:
        return text
    gap = "\n...\n"
    # Ten bytes is what a character takes at most, as an escape.
    keep = max(min(chars, size // 10) - len(gap), 0) if not text.isascii() else min(chars, size) - len(gap)
    return text[: keep // 2] + gap + text[len(text) - (keep - keep // 2) :]


def _bytes(where: str, length: int | None) -> Kind:
    top = LIMITS.max_text_bytes if length is None else length

    def take(value: Any, came: In) -> bytes:
        if type(value) is not bytes or len(value) > top or len(value) < (length or 0):
            refuse(where, f"{'at most ' if length is None else ''}{top} bytes expected")
        return value

    def takes(values: Sequence[Any], came: In) -> Sequence[bytes]:
        if length is None:
            return [take(value, came) for value in values]
        if values and (set(map(type, values)) != {bytes} or set(map(len, values)) != {length}):
            refuse(where, f"{length} bytes expected")
        return values

    return Kind(take, takes)


def _enum(where: str, kind: type[enum.Enum]) -> Kind:
    top = sum(member.value for member in kind) if issubclass(kind, enum.Flag) else -1
    members = {member.value: member for member in kind}

    def take(value: Any, came: In) -> enum.Enum:
        if type(value) is int:
            if value in members:
                return members[value]
            if 0 <= value <= top:
                return kind(value)
        refuse(where, f"no {kind.__name__} has this number")

    return Kind(take, _each(take))


# An IPv6 address may carry a zone; Location must not ask a name server for what a peer says.
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}(%[0-9A-Za-z_.-]{1,32})?")


@functools.lru_cache(maxsize=4096)
def _location(addr: str, port: int) -> Location | None:
    try:
        if _ADDRESS.fullmatch(addr) and str(ipaddress.ip_address(addr)) == addr:
            return Location(addr, port)
    except ValueError:
        pass
    return None


def _locations(where: str) -> Kind:
    pair = attrgetter("addr", "port")

    def take(value: Any, came: In) -> Location:
        if type(value) is tuple and len(value) == 2 and type(value[0]) is str and type(value[1]) is int:
            location = _location(*value)
            if location is not None:
                return location
        refuse(where, "[address, port] expected")

    def put(value: Location, out: Out) -> tuple[str, int]:
        return pair(value)

    return Kind(take, _each(take), put, _each(put))


def _payload(where: str) -> Kind:
    new = object.__new__
    set_data = vars(Payload)["data"].__set__
    set_buffers = vars(Payload)["buffers"].__set__

    def take(value: Any, came: In) -> Payload:
        payload = new(Payload)
        if type(value) is bytes:
            set_data(payload, value)
            set_buffers(payload, ())
            return payload
        if type(value) is not tuple or len(value) != 2 or type(value[1]) is not tuple:
            refuse(where, "payload expected")
        data, lengths = value
        if type(data) is bytes and not lengths:
            refuse(where, "payload in an array without attachments")
        set_data(payload, data if type(data) is bytes else came.take(data))
        set_buffers(payload, tuple([came.take(length) for length in lengths]))
        return payload

    def put(value: Payload, out: Out) -> Any:
        data = value.data
        if type(data) is bytes and len(data) < out.inline and not value.buffers:
            return data
        return _attach(value, out)

    def takes(values: Sequence[Any], came: In) -> Sequence[Payload]:
        if values and set(map(type, values)) != {bytes}:
            return [take(value, came) for value in values]
        payloads = list(map(new, itertools.repeat(Payload, len(values))))
        deque(map(set_data, payloads, values), 0)
        deque(map(set_buffers, payloads, itertools.repeat(())), 0)
        return payloads

    def puts(values: Sequence[Payload], out: Out) -> Sequence[Any]:
        inline = out.inline
        return [
            data
            if type(data := value.data) is bytes and len(data) < inline and not value.buffers
            else _attach(value, out)
            for value in values
        ]

    return Kind(take, takes, put, puts, 1)


def _attach(payload: Payload, out: Out) -> Any:
    data, length = payload.data, size_of(payload.data)
    inline = length < out.inline
    if not inline:
        out.attachments.append(data)
    elif type(data) is not bytes:
        data = bytes(data)
    out.attachments += payload.buffers
    if inline and not payload.buffers:
        return data
    return (data if inline else length, [size_of(buffer) for buffer in payload.buffers])


# Types made of others.


def _each(one: Callable[[Any, Any], Any]) -> Callable[[Sequence[Any], Any], Sequence[Any]]:
    def many(values: Sequence[Any], state: Any) -> Sequence[Any]:
        return [one(value, state) for value in values]

    return many


def _optional(inner: Kind) -> Kind:
    def take(value: Any, came: In) -> Any:
        return None if value is None else inner.take(value, came)

    if inner.put is None:
        return Kind(take, _each(take), attaches=inner.attaches)
    put_inner = inner.put

    def put(value: Any, out: Out) -> Any:
        return None if value is None else put_inner(value, out)

    return Kind(take, _each(take), put, _each(put), inner.attaches)


def _list(where: str, inner: Kind) -> Kind:
    def take(value: Any, came: In) -> list[Any]:
        if type(value) is not tuple:
            refuse(where, "array expected")
        return list(inner.takes(value, came))

    puts = inner.puts
    # A list that msgpack may pack as it stands.
    put = None if puts is None else lambda value, out: puts(value, out)
    return Kind(take, _each(take), put, None if put is None else _each(put), inner.attaches)


def record(cls: type[Any]) -> Kind:
    """How records of this dataclass travel; compiled once."""
    if cls not in _records:
        _records[cls] = _compiled(cls)
    return _records[cls]


_records: dict[type[Any], Kind] = {}


def _compiled(cls: type[Any]) -> Kind:
    hints = typing.get_type_hints(cls)
    names = [item.name for item in fields(cls)]
    kinds = [_kind(hints[name], f"{cls.__name__}.{name}") for name in names]
    width = len(kinds)
    expected = f"array of {width} expected"
    # Filling slots is twice as fast as the constructor of a frozen record.
    new = object.__new__
    slots = [(kind.take, vars(cls)[name].__set__) for kind, name in zip(kinds, names, strict=True)]
    getters = [attrgetter(name) for name in names]
    attaches = sum(kind.attaches for kind in kinds)
    values_of: Callable[[Any], tuple[Any, ...]] = (
        attrgetter(*names) if width > 1 else lambda v: (getters[0](v),)
    )
    putters = [(index, kind.put) for index, kind in enumerate(kinds) if kind.put is not None]

    def take(row: Any, came: In) -> Any:
        if type(row) is not tuple or len(row) != width:
            refuse(cls.__name__, expected)
        filled = new(cls)
        for (taker, fill), value in zip(slots, row, strict=True):
            fill(filled, taker(value, came))
        return filled

    def put(value: Any, out: Out) -> Sequence[Any]:
        if not putters:
            return values_of(value)
        row = list(values_of(value))
        for index, putter in putters:
            row[index] = putter(row[index], out)
        return row

    # Column by column most checks of a whole list are one call in C. The order of attachments
    # is that of the records only while no record has two fields that attach.
    def takes(rows: Sequence[Any], came: In) -> Sequence[Any]:
        if not rows:
            return rows
        if set(map(type, rows)) != {tuple} or set(map(len, rows)) != {width}:
            refuse(cls.__name__, expected)
        columns = zip(*rows, strict=True)
        return list(
            map(cls, *[kind.takes(column, came) for kind, column in zip(kinds, columns, strict=True)])
        )

    def puts(values: Sequence[Any], out: Out) -> Sequence[Any]:
        columns: list[Any] = []
        for getter, kind in zip(getters, kinds, strict=True):
            column = list(map(getter, values))
            columns.append(column if kind.puts is None else kind.puts(column, out))
        return list(zip(*columns, strict=True))

    if attaches > 1:
        return Kind(take, _each(take), put, _each(put), attaches)
    return Kind(take, takes, put, puts, attaches)


def _kind(hint: Any, where: str) -> Kind:
    origin = typing.get_origin(hint)
    if origin is types.UnionType or origin is typing.Union:
        (inner,) = [part for part in typing.get_args(hint) if part is not types.NoneType]
        return _optional(_kind(inner, where))
    if origin is list:
        return _list(where, _kind(typing.get_args(hint)[0], where))
    if hint is Incarnation or hint is CodeHash:
        return _bytes(where, ID_BYTES)
    if hint is bool:
        return _exactly(bool, where)
    simple: dict[Any, Callable[[str], Kind]] = {int: _int, float: _float, str: _text}
    simple |= {Location: _locations, Payload: _payload}
    if hint in simple:
        return simple[hint](where)
    if hint is bytes:
        return _bytes(where, None)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum(where, hint)
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return record(hint)
    raise TypeError(f"{where}: no way to send {hint!r}")
