"""Values between two ends: plain ones as they are, all others as references.

Built-in data travels by value, nested as one likes. An object of the sender becomes a proxy; a
proxy that comes back to where its object is becomes that object again. The bytes are pickles
that can name nothing but the few things listed here, and hold nothing but placeholders until they
are read (`references`), so reading them runs no code of anybody's.
Whoever trusts the other end with all there is may send more by value.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final, NoReturn, Protocol

from dispycos import sharing
from dispycos.errors import DumpError, LoadError
from dispycos.model import Buffer
from dispycos.objects import arrays
from dispycos.objects.access import Shape
from dispycos.objects.references import MAKERS, TYPES, WORDS, Settling
from dispycos.objects.tuples import NamedFields, names_of
from dispycos.pickling.lone import SIMPLE, is_lone

_PROTOCOL: Final = 5

# By value too: they are made by the names that stand here, and by nothing else.
_BUILTIN: Final[dict[tuple[str, str], type]] = {
    (kind.__module__, kind.__name__): kind
    for kind in (complex, range, slice, bytearray, date, time, datetime, timedelta, timezone, Decimal)
}
_BUILTIN_KINDS: Final = frozenset(_BUILTIN.values())
_TIMES: Final = (time, datetime)
_ZONES: Final = (type(None), timezone)  # others know more than their offset
_SINGLE: Final = (Ellipsis, NotImplemented)


class Ends(Protocol):
    """What packing and unpacking need of the connection."""

    def refer(self, value: Any) -> tuple[int, Shape]:
        """Count a reference to an object of this end: its number, and what to tell of it."""

    def ours(self, proxy: Any) -> int | None:
        """The number of the other end's object behind a proxy; None if it is no proxy of this connection."""

    def by_value(self, value: Any) -> bool:
        """Whether an object that is no built-in data is pickled as ever."""

    def proxy(self, number: int, shape: Shape) -> Any:
        """The proxy of an object of the other end."""

    def object(self, number: int) -> Any:
        """The object of this end that the other end refers to."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may name beside what stands here; LoadError for all else."""


class Codec:
    """Packs and unpacks for one connection.

    trusting      the other end may name what `ends.find_class` finds, and so run any code here.
    data_travels  built-in types of data are sent by name, and NumPy's plain values as copies.
    """

    def __init__(self, ends: Ends, trusting: bool, data_travels: bool = False) -> None:
        self._ends = ends
        self._trusting = trusting
        self._data_travels = data_travels

    def pack(self, value: Any, *, refer: bool = False) -> bytes:
        """The bytes of a value.

        refer  the value itself goes as a reference, if it can be changed.
        DumpError says what can't be sent.
        """
        if type(value) in SIMPLE:
            return pickle.dumps(value, _PROTOCOL)
        file = io.BytesIO()
        pickler = _Pickler(file, self._ends, self._data_travels)
        try:
            if refer and isinstance(value, list | dict | set | bytearray):
                value = ByReference(value)
            pickler.dump(value)
        except pickle.PicklingError as exc:
            raise DumpError(str(exc)) from None
        except RecursionError:
            raise DumpError("the value is nested too deeply, or the calls are that lead here") from None
        return file.getvalue()

    def pack_request(
        self, what: int, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes:
        """As `pack`, of what is asked."""
        if kwargs or not SIMPLE.issuperset(map(type, args)):
            return self.pack((what, number, name, args, kwargs))
        return pickle.dumps((what, number, name, args, kwargs), _PROTOCOL)

    def unpack(self, data: Buffer) -> Any:
        """The value in these bytes. LoadError."""
        if is_lone(data):
            try:
                return pickle.loads(data)
            except Exception as exc:
                raise _unreadable(exc) from exc
        return self.unpack_inside(data)

    def unpack_inside(self, data: Buffer) -> Any:
        """As `unpack`, of a value that others are inside of, as of what `pack_request` made."""
        try:
            file = io.BytesIO(data)
            if self._trusting:
                return _Trusting(file, self._ends).load()
            sharing.check(data)
            reader = _Unpickler(file)
            value = reader.load()
            return Settling(self._ends.proxy, self._ends.object)(value) if reader.refers else value
        except LoadError:
            raise
        except Exception as exc:
            raise _unreadable(exc) from exc


def _unreadable(error: Exception) -> LoadError:
    return LoadError(f"a value could not be read ({type(error).__name__}: {error})")


class ByReference:
    """Around a value that would go by value otherwise."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, ends: Ends, data_travels: bool) -> None:
        super().__init__(file, _PROTOCOL)
        self._ends = ends
        self._data_travels = data_travels

    def reducer_override(self, value: Any) -> Any:
        # Numbers, texts, bytes, lists, tuples, dicts and sets never come here.
        kind = type(value)
        if kind in _BUILTIN_KINDS and not (kind in _TIMES and type(value.tzinfo) not in _ZONES):
            return NotImplemented
        if kind is type and self._data_travels and value in TYPES:
            return _type, (TYPES.index(value),)
        if value in _MADE_BY:
            return NotImplemented
        if self._data_travels:
            plain = arrays.plain_of(value)
            if plain is not None:
                return _same, (plain,)
            parts = arrays.parts_of(value)
            if parts is not None:
                return _array, (parts,)
        if type(value) is ByReference:
            return self._reference(value.value)
        number = self._ends.ours(value)
        if number is not None:
            return _yours, (number,)
        if self._ends.by_value(value):
            return NotImplemented
        if isinstance(value, tuple) and (names := names_of(value)) is not None:
            return _tuple, (tuple(value), names)
        if value is Ellipsis or value is NotImplemented:
            return _single, (_SINGLE.index(value),)
        return self._reference(value)

    def _reference(self, value: Any) -> Any:
        number, shape = self._ends.refer(value)
        # Of most objects there is nothing more to tell.
        return _theirs, (number, tuple(shape) if shape.more else tuple(shape[:4]))


class _Unpickler(pickle.Unpickler):
    refers = False  # whether it read a reference

    def find_class(self, module: str, name: str) -> Any:
        kind = _BUILTIN.get((module, name))
        if kind is not None:
            return MAKERS[kind]
        if module == __name__ and name in WORDS:
            self.refers = True
            return WORDS[name]
        raise LoadError(f"{module}.{name} may not be named here")


class _Trusting(pickle.Unpickler):
    def __init__(self, file: Any, ends: Ends) -> None:
        super().__init__(file)
        self._ends = ends

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__:
            match name:
                case "_theirs":
                    # Nothing of this reader, whose memory would keep the proxy through it.
                    ends = self._ends
                    return lambda number, shape: ends.proxy(number, Shape(*shape))
                case "_yours":
                    return self._ends.object
                case "_tuple":
                    return NamedFields
                case "_single":
                    return _SINGLE.__getitem__
                case "_type":
                    return TYPES.__getitem__
                case "_array":
                    return arrays.made_of
                case "_same":
                    return _identity
        found = _BUILTIN.get((module, name))
        if found is not None:
            return found
        return self._ends.find_class(module, name)


# Pickles name these; `_Unpickler.find_class` says what each means. None is ever called.


def _theirs(number: int, shape: Shape) -> NoReturn:
    raise AssertionError


def _yours(number: int) -> NoReturn:
    raise AssertionError


def _tuple(values: tuple[Any, ...], names: tuple[str, ...]) -> NoReturn:
    raise AssertionError


def _single(number: int) -> NoReturn:
    raise AssertionError


def _type(number: int) -> NoReturn:
    raise AssertionError


def _array(parts: tuple[Any, ...]) -> NoReturn:
    raise AssertionError


def _same(value: Any) -> NoReturn:
    raise AssertionError


def _identity(value: Any) -> Any:
    return value


class _MadeBy:
    # What reducing a value above brings to the pickler, which asks about it again.

    def __init__(self, things: tuple[Callable[..., Any], ...]) -> None:
        self._identities = frozenset(map(id, things))

    def __contains__(self, value: object) -> bool:
        return id(value) in self._identities


_MADE_BY: Final = _MadeBy((_theirs, _yours, _tuple, _single, _type, _array, _same, *_BUILTIN_KINDS))
