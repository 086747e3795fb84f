"""Control messages on the wire: what goes out comes in, and nothing else does."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import math
import os
import pickle
import struct
import types
import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispycos.config import GIB, WIRE_LIMITS, Limits, of_the_wire
from dispycos.errors import MessageTooLarge, RemoteProtocolError
from dispycos.messages import (
    NUMBERS,
    Answer,
    Avail,
    Deliver,
    FileOffer,
    Goodbye,
    Introduction,
    Outcomes,
    Prepare,
    Pulse,
    Recall,
    RegisterAgain,
    Submit,
)
from dispycos.model import CodeHash, End, Incarnation, Location, Outcome, Payload, Role, TaskSpec
from dispycos.net.codec import decode, encode
from dispycos.net.session import Session

LIMITS = Limits()
NOTHING = memoryview(b"")
NUMBER = {cls: number for number, cls in NUMBERS.items()}


def wire(message: Any) -> tuple[bytes, memoryview]:
    head, attachments = encode(message)
    return head, memoryview(b"".join(bytes(part) for part in attachments))


def there_and_back(message: Any) -> Any:
    return decode(*wire(message))


# Every message, with fields drawn by their types.


def values(hint: Any) -> st.SearchStrategy[Any]:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = [part for part in typing.get_args(hint) if part is not types.NoneType]
        return st.none() | values(inner)
    if origin is list:
        return st.lists(values(typing.get_args(hint)[0]), max_size=4)
    if hint in (Incarnation, CodeHash):
        return st.binary(min_size=16, max_size=16)
    if hint is Payload:
        data = st.binary(max_size=40) | st.integers(LIMITS.out_of_band_bytes - 1, 40_000).map(bytes)
        return st.builds(Payload, data, st.lists(st.binary(max_size=9), max_size=3).map(tuple))
    if hint is Location:
        address = st.ip_addresses().map(str)
        return st.builds(Location, address, st.integers(0, 65535), st.lists(address, max_size=3))
    if hint is Role:
        return st.integers(0, 31).map(Role)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(list(hint))
    if dataclasses.is_dataclass(hint):
        return messages(typing.cast(type, hint))
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(0, 2**63 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False),
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
        bool: st.booleans(),
        bytes: st.binary(max_size=64),
    }
    return simple[hint]


def messages(cls: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls)
    return st.builds(cls, *[values(hints[field.name]) for field in dataclasses.fields(cls)])


@pytest.mark.rule("N6")
@pytest.mark.parametrize("cls", NUMBERS.values(), ids=lambda cls: cls.__name__)
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_message_comes_back_equal(cls: type, data: st.DataObject) -> None:
    message = data.draw(messages(cls))
    assert same(there_and_back(message), message)


@pytest.mark.rule("N6")
@pytest.mark.parametrize("cls", NUMBERS.values(), ids=lambda cls: cls.__name__)
def test_every_message_comes_back_with_its_defaults(cls: type) -> None:
    """A default below 0 stands for "not said"."""
    hints = typing.get_type_hints(cls)
    required = [field for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING]
    message = cls(*[plain_value(hints[field.name]) for field in required])
    assert same(there_and_back(message), message)


def plain_value(hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin is list:
        return []
    if type(None) in typing.get_args(hint):
        return None
    if hint in (Incarnation, CodeHash):
        return bytes(16)
    if hint is Payload:
        return Payload(b"")
    if hint is Location:
        return Location("127.0.0.1", 1)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return next(iter(hint))
    if dataclasses.is_dataclass(hint):
        inner = typing.get_type_hints(hint)
        return typing.cast(Any, hint)(*[plain_value(inner[field.name]) for field in dataclasses.fields(hint)])
    return hint()


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if isinstance(one, Payload):
        return bytes(one.data) == bytes(other.data) and list(map(bytes, one.buffers)) == list(
            map(bytes, other.buffers)
        )
    if type(one) is not type(other):
        return False
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Location):
        return bool(one.parts == other.parts)
    return bool(one == other)


@pytest.mark.rule("N6")
def test_small_payloads_stay_in_the_head_and_large_ones_are_attached() -> None:
    big = bytes(LIMITS.out_of_band_bytes)
    assert encode(Deliver(1, Payload(b"x" * 100)))[1] == []
    head, attachments = encode(Deliver(1, Payload(big)))
    assert len(head) < 20
    assert attachments[0] is big


@pytest.mark.rule("N6")
def test_attachments_are_parts_of_the_received_buffer() -> None:
    head, attachments = encode(Deliver(1, Payload(bytes(40_000), (b"a" * 50_000, bytearray(b"b" * 7)))))
    tail = memoryview(b"".join(attachments))
    payload = decode(head, tail).value
    assert isinstance(payload.data, memoryview)
    assert payload.data.obj is tail.obj
    assert payload.buffers[0].obj is tail.obj
    assert bytes(payload.buffers[1]) == b"b" * 7


def test_payloads_of_several_records_keep_their_order() -> None:
    tasks = [
        TaskSpec(n, 1, CodeHash(bytes(16)), Payload(bytes([n]) * 40_000, (bytes([n, 1]) * 9,)))
        for n in range(3)
    ]
    back = there_and_back(Submit(1, tasks)).tasks
    assert [bytes(task.args.data)[:1] for task in back] == [b"\0", b"\1", b"\2"]
    assert [bytes(task.args.buffers[0])[:2] for task in back] == [b"\0\1", b"\1\1", b"\2\1"]
    prepare = Prepare(1, Payload(b"c" * 40_000, (b"d",)), Payload(b"s" * 40_000), 2, True)
    assert same(there_and_back(prepare), prepare)


def test_many_middling_payloads_fit_by_being_attached() -> None:
    tasks = [TaskSpec(n, 1, CodeHash(bytes(16)), Payload(bytes(8000))) for n in range(256)]
    head, attachments = encode(Submit(1, tasks))
    assert len(head) < LIMITS.max_control_bytes
    assert len(attachments) == 256


@pytest.mark.row("SE-18")
def test_how_large_a_whole_message_may_be_is_the_session_s_to_say() -> None:
    part = memoryview(bytes(64 << 20))
    head, attachments = encode(Deliver(1, Payload(part, (part,) * 16)))
    session = Session(Incarnation(b"a" * 16), Incarnation(b"b" * 16), Limits())
    with pytest.raises(MessageTooLarge, match="max_message_bytes=1073741824"):
        session.send(head, attachments)
    wider = replace(Limits(), max_message_bytes=2 * GIB, max_queued_bytes=2 * GIB)
    Session(Incarnation(b"a" * 16), Incarnation(b"b" * 16), wider).send(head, attachments)


@pytest.mark.rule("N4")
def test_limits_on_which_both_ends_must_agree_can_not_differ_without_a_word() -> None:
    of_the_wire(replace(Limits(), max_message_bytes=GIB // 2, keepalive=1.0))
    for name in WIRE_LIMITS:
        with pytest.raises(ValueError, match=f"{name}=7: it is .* in every process of wire version 1"):
            of_the_wire(replace(Limits(), **{name: 7}))


def test_what_is_too_large_is_refused_before_it_is_sent() -> None:
    buffers = (b"x",) * (LIMITS.max_buffers + 1)
    with pytest.raises(MessageTooLarge, match="max_buffers"):
        encode(Deliver(1, Payload(b"", buffers)))
    with pytest.raises(MessageTooLarge, match="max_elements"):
        encode(Recall(list(range(LIMITS.max_elements))))
    with pytest.raises(MessageTooLarge, match="max_control_bytes"):
        encode(Outcomes(1, [Outcome(n, 1, End.FAILED, None, "x" * 60_000) for n in range(20)], 0.0))
    with pytest.raises(MessageTooLarge, match=r"Introduction\.name"):
        encode(Introduction("x" * 256, Role.CLIENT, None, "3.11", "1"))


@pytest.mark.row("SE-27")
def test_reasons_are_clipped_by_the_sender_and_keep_beginning_and_end() -> None:
    reason = there_and_back(Goodbye("begin" + "x" * 9000 + "end")).reason
    assert len(reason) == LIMITS.max_reason_chars
    assert reason.startswith("begin")
    assert reason.endswith("end")
    text = (
        there_and_back(Outcomes(1, [Outcome(1, 1, End.FAILED, None, "\N{SNOWMAN}" * 100_000 + "end")], 0.0))
        .outcomes[0]
        .text
    )
    assert text.endswith("end")


@pytest.mark.row("SE-109")
def test_lone_surrogates_travel_as_escapes() -> None:
    assert there_and_back(Goodbye("a\udc80b")).reason == "a\\udc80b"


def test_a_whole_number_in_a_float_field_travels_as_a_float() -> None:
    back = there_and_back(Outcomes(1, [], 3))
    assert type(back.spent) is float


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_float_that_is_not_finite_is_sent(number: float) -> None:
    with pytest.raises(ValueError):
        encode(Outcomes(1, [], number))
    with pytest.raises(ValueError):
        encode(Submit(1, [TaskSpec(1, 1, CodeHash(bytes(16)), Payload(b""), False, number)]))


# Hostile bytes.

HASH = bytes(16)
DOUBLED = b"\x82\xa1a\x01\xa1a\x02"
SPEC = TaskSpec(1, 1, CodeHash(HASH), Payload(b""))
OUTCOME = Outcome(1, 1, End.FAILED, None, "text")
SAMPLES: dict[type, Any] = {
    type(sample): sample
    for sample in (
        Answer(1, Payload(b"")),
        Deliver(1, Payload(b"")),
        Goodbye("reason"),
        Introduction("n", Role.CLIENT, None, "3", "1"),
        Outcomes(1, [OUTCOME, OUTCOME], 0.0),
        Pulse(1, Avail(1.0), []),
        Recall([1]),
        Submit(1, [SPEC, SPEC]),
        FileOffer(1, "n", 2, 3, 4.0, b"digest", True),
    )
}


def head_of(cls: type, **changed: Any) -> bytes:
    """The head of a sample in which some fields are replaced by anything."""
    return msgpack.packb((NUMBER[cls], *row_of(SAMPLES[cls], **changed)))


def row_of(record: Any, **changed: Any) -> list[Any]:
    row = plain(record)
    for at, field in enumerate(dataclasses.fields(record)):
        if field.name in changed:
            row[at] = changed.pop(field.name)
    assert not changed
    return row


def plain(value: Any) -> Any:
    """As msgpack has it."""
    if isinstance(value, Payload):
        return value.data
    if dataclasses.is_dataclass(value):
        return [plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return [plain(item) for item in value] if isinstance(value, list) else value


def submit(**changed: Any) -> bytes:
    return head_of(Submit, tasks=[plain(SPEC), row_of(SPEC, **changed)])


def outcomes(**changed: Any) -> bytes:
    return head_of(Outcomes, outcomes=[plain(OUTCOME), row_of(OUTCOME, **changed)])


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "nil": b"\xc0",
    "empty array": b"\x90",
    "a map": b"\x81\x01\x02",
    "doubled keys": b"\x92\x53" + DOUBLED,
    "empty map": b"\x92\x53\x80",
    "number as text": msgpack.packb(("13", "reason")),
    "number as bool": msgpack.packb((True, *plain(SAMPLES[Introduction]))),
    "unknown number": msgpack.packb((9999, 1)),
    "unknown negative number": msgpack.packb((-1, 1)),
    "missing field": msgpack.packb((NUMBER[Deliver], 1, b"")),
    "extra field": msgpack.packb((NUMBER[Deliver], 1, b"", 0, 0)),
    "bool for int": head_of(Deliver, to=True),
    "int for bool": head_of(Answer, failed=0),
    "float for int": head_of(Deliver, to=1.0),
    "int for float": head_of(Outcomes, spent=1),
    "negative int": head_of(Deliver, to=-1),
    "2**63": head_of(Deliver, to=2**63),
    "2**64 - 1": head_of(Deliver, to=2**64 - 1),
    "NaN as duration": head_of(Outcomes, spent=math.nan),
    "infinity as duration": head_of(Outcomes, spent=math.inf),
    "NaN in a list": submit(timeout=math.nan),
    "NaN as optional": head_of(Pulse, avail=(math.nan, None, None, None)),
    "extension": b"\x92\x0d" + msgpack.packb(msgpack.ExtType(5, b"x")),
    "empty extension": b"\x92\x0d\xc7\x00\x05",
    "timestamp": b"\x92\x0d" + msgpack.packb(msgpack.Timestamp(1, 2)),
    "bytes as text": head_of(Goodbye, reason=b"reason"),
    "text as bytes": head_of(Deliver, value="data"),
    "invalid UTF-8": b"\x92\x0d\xa2\xc3\x28",
    "surrogate in UTF-8": b"\x92\x0d\xa3\xed\xb2\x80",
    "reason too long": head_of(Goodbye, reason="x" * 4097),
    "70 kB name": head_of(Introduction, name="x" * 70_000),
    "256 characters of name": head_of(Introduction, name="x" * 256),
    "text of 65 kB": outcomes(text="x" * 65_537),
    "unknown enum": outcomes(end=99),
    "enum of zero": outcomes(end=0),
    "bool as enum": outcomes(end=True),
    "role of 32": head_of(Introduction, roles=32),
    "short hash": submit(function=HASH[:15]),
    "long hash": submit(function=HASH + b"x"),
    "nil where none may be": head_of(Deliver, to=None),
    "record as int": head_of(Submit, tasks=[7]),
    "ragged records": head_of(Submit, tasks=[plain(SPEC), plain(SPEC)[:-1]]),
    "short records": head_of(Submit, tasks=[plain(SPEC)[:-1]] * 2),
    "list as int": head_of(Recall, ids=3),
    "bool in a list of ints": head_of(Recall, ids=[1, True]),
    "negative in a list of ints": head_of(Recall, ids=[1, -1]),
    "host name as address": head_of(Introduction, location=("evil.test", 1)),
    "address that is not canonical": head_of(Introduction, location=("127.000.0.1", 1)),
    "zone with a space": head_of(Introduction, location=("fe80::1%a b", 1)),
    "port of 65536": head_of(Introduction, location=("127.0.0.1", 65536)),
    "location of three": head_of(Introduction, location=("127.0.0.1", 1, 1)),
    "trailing bytes": head_of(Goodbye) + b"\x00",
    "array32 of 2**32 - 1": b"\x92\x53\xdd\xff\xff\xff\xff",
    "bin32 of 2**32 - 1": b"\x94\x02\x01\xc6\xff\xff\xff\xff\x00",
    "more than 10,000 elements in one list": b"\x92\x53" + b"\xdc\x27\x11" + b"\x01" * 10_001,
    "more than 10,000 elements in all": head_of(Submit, tasks=[plain(SPEC)] * 1700),
    "depth of 17": b"\x92\x53" + b"\x91" * 16 + b"\x01",
    "depth of 100,000": b"\x91" * 100_000 + b"\x01",
    "a head of 2 MiB": b"\x92\x53" + bytes(2 << 20),
    "payload in an array for nothing": head_of(Deliver, value=(b"", ())),
    "attachment that is not there": head_of(Deliver, value=(5, ())),
    "negative attachment": head_of(Deliver, value=(-5, ())),
    "bool as length": head_of(Deliver, value=(True, ())),
    "buffer that is not there": head_of(Deliver, value=(b"", (2**62,))),
    "text as length": head_of(Deliver, value=(b"", ("5",))),
    "a pickle": pickle.dumps({"a": 1}),
}


@pytest.mark.row("SE-23", "SE-83")
@pytest.mark.parametrize("name", HOSTILE)
def test_bytes_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(HOSTILE[name], NOTHING)


def test_the_hostile_heads_would_pass_without_their_fault() -> None:
    """So that no case above is refused for another reason than the one it names."""
    good = [
        *(head_of(cls) for cls in SAMPLES),
        submit(),
        outcomes(text="x" * 65_000),
        head_of(Goodbye, reason="x" * 4096),
        head_of(Introduction, name="x" * 255, roles=31, location=("fe80::1%eth0", 65535)),
        head_of(Submit, tasks=[plain(SPEC)] * 1400),
        b"\x92\x53" + b"\xdc\x27\x0a" + b"\x01" * 9_994,
    ]
    for head in good:
        decode(head, NOTHING)


@pytest.mark.row("SE-86", "SE-25")
def test_lengths_of_attachments_must_sum_to_the_tail() -> None:
    head, _ = encode(Deliver(1, Payload(b"", (b"abc", b"de"))))
    assert decode(head, memoryview(b"abcde")).value.buffers[1] == b"de"
    for tail in (b"", b"abcd", b"abcdef"):
        with pytest.raises(RemoteProtocolError, match="attachments"):
            decode(head, memoryview(tail))
    with pytest.raises(RemoteProtocolError, match="attachments"):
        decode(encode(RegisterAgain("x"))[0], memoryview(b"a"))


@pytest.mark.row("SE-86", "SE-25")
def test_more_buffers_than_the_limit_are_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        decode(head_of(Deliver, value=(b"", (0,) * 1025)), NOTHING)
    with pytest.raises(RemoteProtocolError):
        decode(b"\x94\x02\x01\x92\xc4\x00\xdd\x00\x0f\x42\x40" + bytes(1_000_000) + b"\x00", NOTHING)
    records = [row_of(SPEC, args=(b"", (0,) * 600))] * 2
    with pytest.raises(RemoteProtocolError):
        decode(head_of(Submit, tasks=records), NOTHING)


@pytest.mark.row("SE-84")
def test_no_field_of_any_message_loads_a_pickle(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    evil = pickle.dumps(_Evil(str(canary)))
    with pytest.raises(RemoteProtocolError):
        decode(evil, NOTHING)
    for number, cls in NUMBERS.items():
        width = len(dataclasses.fields(cls))
        for at in range(width):
            row: list[Any] = [0] * width
            row[at] = evil
            try:
                decode(msgpack.packb((number, *row)), NOTHING)
            except RemoteProtocolError:
                pass
    assert not canary.exists()
    pickle.loads(evil)
    assert canary.exists()


class _Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (os.mkdir, (self.path,))


@pytest.mark.row("SE-23")
@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_nothing_but_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        decode(data, NOTHING)


@pytest.mark.row("SE-23", "SE-80")
@settings(max_examples=300)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_gives_a_message_of_right_types_or_a_protocol_error(at: int, byte: int) -> None:
    spec = TaskSpec(5, 1, CodeHash(HASH), Payload(b"args", (b"buffer",)))
    head, tail = wire(Submit(3, [spec, spec]))
    changed = bytearray(head)
    changed[at % len(changed)] = byte
    try:
        message = decode(bytes(changed), tail)
    except RemoteProtocolError:
        return
    encode(message)


def test_an_error_never_shows_what_was_sent() -> None:
    secret = "hunter2hunter2"
    for head in (head_of(Deliver, to=secret), head_of(FileOffer, digest=secret)):
        with pytest.raises(RemoteProtocolError) as caught:
            decode(head, NOTHING)
        assert secret not in str(caught.value)


def test_a_part_of_a_message_is_no_message() -> None:
    with pytest.raises(TypeError):
        encode(Avail())


def test_struct_of_the_head_is_the_number_and_the_fields_in_order() -> None:
    """The wire format is for ever: this is the format of version 1."""
    head, attachments = encode(Deliver(7, Payload(b"ab", (b"xyz",)), 9))
    assert head == b"\x94\x02\x07\x92\xc4\x02ab\x91\x03\x09"
    assert attachments == [b"xyz"]
    assert encode(Deliver(7, Payload(b"ab"), 9))[0] == b"\x94\x02\x07\xc4\x02ab\x09"
    assert encode(Outcomes(1, [], 2.0))[0] == b"\x94\x5c\x01\x90\xcb" + struct.pack(">d", 2.0)
