"""Control messages as msgpack.

A message is a *head*, the msgpack array [number, field, field, ...] in the order of the
dataclass, and *attachments*: the large parts of its Payloads, which follow the head as
they are and are never joined or copied. How each type of field travels, and what is
refused, stands in `net.fields`.

Pure: no I/O, clock or randomness. Must not import pickle (SE-24). Rule N6.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import msgpack

from dispycos.errors import MessageTooLarge, RemoteProtocolError
from dispycos.messages import NUMBERS, Message
from dispycos.model import Buffer
from dispycos.net.fields import record
from dispycos.net.scalars import LIMITS, In, Out, refuse


def encode(message: Message) -> tuple[bytes, list[Buffer]]:
    """Turn a message into its head and attachments.

    MessageTooLarge if the head or the number of attachments exceeds its limit: nothing was
    sent, and whoever batched the records sends fewer at a time. How large a whole message may
    be is the session's to know.
    """
    entry = _sent.get(type(message)) or _how_sent(type(message))
    # Many small payloads can make a head too long; then they are attached too.
    for inline in (LIMITS.out_of_band_bytes, 512):
        out = Out(inline)
        row = (entry[0], *entry[1](message, out))
        head = _pack(row)
        if len(head) <= LIMITS.max_control_bytes:
            break
    else:
        _too_large(type(message), "control part", len(head), "max_control_bytes", LIMITS.max_control_bytes)
    if len(head) > LIMITS.max_elements and (count := _elements(row)) > LIMITS.max_elements:
        _too_large(type(message), "count of elements", count, "max_elements", LIMITS.max_elements)
    attachments = out.attachments
    if attachments and len(attachments) > LIMITS.max_buffers:
        _too_large(type(message), "count of buffers", len(attachments), "max_buffers", LIMITS.max_buffers)
    return head, attachments


def decode(head: Buffer, tail: memoryview) -> Message:
    """Turn a head and the bytes that followed it into the message, or raise RemoteProtocolError.

    tail  all attachments in one; the message's Payloads refer to parts of it.
    """
    if len(head) > LIMITS.max_control_bytes:
        refuse("head", "longer than max_control_bytes")
    try:
        row = _unpack(head)
    except (ValueError, TypeError, msgpack.UnpackException) as exc:
        # Its texts may quote the input; the kind of error is enough.
        raise RemoteProtocolError(f"head is no msgpack that we accept ({type(exc).__name__})") from None
    if type(row) is not tuple or not row or type(row[0]) is not int:
        refuse("head", "array with a number expected")
    take = _taken.get(row[0]) or _how_taken(row[0])
    came = In(tail if tail.itemsize == 1 else tail.cast("B"))
    message = take(row[1:], came)
    if came.at != len(came.tail):
        refuse("attachments", f"{len(came.tail) - came.at} bytes belong to no field")
    if len(head) > LIMITS.max_elements and _elements(row) > LIMITS.max_elements:
        refuse("head", "more than max_elements")
    return message


def _too_large(what: type[Any], part: str, size: int, name: str, limit: int) -> NoReturn:
    raise MessageTooLarge(f"{what.__name__}: {part} of {size} exceeds {name}={limit}")


def _elements(row: Sequence[Any]) -> int:
    return len(row) + sum(_elements(item) for item in row if isinstance(item, tuple | list))


# msgpack. Packers have a buffer of their own and serve one thread at a time: a small pool.

_unpack = functools.partial(
    msgpack.unpackb,
    use_list=False,
    raw=False,
    strict_map_key=True,
    ext_hook=lambda code, data: refuse("head", "extension type"),
    max_str_len=LIMITS.max_text_bytes,
    max_bin_len=LIMITS.max_control_bytes,
    max_array_len=LIMITS.max_elements,
    max_map_len=0,
    max_ext_len=0,
)
_packers: deque[Any] = deque(maxlen=16)


def _pack(row: tuple[Any, ...]) -> bytes:
    try:
        packer = _packers.pop()
    except IndexError:
        packer = msgpack.Packer(use_bin_type=True)
    try:
        head: bytes = packer.pack(row)
    except UnicodeEncodeError:
        # Lone surrogates, as in undecodable file names (SE-109), travel as visible escapes.
        return msgpack.Packer(use_bin_type=True, unicode_errors="backslashreplace").pack(row)  # type: ignore[no-any-return]  # untyped
    _packers.append(packer)
    return head


# How messages travel, each compiled when the first of its kind does: a process knows 80 kinds
# and says a dozen.

_numbers = {cls: number for number, cls in NUMBERS.items()}
_sent: dict[type[Any], tuple[int, Callable[[Any, Out], Any]]] = {}
_taken: dict[int, Callable[[Any, In], Any]] = {}


def _how_sent(cls: type[Any]) -> tuple[int, Callable[[Any, Out], Any]]:
    if cls not in _numbers:
        raise TypeError(f"{cls.__name__} is no message")
    put = record(cls).put
    assert put is not None  # a record is packed as an array, whatever its fields
    return _sent.setdefault(cls, (_numbers[cls], put))


def _how_taken(number: int) -> Callable[[Any, In], Any]:
    if number not in NUMBERS:
        refuse("head", f"no message has number {number}")
    return _taken.setdefault(number, record(NUMBERS[number]).take)
