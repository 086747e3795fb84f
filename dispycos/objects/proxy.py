"""Proxies: objects of the other end, seen from here.

A proxy says what it is and where: its class is made of the object's shape, so that special
methods work as Python's syntax needs them. Whatever it is asked goes to the other end, except
what it can answer by itself: its identity, its hash and its text where these are not the object's own.
"""

from __future__ import annotations

import functools
from typing import Any, NoReturn, Protocol

from dispycos.objects import failure
from dispycos.objects.access import CONTEXT, Shape, refuse


class Host(Protocol):
    """What a proxy needs of its connection."""

    name: str
    closed: bool

    def get(self, number: int, name: str) -> Any: ...
    def set(self, number: int, name: str, value: Any) -> None: ...
    def delete(self, number: int, name: str) -> None: ...
    def method(self, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...
    def dropped(self, number: int, count: int) -> None: ...


class Proxy:
    """An object of the other end."""

    __slots__ = ("__weakref__", "_connection", "_count", "_number", "_shape")

    _connection: Host
    _number: int
    _shape: Shape
    _count: int

    def __init__(self, connection: Host, number: int, shape: Shape) -> None:
        put = object.__setattr__
        put(self, "_connection", connection)
        put(self, "_number", number)
        put(self, "_shape", shape)
        put(self, "_count", 0)  # references that the other end sent

    def __getattr__(self, name: str) -> Any:
        shape = self._shape
        if name in shape.methods:
            return Method(self, name)
        if not shape.open or (name.startswith("__") and name.endswith("__") and name in _LOCAL):
            raise refuse(name)
        return self._connection.get(self._number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._connection.set(self._number, name, value)

    def __delattr__(self, name: str) -> None:
        self._connection.delete(self._number, name)

    def __repr__(self) -> str:
        where = "a closed connection" if self._connection.closed else self._connection.name
        return f"<proxy of a {self._shape.kind} at {where}>"

    def __dir__(self) -> list[str]:
        return sorted({*self._shape.methods, *self._shape.special, *self._shape.more})

    def __reduce_ex__(self, protocol: object) -> Any:
        raise TypeError(
            f"{self!r} belongs to its connection, and can't be pickled or copied: ask its owner for its data"
        )

    def __mro_entries__(self, bases: object) -> NoReturn:
        # Else Python would make a proxy of what stands in the class.
        raise TypeError(f"no class here can derive from one of {self._connection.name}: define it there")

    def __del__(self) -> None:
        # In any thread, at any moment: it only leaves word.
        self._connection.dropped(self._number, self._count)


# What Python itself asks objects for in passing; the other end is not bothered.
_LOCAL = frozenset({
    "__wrapped__", "__array_interface__", "__array_struct__", "__array__", "__length_hint__", "__fspath__",
    "__index__", "__await__", "__set_name__", "__objclass__", "__isabstractmethod__", "__class_getitem__",
    "__deepcopy__", "__copy__", "__getstate__", "__setstate__", "__getnewargs_ex__", "__getnewargs__",
    "__getinitargs__", "__conform__", "__buffer__", "__iter__", "__len__", "__bool__",
})  # fmt: skip


class Method:
    """A method of a proxy: a call of it is one message."""

    __slots__ = ("__name__", "proxy")

    def __init__(self, proxy: Proxy, name: str) -> None:
        self.proxy = proxy
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        proxy = self.proxy
        return proxy._connection.method(proxy._number, self.__name__, args, kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Method) and other.proxy is self.proxy and other.__name__ == self.__name__

    def __hash__(self) -> int:
        return hash((id(self.proxy), self.__name__))

    def __repr__(self) -> str:
        return f"<method {self.__name__} of {self.proxy!r}>"


@functools.lru_cache(maxsize=1024)
def class_of(special: tuple[str, ...], base: type[Proxy] = Proxy) -> type[Proxy]:
    """The class of proxies with these special methods."""
    return type(base.__name__, (base,), {"__slots__": (), **{name: _forward(name) for name in special}})


def _forward(name: str) -> Any:
    if name == "__exit__":
        return _leave

    def call(self: Proxy, *args: Any, **kwargs: Any) -> Any:
        return self._connection.method(self._number, name, args, kwargs)

    call.__name__ = name
    return call


def _leave(self: Proxy, kind: Any, error: Any, trace: Any) -> Any:
    if self._shape.kind == CONTEXT and not self._shape.open:
        # Its generator is to raise the error there, so it goes as it would if it came from there.
        described = None if error is None else failure.describe(error)
        return self._connection.method(self._number, "__exit__", (described,), {})
    return self._connection.method(self._number, "__exit__", (kind, error, trace), {})
