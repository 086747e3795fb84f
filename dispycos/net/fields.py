"""How the fields of control messages travel, by their type.

    record      array of its fields           Location   [address, port]
    enum        its int                       float      msgpack float, finite
    X | None    nil or X                      int        0, or a default below it, to 2**63 - 1
    Payload     bin, if it is small and has no buffers; else
                [bin or length, [length, ...]]: each length is one attachment, in order

Nothing else is accepted (SE-23): exact types, no missing or further field, no map, no
extension. `RemoteProtocolError` names the field and never shows a value. Each type is
compiled once into functions that put values into a message and take them out.

Pure: no I/O, clock or randomness. Rule N6.
"""

from __future__ import annotations

import enum
import itertools
import types
import typing
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from dispycos.model import CodeHash, Incarnation, Location, Payload
from dispycos.net.scalars import (
    In,
    Kind,
    Out,
    bytes_,
    each,
    enum_,
    exactly,
    float_,
    int_,
    locations,
    refuse,
    size_of,
    text_,
)

ID_BYTES = 16  # of an Incarnation or a CodeHash


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


def _optional(inner: Kind) -> Kind:
    def take(value: Any, came: In) -> Any:
        return None if value is None else inner.take(value, came)

    if inner.put is None:
        return Kind(take, each(take), attaches=inner.attaches)
    put_inner = inner.put

    def put(value: Any, out: Out) -> Any:
        return None if value is None else put_inner(value, out)

    return Kind(take, each(take), put, each(put), inner.attaches)


def _list(where: str, inner: Kind) -> Kind:
    def take(value: Any, came: In) -> list[Any]:
        if type(value) is not tuple:
            refuse(where, "array expected")
        return list(inner.takes(value, came))

    puts = inner.puts
    # A list that msgpack may pack as it stands.
    put = None if puts is None else lambda value, out: puts(value, out)
    return Kind(take, each(take), put, None if put is None else each(put), inner.attaches)


def record(cls: type[Any]) -> Kind:
    """How records of this dataclass travel; compiled once."""
    if cls not in _records:
        _records[cls] = _compiled(cls)
    return _records[cls]


_records: dict[type[Any], Kind] = {}


def _compiled(cls: type[Any]) -> Kind:
    hints = typing.get_type_hints(cls)
    names = [item.name for item in fields(cls)]
    least = [item.default if type(item.default) is int and item.default < 0 else 0 for item in fields(cls)]
    kinds = [
        _kind(hints[name], f"{cls.__name__}.{name}", low) for name, low in zip(names, least, strict=True)
    ]
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
        return Kind(take, each(take), put, each(put), attaches)
    return Kind(take, takes, put, puts, attaches)


def _kind(hint: Any, where: str, least: int = 0) -> Kind:
    origin = typing.get_origin(hint)
    if origin is types.UnionType or origin is typing.Union:
        (inner,) = [part for part in typing.get_args(hint) if part is not types.NoneType]
        return _optional(_kind(inner, where))
    if origin is list:
        return _list(where, _kind(typing.get_args(hint)[0], where))
    if hint is Incarnation or hint is CodeHash:
        return bytes_(where, ID_BYTES)
    if hint is int:
        return int_(where, least)
    if hint is bool:
        return exactly(bool, where)
    simple: dict[Any, Callable[[str], Kind]] = {float: float_, str: text_}
    simple |= {Location: locations, Payload: _payload}
    if hint in simple:
        return simple[hint](where)
    if hint is bytes:
        return bytes_(where, None)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return enum_(where, hint)
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return record(hint)
    raise TypeError(f"{where}: no way to send {hint!r}")
