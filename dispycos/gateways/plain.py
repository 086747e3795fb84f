"""Plain values as bytes: what may be sent through a channel, and nothing else.

None, bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset and dict,
nested as one likes; and channels, inside a gateway. The bytes are pickles of protocol 5, which
is the same in every Python from 3.8. They may name `complex` and the place of a channel; any
other name is refused before it is looked up, so reading them can make nothing but plain values.

Rows EX-09, EX-29.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, Final, NoReturn

from dispycos import sharing
from dispycos.errors import DumpError, LoadError
from dispycos.gateways.placeholders import MOST, Settling, Word
from dispycos.model import Buffer
from dispycos.pickling.lone import SIMPLE, is_lone

_PROTOCOL: Final = 5
_BEGINNING: Final = b"\x80\x05"  # of a pickle of protocol 5


def dumps(value: object) -> bytes:
    """The bytes of a plain value. DumpError names the type of what is not plain."""
    return pack(value, None)


def loads(data: Buffer) -> Any:
    """The value that `dumps` made bytes of, in this or another Python. LoadError if they are not its."""
    return unpack(data, None)


def dump(file: BinaryIO, value: object) -> None:
    """Write the bytes of a plain value. DumpError, and nothing is written, if it is none."""
    file.write(dumps(value))


def load(file: BinaryIO) -> Any:
    """Read one value that `dump` wrote; the file is then at what follows it. LoadError."""
    return _loaded(_Unpickler(file, None))


# With channels: for a gateway's own messages.


def pack(value: object, number: Callable[[Any], int | None] | None) -> bytes:
    """As `dumps`; `number(x)` is the id of x if it is a channel of this gateway, else None."""
    if type(value) in SIMPLE:
        return pickle.dumps(value, _PROTOCOL)
    file = io.BytesIO()
    try:
        _Pickler(file, number).dump(value)
    except pickle.PicklingError as exc:
        raise DumpError(f"can't serialize {_named(value)}: {exc}") from None
    except RecursionError:
        raise DumpError(f"can't serialize {_named(value)}: it is nested too deeply") from None
    return file.getvalue()


def unpack(data: Buffer, channel: Callable[[int], Any] | None) -> Any:
    """As `loads`; `channel(id)` is the channel of that id."""
    if bytes(data[:2]) != _BEGINNING:
        raise LoadError("these are not the bytes of a plain value")
    if is_lone(data):
        try:
            return pickle.loads(data)
        except Exception as exc:
            raise _damaged(exc) from None
    sharing.check(data)
    return _loaded(_Unpickler(io.BytesIO(data), channel))


def _loaded(reader: _Unpickler) -> Any:
    try:
        return reader.whole()
    except LoadError:
        raise
    except MemoryError:
        raise LoadError("the value needs more memory than there is") from None
    except Exception as exc:
        raise _damaged(exc) from None


def _damaged(exc: Exception) -> LoadError:
    # Whatever a damaged pickle makes of the reader; the kind of error is enough.
    return LoadError(f"these are not the bytes of a plain value ({type(exc).__name__})")


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, number: Callable[[Any], int | None] | None) -> None:
        super().__init__(file, _PROTOCOL)
        self._number = number
        self._count = 0  # of channels

    def reducer_override(self, value: Any) -> Any:
        # Of plain values only complex comes here; all others are written without a question.
        if value is complex or value is _channel or type(value) is complex:
            return NotImplemented
        number = self._number(value) if self._number is not None else None
        if number is None:
            raise DumpError(
                f"can't serialize {_named(value)}: plain values only, which are numbers, texts, bytes, "
                "and lists, tuples, sets and dicts of them"
                # Arrays have it, and numbers that look like Python's own but are NumPy's.
                f"{'; send what its tolist() gives' if hasattr(type(value), 'tolist') else ''}"
            )
        self._count += 1
        if self._count > MOST:
            raise DumpError(f"can't serialize more than {MOST} channels in one value")
        return _channel, (number,)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, channel: Callable[[int], Any] | None) -> None:
        super().__init__(file)
        self._channel = channel
        self._word: Word | None = None  # once it was named

    def whole(self) -> Any:
        """The value, with its channels."""
        value = self.load()
        if self._channel is not None and self._word is not None:
            return Settling(self._channel)(value)
        return value

    def find_class(self, module: str, name: str) -> Any:
        if module == "builtins" and name == "complex":
            return complex
        if module == __name__ and name == _channel.__name__ and self._channel is not None:
            self._word = self._word or Word()
            return self._word
        raise LoadError("the bytes name what is no plain value")


def _channel(number: int) -> NoReturn:
    raise AssertionError("it stands for a channel in a pickle, and is never called")


def _named(value: Any) -> str:
    kind = type(value)
    return (
        f"a {kind.__qualname__}"
        if kind.__module__ == "builtins"
        else f"a {kind.__module__}.{kind.__qualname__}"
    )
