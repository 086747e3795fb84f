"""User values as Payloads and back (N6).

Values are pickled in the thread that sends them, so that a later change is not sent and an
error is raised where the mistake is; large buffers stay outside the pickle. They are
unpickled where user code receives them, never in a scheduler or node daemon (SE-24).
"""

from __future__ import annotations

import io
import pickle
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tblib import pickling_support

from dispycos import forks
from dispycos.config import Limits
from dispycos.errors import NotSerializable, RemoteError
from dispycos.model import Buffer, Payload
from dispycos.pickling import unsent
from dispycos.pickling.code import HERE, Namespace, dumps
from dispycos.pickling.pickler import CodePickler, blame
from dispycos.room import whole
from dispycos.wording import clip

LIMITS = Limits()  # of them only config.WIRE_LIMITS, which no process may change
MAX_BUFFERS = LIMITS.max_buffers // 2 - 1  # of one value: two payloads fit into one message
MAX_TRIES = 2000  # pickles of parts, to find the one that can't be sent

# Types that need no pickler of ours. Not bytes: large ones stay outside the pickle.
_PLAIN: frozenset[type] = frozenset({int, float, bool, type(None), complex, str})

# Those, and types of references to what stays where it is; `net.remote` and others add theirs.
REFERENCES: set[type] = set(_PLAIN)
MAX_LOOKED_AT = 64  # items of a list that is looked at whether it is simple

# Filling slots takes a third of the time of the constructor of a frozen record.
_dumps = pickle.dumps
_loads = pickle.loads
_new = object.__new__
_set_data = vars(Payload)["data"].__set__
_set_buffers = vars(Payload)["buffers"].__set__

# What a program of another time wants to make of each value before it is pickled (CO-10); None: nothing.
packer: Callable[[Any], Any] | None = None


def dump_plain(value: Any) -> bytes | None:
    """The whole Payload of a value that holds neither code nor anything large; None of any other."""
    if packer is None and (
        type(value) in _PLAIN
        or (type(value) is tuple and REFERENCES.issuperset(map(type, value)))
        or _is_simple(value, 2)
    ):
        return _dumps(value, 5)
    return None


def dump(value: Any, *, what: object = "value") -> Payload:
    """Pickle any value. What is read-only is sent as it is, what is writable is copied.

    what  what the value is, for the error: a text, or what `str` makes one of.
    NotSerializable names the part that can't be pickled: `result[3].lock: cannot pickle ...`.
    """
    data = dump_plain(value)
    if data is not None:
        payload = _new(Payload)
        _set_data(payload, data)
        _set_buffers(payload, ())
        return payload
    if packer is not None:
        value = packer(value)
    try:
        return _dump(value)
    except Exception as exc:
        raise NotSerializable(f"{what}{_where(value, exc)}") from exc


def dump_call(args: tuple[Any, ...], kwargs: dict[str, Any], *, name: object) -> Payload:
    """Pickle the arguments of a call of `name`, to be loaded as (args, kwargs).

    NotSerializable: `argument 2 of compute: value[3].lock: cannot pickle ...`.
    """
    if packer is not None:
        return dump((args, kwargs), what=f"arguments of {name}")
    if _PLAIN.issuperset(map(type, args)) and not (kwargs and not _is_simple(kwargs, 1)):
        payload = _new(Payload)
        _set_data(payload, _dumps((args, kwargs), 5))
        _set_buffers(payload, ())
        return payload
    try:
        return _dump((args, kwargs))
    except Exception as exc:
        for which, value in (*enumerate(args, 1), *kwargs.items()):
            if (failure := _try(value)) is not None:
                where = _where(value, failure)
                raise NotSerializable(f"argument {which} of {name}: value{where}") from failure
        raise NotSerializable(f"arguments of {name}: {exc}") from exc


WITH_CODE = b"\0"  # how data begins that has definitions before its pickle: only `load` understands it


def load(payload: Payload, namespace: Namespace | None = None) -> Any:
    """Unpickle what `dump` made; of `dump_call`, (args, kwargs).

    namespace  where code that came along lives; None: this process's own modules.
    Whatever unpickling raises: ModuleNotFoundError where a module is missing here; RemoteError in
    the place of what would end this program.
    """
    return load_data(payload.data, payload.buffers, namespace)


def load_data(data: Buffer, buffers: Sequence[Buffer] = (), namespace: Namespace | None = None) -> Any:
    """As `load`, of what its Payload holds; for the many values of which there is no Payload."""
    # Not `forks.parent_goes_on`: this is done for each value.
    born = forks.generation
    try:
        if type(data) is bytes and not buffers and data[:1] != WITH_CODE:
            value = _loads(data)
        else:
            value = (namespace or HERE).load(data, _private(buffers))
    except BaseException as exc:
        if forks.generation != born:
            forks.leave(exc)
        if isinstance(exc, (SystemExit, GeneratorExit)):
            # User code that unpickles may raise them as it is; Ctrl-C, which may come then, is none of its.
            raise survivable(exc, "unpickling") from exc
        raise
    if forks.generation != born:
        forks.leave()
    return value


def _is_simple(value: Any, depth: int) -> bool:
    """Whether the plain pickler does what ours would: no code inside, and nothing large."""
    kind = type(value)
    if kind is tuple or kind is list:
        items = value
    elif kind is dict:
        if not REFERENCES.issuperset(map(type, value)):
            return False
        items = value.values()
    elif kind is bytes:
        return len(value) < LIMITS.out_of_band_bytes
    else:
        return kind in REFERENCES
    if REFERENCES.issuperset(map(type, items)):
        return True
    if not depth or len(value) > MAX_LOOKED_AT:
        return False
    return all(_is_simple(item, depth - 1) for item in items)


def _private(buffers: Sequence[Buffer]) -> Sequence[Buffer]:
    # A bytearray is the copy that `dump` made in this process: whoever loads it may write into
    # it, and it may be loaded again. What came from the wire belongs to its only receiver.
    return [bytearray(buffer) if type(buffer) is bytearray else buffer for buffer in buffers]


class _Reading(threading.local):
    once = False


_reading = _Reading()


def read_once() -> bool:
    """Whether what this thread pickles now is a value for one reader, as far as we know.

    A definition, or what a program pickles by itself, may be read at any time by any number.
    """
    return _reading.once


def _dump(value: Any) -> Payload:
    before, _reading.once = _reading.once, True
    born = forks.generation  # as in `load_data`
    try:
        payload = _dump_once(value)
    except BaseException as exc:
        if forks.generation != born:
            forks.leave(exc)
        raise
    finally:
        _reading.once = before
    if forks.generation != born:
        forks.leave()
    return payload


def _dump_once(value: Any) -> Payload:
    buffers: list[Buffer] = []

    def outside(buffer: pickle.PickleBuffer) -> bool:
        """Whether the buffer is to stay in the pickle."""
        raw = buffer.raw()
        if raw.nbytes < LIMITS.out_of_band_bytes or len(buffers) >= MAX_BUFFERS:
            return True
        buffers.append(raw if raw.readonly else bytearray(raw))
        return False

    return Payload(dumps(_prepared(value, 0), outside), tuple(buffers))


# bytes and bytearray are no buffers to pickle; large ones that a call or a result holds at its
# top are made so.


class _Large:
    """Stands for a large bytes or bytearray while it is pickled."""

    __slots__ = ("value",)

    def __init__(self, value: bytes | bytearray) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[pickle.PickleBuffer]]:
        # Received at its final size, and not copied there.
        return whole if type(self.value) is bytes else bytearray, (pickle.PickleBuffer(self.value),)


def _prepared(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is bytes or kind is bytearray:
        return _Large(value) if len(value) >= LIMITS.out_of_band_bytes else value
    if kind is tuple and depth < 2 and any(map(_may_be_large, value)):
        return tuple([_prepared(item, depth + 1) for item in value])
    # Lists and dicts may be referred to from inside; only keyword arguments are ours.
    if kind is dict and depth == 1 and any(map(_may_be_large, value.values())):
        return {key: _prepared(item, depth + 1) for key, item in value.items()}
    return value


def _may_be_large(value: Any) -> bool:
    kind = type(value)
    if kind is bytes or kind is bytearray:
        return len(value) >= LIMITS.out_of_band_bytes
    return kind is tuple or kind is dict


# Where a value that can't be pickled sits.


def _try(value: Any) -> Exception | None:
    try:
        CodePickler(io.BytesIO(), buffer_callback=lambda buffer: False).dump(value)
    except Exception as exc:
        return exc
    return None


def _where(value: Any, exc: Exception) -> str:
    """The path to the innermost part that fails, and why it does."""
    if isinstance(exc.__cause__, RecursionError):
        return ": it is nested too deeply to be pickled"
    path, tries = "", MAX_TRIES
    seen = {id(value)}
    while not _refuses(value):
        for step, part in _parts(value):
            tries -= 1
            if tries < 0:
                return f"{path}: {exc}"
            if id(part) in seen or type(part) in _PLAIN:
                continue
            failure = _try(part)
            if failure is not None:
                seen.add(id(part))
                path, value, exc = path + step, part, failure
                break
        else:
            break
    if isinstance(value, types.FunctionType) and not isinstance(exc, NotSerializable):
        exc = blame(value, exc)
    return f"{path}: {exc}"


def _refuses(value: Any) -> bool:
    """Whether it can't be pickled whatever it holds: then its own words are the reason."""
    try:
        value.__reduce_ex__(5)
    except Exception:
        return True
    return False


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in list(value.items()):
            shown = (
                repr(key) if type(key) in (int, str) and len(str(key)) <= 40 else f"<{type(key).__name__}>"
            )
            yield f"[{shown}]", item
            yield f".key {shown}", key
    elif isinstance(value, list | tuple):
        yield from ((f"[{at}]", item) for at, item in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from ((f".item <{type(item).__name__}>", item) for item in value)
    elif isinstance(value, type | types.FunctionType | types.ModuleType):
        return
    for name, item in list(getattr(value, "__dict__", {}).items()):
        yield f".{name}", item
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if not name.startswith("__") and hasattr(value, name):
                yield f".{name}", getattr(value, name)


# Exceptions.

# Entries of a traceback that travel as objects; as text all of it does. A RecursionError has a
# thousand, and pickling it would be the next one.
MAX_TRACEBACK = 100


class RemoteTraceback(Exception):
    """The traceback of an exception where it was raised, as text: the cause of what is raised here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}" if self.args else ""


class _ExceptionPickler(CodePickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, BaseException):
            return _reduced(value)
        if type(value) is types.TracebackType:
            return pickling_support.pickle_traceback(_shortened(value))
        return super().reducer_override(value)


def _shortened(trace: types.TracebackType) -> types.TracebackType:
    """Its first and last entries, if it is long: each is pickled inside the one before it."""
    entries = []
    following: types.TracebackType | None = trace
    while following is not None:
        entries.append(following)
        following = following.tb_next
    if len(entries) <= MAX_TRACEBACK:
        return trace
    for entry in reversed(entries[: MAX_TRACEBACK // 2] + entries[-MAX_TRACEBACK // 2 :]):
        following = types.TracebackType(following, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    assert following is not None
    return following


def _reduced(exc: BaseException) -> Any:
    if not isinstance(type(exc).__init__, types.WrapperDescriptorType):
        return pickling_support.pickle_exception(exc)
    # tblib goes round constructors, since they may want other arguments. Those of Python itself
    # don't, and some (UnicodeDecodeError) must be called.
    reduced: Any = exc.__reduce__()
    make, args, *state = reduced
    more = (exc.__cause__, exc.__traceback__, exc.__context__, exc.__suppress_context__)
    notes = getattr(exc, "__notes__", None)
    return (pickling_support.unpickle_exception, (make, args, *more, notes), *state)


def dump_exception(exc: BaseException) -> tuple[Payload | None, str]:
    """Pickle an exception with its traceback, causes and notes (R-02); and its traceback as text.

    None if the exception can't be pickled; the text then is all that travels.
    """
    with forks.parent_goes_on():
        try:
            text = "".join(traceback.format_exception(exc))
        except BaseException as broken:
            # Its own __str__ fails (SE-111).
            text = f"{type(exc).__qualname__}: (its text can't be had: {type(broken).__name__})\n"
    text = clip(text, LIMITS.max_text_bytes, LIMITS.max_text_bytes)
    try:
        with forks.parent_goes_on():
            return Payload(dumps(exc, kind=_ExceptionPickler)), text
    except BaseException:
        # Whatever its class does there, also if that would end this process.
        return None, text


def survivable(error: BaseException, what: str) -> BaseException:
    """The error; a RemoteError in its place, if it would end this program, or who asked for it."""
    if isinstance(error, Exception):
        return error
    from asyncio import CancelledError  # for the few that come here

    if not isinstance(error, (SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError)):
        return error
    failure = RemoteError(f"{what} raised {type(error).__name__}" + (f": {error}" if str(error) else ""))
    failure.__cause__ = error
    for note in getattr(error, "__notes__", ()):
        failure.add_note(note)
    return failure


def load_exception(payload: Payload | None, text: str, namespace: Namespace | None = None) -> BaseException:
    """The exception that `dump_exception` took, with its remote traceback text as its first cause.

    RemoteError with that text if the exception can't be rebuilt here.
    """
    if payload is None:
        return RemoteError(text)
    try:
        exc = load(payload, namespace)
    except Exception:
        return RemoteError(text)
    if not isinstance(exc, BaseException):
        return RemoteError(text)
    if isinstance(exc, NameError):
        unsent.explain(exc)
    if text:
        first, seen = exc, {id(exc)}
        while first.__cause__ is not None and id(first.__cause__) not in seen:
            first = first.__cause__
            seen.add(id(first))
        if not isinstance(first, RemoteTraceback):
            first.__cause__ = RemoteTraceback(text)
    return exc
