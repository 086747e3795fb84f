"""User values as payloads: what is sent is what was there, and errors say where they sit."""

from __future__ import annotations

import copyreg
import enum
import pickle
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispycos.config import Limits
from dispycos.errors import NotSerializable, RemoteError
from dispycos.model import Location, Payload
from dispycos.net.codec import decode, encode
from dispycos.pickling import values
from dispycos.pickling.rebuild import Namespace
from dispycos.pickling.values import MAX_TRACEBACK, dump, dump_call, dump_exception, load, load_exception
from tests.unit.pickling.shipping import Orders, carry_out, program

LIMITS = Limits()
LARGE = LIMITS.out_of_band_bytes

PROGRAM = """
class Plain:
    def __init__(self, x):
        self.x = x

class Odd(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")
        self.two = two

class Reduced(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)
    def __reduce__(self):
        return (Reduced, (self.args[0],))

class BadText(Exception):
    def __str__(self):
        raise RuntimeError("no text")

def fail(kind, *args):
    raise kind(*args)

def chain():
    try:
        try:
            1 / 0
        except ZeroDivisionError as exc:
            raise KeyError("first") from exc
    except KeyError as exc:
        exc.add_note("a note")
        raise Odd(1, 2) from exc
"""


@pytest.fixture(scope="module")
def main(tmp_path_factory: pytest.TempPathFactory) -> Iterator[types.ModuleType]:
    with program(PROGRAM, tmp_path_factory.mktemp("client") / "value_program.py", "value_program") as module:
        yield module


def over_the_wire(payload: Payload) -> Payload:
    from dispycos.messages import Deliver

    head, parts = encode(Deliver(1, payload))
    received: Payload = decode(head, memoryview(bytearray(b"".join(parts)))).value
    return received


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.rule("N6")
@settings(max_examples=30)
@given(PLAIN)
def test_plain_values_come_back_equal(value: Any) -> None:
    back = load(over_the_wire(dump(value)))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.rule("N6")
@settings(max_examples=25)
@given(st.lists(PLAIN, max_size=3).map(tuple), st.dictionaries(st.text(max_size=3), PLAIN, max_size=2))
def test_arguments_come_back_equal(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert load(over_the_wire(dump_call(args, kwargs, name="f"))) == (args, kwargs)


@pytest.mark.rule("N6")
@pytest.mark.parametrize("size", [0, LARGE - 1, LARGE, 3 * LARGE])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_large_bytes_stay_outside_the_pickle(kind: type[bytes] | type[bytearray], size: int) -> None:
    value = kind(b"x" * size)
    for payload, pick in (
        (dump(value), lambda back: back),
        (dump((1, value)), lambda back: back[1]),
        (dump_call((1, value), {}, name="f"), lambda back: back[0][1]),
        (dump_call((), {"data": value}, name="f"), lambda back: back[1]["data"]),
    ):
        assert bool(payload.buffers) == (size >= LARGE)
        back = pick(load(over_the_wire(payload)))
        assert back == value
        assert type(back) is kind


@pytest.mark.rule("N6")
def test_what_cannot_change_is_sent_as_it_is() -> None:
    data = bytes(LARGE)
    assert dump(data).buffers[0].obj is data  # type: ignore[union-attr]  # a memoryview
    array = np.frombuffer(data, dtype=np.uint8)
    assert np.shares_memory(np.frombuffer(dump(array).buffers[0], np.uint8), array)


@pytest.mark.rule("N6")
def test_a_later_change_is_not_sent() -> None:
    array = np.zeros(LARGE, dtype=np.uint8)
    buffer = bytearray(LARGE)
    payloads = dump(array), dump(buffer), dump([1, array])
    assert all(len(payload.buffers) == 1 for payload in payloads)
    array[0] = buffer[0] = 9
    assert load(payloads[0])[0] == 0
    assert load(payloads[1])[0] == 0
    assert load(payloads[2])[1][0] == 0


@pytest.mark.rule("N6")
def test_arrays_are_writable_where_they_arrive_and_not_shared() -> None:
    payload = dump(np.zeros(LARGE, dtype=np.uint8))
    for one, other in ((load(payload), load(payload)), (load(over_the_wire(payload)), load(payload))):
        one[0] = 5
        assert other[0] == 0


@pytest.mark.rule("N6")
def test_a_received_array_lies_in_the_received_bytes() -> None:
    payload = over_the_wire(dump(np.arange(LARGE, dtype=np.uint8)))
    assert np.shares_memory(np.frombuffer(payload.buffers[0], np.uint8), load(payload))


@pytest.mark.row("SE-25")
def test_one_value_has_no_more_buffers_than_half_a_message() -> None:
    arrays = [np.full(LARGE, n % 256, dtype=np.uint8) for n in range(600)]
    payload = dump(arrays)
    assert len(payload.buffers) == values.MAX_BUFFERS
    back = load(over_the_wire(payload))
    assert [array[0] for array in back] == [n % 256 for n in range(600)]


def test_arrays_that_are_not_contiguous_travel_too() -> None:
    array = np.arange(4 * LARGE, dtype=np.uint8).reshape(2, -1)[:, ::2]
    assert (load(dump(array)) == array).all()
    fortran = np.asfortranarray(np.arange(4 * LARGE, dtype=np.uint8).reshape(2, -1))
    assert (load(dump(fortran)) == fortran).all()


@pytest.mark.row("DC-22")
def test_a_hundred_megabytes_travel_without_a_copy_in_the_pickle() -> None:
    data = bytes(100 << 20)
    payload = dump_call((data,), {}, name="f")
    assert len(payload.data) < 200
    assert load(payload)[0][0] == data


# Errors.

LOCK = threading.Lock()
CANNOT = r"cannot pickle '_thread\.lock' object"


@pytest.mark.row("R-03", "DC-22")
def test_the_error_names_the_part_that_cannot_travel(main: Any) -> None:
    deep = [1, 2, 3, main.Plain(LOCK)]
    slotted = types.SimpleNamespace(a=[{"k": (LOCK,)}])
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: dump(deep, what="result"), rf"^result\[3\]\.x: {CANNOT}$"),
        (lambda: dump(slotted, what="result"), rf"^result\.a\[0\]\['k'\]\[0\]: {CANNOT}$"),
        (lambda: dump(LOCK, what="result"), rf"^result: {CANNOT}$"),
        (
            lambda: dump_call((1, deep), {}, name="compute"),
            rf"^argument 2 of compute: value\[3\]\.x: {CANNOT}$",
        ),
        (
            lambda: dump_call((1,), {"by": deep}, name="compute"),
            rf"^argument by of compute: value\[3\]\.x: {CANNOT}$",
        ),
        (
            lambda: dump(n for n in "a"),
            r"^value: cannot pickle 'generator' object$",
        ),
    ]
    for call, text in cases:
        with pytest.raises(NotSerializable, match=text) as caught:
            call()
        assert isinstance(caught.value, TypeError)


@pytest.mark.row("R-03", "DC-45")
def test_the_error_names_the_captured_variable_of_an_argument() -> None:
    lock = LOCK

    def inner() -> Any:
        return lock

    with pytest.raises(
        NotSerializable,
        match=rf"^argument 1 of f: value\[0\]: captured variable 'lock' of .*inner: {CANNOT}$",
    ):
        dump_call(([inner],), {}, name="f")


@pytest.mark.row("R-03")
def test_whatever_a_value_raises_when_pickled_is_a_type_error() -> None:
    class Angry:
        def __reduce__(self) -> str:
            raise ValueError("never me")

    with pytest.raises(NotSerializable, match=r"result\['a'\]: never me") as caught:
        dump({"a": Angry()}, what="result")
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.row("R-03")
def test_a_value_that_contains_itself_travels_and_fails_without_an_end() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    back = load(dump(ring))
    assert back[1] is back
    ring.append(LOCK)
    with pytest.raises(NotSerializable, match=CANNOT):
        dump(ring)


@pytest.mark.row("R-03")
def test_a_value_too_deep_to_pickle_is_said_so() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotSerializable, match=r"^result: it is nested too deeply to be pickled$"):
        dump(deep, what="result")


# Values of program classes.


@pytest.mark.row("DC-46")
def test_instances_come_back_as_what_they_were(main: Any) -> None:
    assert type(load(over_the_wire(dump(main.Plain(3))))) is main.Plain
    theirs = load(over_the_wire(dump([main.Plain(3), main.Plain])), Namespace(shared=False))
    assert theirs[0].x == 3
    assert type(theirs[0]) is theirs[1]
    assert theirs[1] is not main.Plain


@pytest.mark.row("DC-46")
def test_large_buffers_inside_instances_stay_outside_the_pickle(main: Any) -> None:
    payload = dump(main.Plain(np.zeros(LARGE, dtype=np.uint8)))
    assert len(payload.buffers) == 1
    assert load(over_the_wire(payload)).x.shape == (LARGE,)


def test_values_of_dispycos_and_the_standard_library_travel_by_name() -> None:
    for value in (Location("127.0.0.1", 5), enum.Enum, range(3), {1: (2, 3)}, Path("/x"), 3 + 4j):
        assert load(dump(value)) == value


# Exceptions.


def raised(call: Callable[[], Any]) -> BaseException:
    try:
        call()
    except BaseException as exc:
        return exc
    raise AssertionError("nothing was raised")


@pytest.mark.row("R-02", "DC-52")
def test_an_exception_keeps_type_arguments_traceback_cause_and_notes(main: Any, tmp_path: Path) -> None:
    orders = Orders()
    orders.call(main.chain)
    (exc,) = carry_out(orders, tmp_path)
    assert type(exc) is main.Odd
    assert (str(exc), exc.two) == ("1 and 2", 2)
    assert isinstance(exc.__cause__, KeyError)
    assert exc.__cause__.__notes__ == ["a note"]
    assert isinstance(exc.__cause__.__cause__, ZeroDivisionError)
    remote = exc.__cause__.__cause__.__cause__
    assert isinstance(remote, values.RemoteTraceback)
    assert 'raise KeyError("first") from exc' in str(remote)
    assert exc.__traceback__ is not None


@pytest.mark.row("R-02")
@pytest.mark.parametrize(
    "exc",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(5),
        OSError(2, "No such file", "/x"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
        ExceptionGroup("several", [ValueError(1), OSError(5, "five")]),
        ModuleNotFoundError("No module named 'x'", name="x"),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_exceptions_of_python_come_back_as_they_were(exc: BaseException) -> None:
    def throw() -> None:
        raise exc

    back = load_exception(*dump_exception(raised(throw)))
    assert type(back) is type(exc)
    assert repr(back.args) == repr(exc.args)
    assert str(back) == str(exc)
    assert isinstance(back.__cause__, values.RemoteTraceback)
    assert type(exc).__name__ in str(back.__cause__)
    assert getattr(back, "name", None) == getattr(exc, "name", None)


@pytest.mark.row("R-02")
def test_an_exception_that_cannot_be_rebuilt_is_a_remote_error_with_its_name_and_text(main: Any) -> None:
    payload, text = dump_exception(raised(lambda: main.fail(main.Reduced, 1, 2)))
    assert payload is not None
    back = load_exception(payload, text)
    assert type(back) is RemoteError
    assert "Reduced: (1, 2)" in str(back)
    assert "raise kind(*args)" in str(back)


@pytest.mark.row("R-02")
def test_an_exception_with_a_thousand_entries_travels_with_its_first_and_last_ones() -> None:
    def begin() -> None:
        deeper()

    def deeper() -> None:
        deeper()

    payload, text = dump_exception(raised(begin))
    assert payload is not None
    back = load_exception(payload, text)
    assert type(back) is RecursionError
    names = [entry.name for entry in traceback.extract_tb(back.__traceback__)]
    assert 10 < len(names) <= MAX_TRACEBACK + 5
    assert "begin" in names[:5] and names[-1] == "deeper"
    assert "more times]" in str(back.__cause__)


@pytest.mark.row("R-02")
def test_an_exception_that_cannot_travel_leaves_its_text() -> None:
    payload, text = dump_exception(raised(lambda: (_ for _ in ()).throw(ValueError(LOCK))))
    assert payload is None
    back = load_exception(payload, text)
    assert type(back) is RemoteError
    assert "ValueError" in str(back)


@pytest.mark.row("R-02", "SE-111")
def test_an_exception_without_a_text_travels_all_the_same(main: Any) -> None:
    payload, text = dump_exception(raised(lambda: main.fail(main.BadText)))
    assert "BadText" in text
    assert type(load_exception(payload, text)) is main.BadText


@pytest.mark.row("R-02", "R-32")
def test_a_huge_text_keeps_its_beginning_and_its_end() -> None:
    _, text = dump_exception(raised(lambda: (_ for _ in ()).throw(ValueError("x" * (1 << 20) + "end"))))
    assert len(text) <= LIMITS.max_text_bytes
    assert text.startswith("Traceback")
    assert text.endswith("end\n")


@pytest.mark.row("R-02")
def test_a_payload_that_is_no_exception_or_no_pickle_is_a_remote_error() -> None:
    for payload in (dump(5), Payload(b"rubbish"), Payload(b""), Payload(b"\x00dcode1\x00" + b"x" * 40)):
        assert type(load_exception(payload, "text")) is RemoteError


def test_pickles_are_of_protocol_5() -> None:
    assert dump(1).data[:2] == pickle.PROTO + b"\x05"


def test_an_open_text_file_is_refused_and_not_sent_as_its_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text("one\n")
    with path.open() as file:
        with pytest.raises(
            NotSerializable, match=r"an open file can.t be sent to another process: .*rows\.txt"
        ):
            dump([file])


class Sealed:
    """What nothing but a reducer takes apart."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("it is sealed")


def test_a_reducer_that_a_module_registers_later_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotSerializable, match="it is sealed"):
        dump([Sealed()])
    # As NumPy does for its ufuncs, when it is imported.
    monkeypatch.setitem(copyreg.dispatch_table, Sealed, lambda sealed: (str, ("opened",)))
    assert load(dump([Sealed()])) == ["opened"]


class Reduces(Exception):
    """What is pickled as somebody wants it."""

    def __init__(self, reduce: Callable[[], Any]) -> None:
        super().__init__()
        self.reduce = reduce

    def __reduce__(self) -> Any:
        return self.reduce()


@pytest.mark.row("R-02", "SE-111")
def test_code_of_others_that_pickles_or_unpickles_ends_nobody_s_program():
    def leaves() -> Any:
        sys.exit(3)

    for reduce in (leaves, lambda: (sys.exit, (3,))):
        payload, text = dump_exception(Reduces(reduce))
        assert isinstance(load_exception(payload, text), RemoteError)
    with pytest.raises(RemoteError, match="unpickling raised SystemExit: 3"):
        load(dump([Reduces(lambda: (sys.exit, (3,)))]))


def test_what_stands_in_for_an_exit_has_its_notes() -> None:
    error = SystemExit(1)
    error.add_note("nobody types there")
    failure = values.survivable(error, "f")
    assert str(failure) == "f raised SystemExit: 1" and failure.__cause__ is error
    assert failure.__notes__ == ["nobody types there"]


def test_modules_travel_by_name():
    assert load(dump([sys, pickle, {"json": values}])) == [sys, pickle, {"json": values}]
