"""Restricted: an object of which only some names can be read, and some written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dispycos.arguments import texts
from dispycos.objects.access import SPECIAL, Names, Shape, kind_of, refuse


class Restricted:
    """What `restricted` gives. Here and at the other end it has just the names it was given."""

    __slots__ = ("_object", "_table")

    def __init__(self, thing: Any, table: Names) -> None:
        put = object.__setattr__
        put(self, "_object", thing)
        put(self, "_table", table)

    def __getattr__(self, name: str) -> Any:
        return self._table.get(self._object, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._table.set(self._object, name, value)

    def __delattr__(self, name: str) -> None:
        raise refuse(name)

    def __dir__(self) -> list[str]:
        return sorted({*self._table.read, *self._table.write, *self._table.call})

    def __repr__(self) -> str:
        return f"<restricted {kind_of(self._object)}>"


class RestrictedAccess:
    """The table of a Restricted: that of what is inside."""

    def shape(self, value: Any) -> Shape:
        return _table(value).shape(_inside(value))

    def get(self, value: Any, name: str) -> Any:
        return _table(value).get(_inside(value), name)

    def set(self, value: Any, name: str, new: Any) -> None:
        _table(value).set(_inside(value), name, new)

    def delete(self, value: Any, name: str) -> None:
        raise refuse(name)

    def method(self, value: Any, name: str) -> Callable[..., Any]:
        return _table(value).method(_inside(value), name)


def restricted(thing: Any, attrs: Iterable[str], wattrs: Iterable[str] = ()) -> Restricted:
    """The object with just these names.

    attrs   may be read and called; special methods such as `__len__` work if they are named.
    wattrs  may be written.
    TypeError for what is no names.
    """
    names, written = frozenset(texts("attrs", attrs)), frozenset(texts("wattrs", wattrs))
    return Restricted(thing, Names(read=names - SPECIAL, write=written, call=names & SPECIAL))


def _inside(value: Restricted) -> Any:
    return object.__getattribute__(value, "_object")


def _table(value: Restricted) -> Names:
    table: Names = object.__getattribute__(value, "_table")
    return table
