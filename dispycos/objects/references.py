"""References in bytes of an end that is not trusted: inert until all is read.

A pickle tells its reader to call, to fill and to change what it made before. So nothing that a
peer refers to may stand there while its bytes are read, or it could be called or changed around
its table: only placeholders do, which can do nothing, made by words that can't be changed.
What they refer to takes their places when the whole value is there.

Pure: no I/O, clock or randomness. Row GN-05.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final, NoReturn

from dispycos.errors import LoadError
from dispycos.objects.access import SPECIAL, Shape
from dispycos.objects.arrays import PLAIN, made_of
from dispycos.objects.tuples import NamedFields

_SINGLE: Final = (Ellipsis, NotImplemented)
# Types that both ends have, by their place here. Only ever add at the end, and none of those below:
# what they make is sent by their names, which are taken for that.
TYPES: Final = (type(None), bool, int, float, str, bytes, list, tuple, dict, set, frozenset)
_OF_TYPES: Final = object()  # the shape of a placeholder of one of them
_OF_ARRAYS: Final = object()  # that of an array, whose parts stand in place of the number


class Reference:
    """A placeholder: of an object of the sender if it has a shape, of a type, else of one of the receiver."""

    __slots__ = ("number", "shape")

    def __init__(self, number: Any, shape: Any = None) -> None:
        self.number = number
        self.shape = shape


class _Word:
    # What a pickle may call. It has nothing that could be changed.

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a word can't be changed")


class _Theirs(_Word):
    __slots__ = ()

    def __call__(self, number: Any, shape: Any) -> Reference:
        return Reference(number, shape)


class _Yours(_Word):
    __slots__ = ()

    def __call__(self, number: Any) -> Reference:
        return Reference(number)


class _Tuple(_Word):
    __slots__ = ()

    def __call__(self, values: Any, names: Any) -> NamedFields:
        if type(values) is not tuple or type(names) is not tuple or not all(type(n) is str for n in names):
            raise LoadError("a tuple with names of another form than this end knows")
        return NamedFields(values, names)


class _Single(_Word):
    __slots__ = ()

    def __call__(self, number: int) -> Any:
        return _SINGLE[number]


class _Type(_Word):
    __slots__ = ()

    def __call__(self, number: Any) -> Reference:
        # A placeholder as well, or what is read could call it.
        return Reference(number, _OF_TYPES)


class _Array(_Word):
    __slots__ = ()

    def __call__(self, parts: Any) -> Reference:
        # An array has much that could be called and changed.
        return Reference(parts, _OF_ARRAYS)


class _Same(_Word):
    __slots__ = ()

    def __call__(self, value: Any) -> Any:
        if type(value) not in PLAIN:
            raise LoadError("a number or text of another form than this end knows")
        return value


class _Make(_Word):
    __slots__ = ("_kind",)

    _kind: type

    def __init__(self, kind: type) -> None:
        object.__setattr__(self, "_kind", kind)

    def __call__(self, *parts: Any) -> Any:
        return self._kind(*parts)


class _Bytearray(_Word):
    __slots__ = ()

    def __call__(self, data: bytes = b"") -> bytearray:
        if type(data) is not bytes:  # a number would be a size
            raise LoadError("a bytearray of another form than this end knows")
        return bytearray(data)


# What each name in the bytes means; see `values`.
WORDS: Final[dict[str, _Word]] = {
    "_theirs": _Theirs(),
    "_yours": _Yours(),
    "_tuple": _Tuple(),
    "_single": _Single(),
    "_type": _Type(),
    "_array": _Array(),
    "_same": _Same(),
}
# What makes data of each type: nothing that is small in bytes and large in memory.
MAKERS: Final[dict[type, _Word]] = {
    bytearray: _Bytearray(),
    **{
        kind: _Make(kind)
        for kind in (complex, range, slice, date, time, datetime, timedelta, timezone, Decimal)
    },
}


def shape_of(described: Any) -> Shape:
    """A shape as it was sent. LoadError if it is none."""
    # Between ends that do not trust each other, `more` is names.
    if type(described) is tuple and len(described) in (4, 5):
        kind, special, methods, open_, *rest = described
        more = rest[0] if rest else ()
        if (
            type(kind) is str
            and type(open_) is bool
            and type(special) is type(methods) is type(more) is tuple
            and all(type(name) is str and name in SPECIAL for name in special)
            and all(type(name) is str for name in (*methods, *more))
        ):
            return Shape(kind, special, methods, open_, more)
    raise LoadError("an object of another shape than this end knows")


_FEW: Final = 64  # bytes; equal ones may be one object, and what they are made to is as small


class Settling:
    """Puts what is referred to in the places of references, throughout a value.

    proxy   makes that of an object of the sender, by number and shape.
    object  the receiver's object of a number.
    """

    def __init__(self, proxy: Callable[[int, Shape], Any], object: Callable[[int], Any]) -> None:
        self._proxy = proxy
        self._object = object
        self._seen: set[int] = set()  # lists, dicts and sets; they may hold themselves
        # What was made of each of the others, once: a few bytes can name one ever again. Each is
        # kept with it, or another one could get its identity.
        self._made: dict[int, tuple[Any, Any]] = {}
        self._data: set[int] = set()  # bytes of arrays, which `_made` keeps

    def __call__(self, value: Any) -> Any:
        """The value with all its references settled. LoadError, TypeError, RecursionError."""
        kind = type(value)
        if kind is Reference and value.shape is not _OF_ARRAYS:
            return self._settled(value)
        if kind in (Reference, tuple, NamedFields, frozenset, slice):
            if id(value) not in self._made:
                made = self._array(value.number) if kind is Reference else self._remade(value)
                # A list in it may have come back to it.
                self._made.setdefault(id(value), (value, made))
            return self._made[id(value)][1]
        if kind in (list, dict, set) and id(value) not in self._seen:
            self._seen.add(id(value))
            self._fill(value)
        return value

    def _remade(self, value: Any) -> Any:
        # What can't be changed, made anew.
        kind = type(value)
        if kind is tuple:
            return tuple(map(self, value))
        if kind is NamedFields:
            return NamedFields(tuple(map(self, value)), value._names)
        if kind is frozenset:
            return frozenset(map(self, value))
        return slice(self(value.start), self(value.stop), self(value.step))

    def _array(self, parts: Any) -> Any:
        array = made_of(parts)
        data = parts[2]
        if len(data) > _FEW:
            # An array of our own is as large as what came for it: nobody makes many of one.
            if id(data) in self._data:
                raise LoadError("the bytes of one array came for another one, too")
            self._data.add(id(data))
        return array

    def _settled(self, reference: Reference) -> Any:
        if type(reference.number) is not int:
            raise LoadError("a reference without a number")
        if reference.shape is _OF_TYPES:
            if not 0 <= reference.number < len(TYPES):
                raise LoadError(f"a built-in type of another number than this end knows: {reference.number}")
            return TYPES[reference.number]
        if reference.shape is None:
            return self._object(reference.number)
        return self._proxy(reference.number, shape_of(reference.shape))

    def _fill(self, value: Any) -> None:
        if type(value) is list:
            value[:] = map(self, value)
        elif type(value) is dict:
            items = [(self(key), self(item)) for key, item in value.items()]
            value.clear()
            value.update(items)
        else:
            held = list(map(self, value))
            value.clear()
            value.update(held)
