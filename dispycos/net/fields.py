"""How the fields of control messages travel, by their type.

    record      array of its fields           Location   [address, port, other addresses...]
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
import types
import typing
from collections.abc import Callable
from typing import Any

from dispycos.model import CodeHash, Incarnation, Location, Payload
from dispycos.net.scalars import (
    In,
    Kind,
    Out,
    bytes_,
    enum_,
    exactly,
    float_,
    int_,
    locations,
    refuse,
    size_of,
    text_,
)
from dispycos.records import told
from dispycos.written import write

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

    small = "type({}.data) is bytes and len({}.data) < out.inline and not {}.buffers"
    return Kind(take, _attach, leaves=small, left="{}.data")


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
    if inner.put is None:
        return Kind(inner.take, None, *_or_none(inner.passes, inner.passed), names=inner.names)
    received, sent = _or_none(inner.passes, inner.passed), _or_none(inner.leaves, inner.left)
    return Kind(inner.take, inner.put, *received, *sent, inner.names)


def _or_none(test: str, value: str) -> tuple[str, str]:
    if not test:
        return "{} is None", "{}"
    return f"{{}} is None or ({test})", value if value == "{}" else f"(None if {{}} is None else {value})"


def _list(where: str, inner: Kind) -> Kind:
    names = {"take_one": inner.take, "put_one": inner.put, "refuse": refuse, **inner.names}
    source = [
        "def take(value, came):",
        f"    if type(value) is not tuple: refuse({where!r}, 'array expected')",
        f"    return [{_received(inner, 'item', 'take_one')} for item in value]",
        "def put(value, out):",
        f"    return [{_sent(inner, 'item', 'put_one')} for item in value]",
    ]
    write(source, f"how {where} travels", names)
    # What msgpack may pack as it stands is not copied.
    return Kind(names["take"], names["put"] if inner.put is not None else None)


def record(cls: type[Any]) -> Kind:
    """How records of this dataclass travel; compiled once."""
    if cls not in _records:
        _records[cls] = _compiled(cls)
    return _records[cls]


_records: dict[type[Any], Kind] = {}


def _compiled(cls: type[Any]) -> Kind:
    """Write the two functions of a record.

    One task is one record each way: a loop over the fields, with a call for each, would cost
    several times as much.
    """
    hints = typing.get_type_hints(cls)
    names: dict[str, Any] = {"cls": cls, "new": object.__new__, "refuse": refuse}
    named, filled, sent, row = [], [], [], []
    for index, (name, item) in enumerate(told(cls).items()):
        least = item.default if type(item.default) is int and item.default < 0 else 0
        kind = _kind(hints[name], f"{cls.__name__}.{name}", least)
        # Filling slots needs no constructor, and no defaults.
        names |= {f"fill{index}": vars(cls)[name].__set__, f"take{index}": kind.take}
        names |= {f"put{index}": kind.put, **kind.names}
        value = f"v{index}"
        named.append(f"{value}, ")
        filled.append(f"    fill{index}(record, {_received(kind, value, f'take{index}')})")
        sent.append(f"    {value} = record.{name}")
        row.append(value if kind.put is None else _sent(kind, value, f"put{index}"))
    width = len(named)
    source = [
        "def take(row, came):",
        f"    if type(row) is not tuple or len(row) != {width}:",
        f"        refuse({cls.__name__!r}, 'array of {width} expected')",
        f"    {''.join(named)} = row" if named else "    pass",
        "    record = new(cls)",
        *filled,
        "    return record",
        "def put(record, out):",
        *sent,
        f"    return ({''.join(f'{value}, ' for value in row)})",
    ]
    write(source, f"how {cls.__name__} travels", names)
    return Kind(names["take"], names["put"])


def _received(kind: Kind, value: str, take: str) -> str:
    """The source of what a received value stands for."""
    return _either(kind.passes, kind.passed, f"{take}({{}}, came)").replace("{}", value)


def _sent(kind: Kind, value: str, put: str) -> str:
    """The source of what is sent for a value."""
    return _either(kind.leaves, kind.left, f"{put}({{}}, out)").replace("{}", value)


def _either(test: str, value: str, call: str) -> str:
    return f"({value} if {test} else {call})" if test else call


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
    if isinstance(hint, type) and told(hint):
        return record(hint)
    raise TypeError(f"{where}: no way to send {hint!r}")
