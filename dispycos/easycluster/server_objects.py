"""Server objects: what stays where it was made, and the tables of what others may do with it.

A class says so itself (`ServerObject`), or somebody says it of a class (`make_server_class`) or
of one object (`make_singleton`). Without a table all that is public may be used. Rows EC-25, EC-29,
EC-30, EC-33; GN-05.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from dispycos.easycluster.proxies import RemoteProxy
from dispycos.objects.access import SPECIAL, Full, Shape, kind_of, refuse
from dispycos.objects.values import ByReference

AUTO: Final = "@auto"  # all that is public

# A proxy says itself what it is.
_NOT_AUTO: Final = frozenset({"__repr__", "__dir__"})

# Never by reference: they can't be changed, so a copy is as good.
_ALWAYS_BY_VALUE: Final = (
    type(None), bool, int, float, str, bytes, tuple, frozenset, complex, range, slice, types.EllipsisType,
    types.NotImplementedType,
)  # fmt: skip

# By reference if they are told to be; pickling has ways of its own for them, which ask nobody.
_CONTAINERS: Final = (list, dict, set, bytearray)


class ServerObject:
    """Base of classes whose instances stay at the server; a master gets proxies.

    export_methods, export_attrs  names that a master may call, and get and set; "@auto": all
        public ones, which is also what no table at all means.
    export_attrs_cache            names of attributes that a proxy asks for once.
    proxy_class                   the class of the proxies, whose own tables then count.
    """

    export_methods: Any = None
    export_attrs: Any = None
    export_attrs_cache: Any = None
    proxy_class: Any = None


@dataclass(frozen=True, slots=True)
class Table:
    """What a master may do with an object; an `objects.access.Access`."""

    methods: tuple[str, ...]
    attrs: tuple[str, ...]  # those of `cached` among them
    cached: tuple[str, ...]
    auto_methods: bool
    auto_attrs: bool
    proxy_class: type[RemoteProxy] | None

    @classmethod
    def of(cls, methods: Any, attrs: Any, cached: Any, proxy_class: Any) -> Table:
        """A table of what a class or a caller says. TypeError."""
        if proxy_class is not None:
            if not (isinstance(proxy_class, type) and issubclass(proxy_class, RemoteProxy)):
                raise TypeError(f"proxy_class={proxy_class!r} is no subclass of RemoteProxy")
            if methods is None and attrs is None and cached is None:
                methods, attrs = proxy_class.proxy_methods, proxy_class.proxy_attrs
                cached = proxy_class.proxy_attrs_cache
        elif methods is None and attrs is None and cached is None:
            methods = attrs = AUTO
        listed = _names(methods), _names(attrs), _names(cached)
        return cls(
            tuple(name for name in listed[0] if name != AUTO),
            tuple(dict.fromkeys(name for name in (*listed[1], *listed[2]) if name != AUTO)),
            tuple(name for name in listed[2] if name != AUTO),
            AUTO in listed[0],
            AUTO in listed[1] or AUTO in listed[2],
            proxy_class,
        )

    def shape(self, value: Any) -> Shape:
        """What the other end is told: enough for a proxy."""
        names = self.methods
        if self.auto_methods:
            full = Full().shape(value)
            auto = [*full.methods, *(name for name in full.special if name not in _NOT_AUTO)]
            names = tuple(dict.fromkeys((*names, *auto)))
        kind = self.proxy_class
        return Shape(
            kind_of(value),
            tuple(name for name in names if name in SPECIAL),
            tuple(name for name in names if name not in SPECIAL),
            self.auto_attrs,
            (
                self.attrs,
                self.cached,
                (kind.__module__, kind.__qualname__) if kind else (),
                self.auto_methods,
            ),
        )

    def get(self, value: Any, name: str) -> Any:
        """An attribute of it."""
        if name in self.attrs or name in self.methods or ((self.auto_attrs) and not name.startswith("_")):
            return getattr(value, name)
        raise refuse(name)

    def set(self, value: Any, name: str, new: Any) -> None:
        """Change one."""
        if name not in self.attrs and (not self.auto_attrs or name.startswith("_")):
            raise refuse(name)
        setattr(value, name, new)

    def delete(self, value: Any, name: str) -> None:
        """Nothing is deleted from afar."""
        raise refuse(name)

    def method(self, value: Any, name: str) -> Callable[..., Any]:
        """A method of it, to be called at once."""
        auto = name in SPECIAL - _NOT_AUTO if name.startswith("_") else True
        if name not in self.methods and name not in self.attrs and not (self.auto_methods and auto):
            raise refuse(name)
        if name == "__call__":
            return value  # type: ignore[no-any-return]
        # Python looks for these in the class.
        found: Callable[..., Any] = getattr(value, name)
        return found


def _names(said: Any) -> tuple[str, ...]:
    if said is None:
        return ()
    if isinstance(said, str):
        return (said,)
    names = tuple(said)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{name!r} is no name to export")
    return names


_containers_stay = False  # some of the built-in ones are server objects
_classes: dict[type, Table] = {}
_singletons: dict[int, tuple[Any, Table]] = {}  # by identity; the object is kept, so that it stays its own


def make_server_class(
    cls: type,
    export_methods: Any = None,
    export_attrs: Any = None,
    export_attrs_cache: Any = None,
    proxy_class: Any = None,
) -> type:
    """Have instances of any class stay at the server, as those of a ServerObject; returns it.

    TypeError for what is no class, and for built-in data that can't be changed, which is always
    copied. Of list, dict, set and bytearray those stay that are results, or stand in them inside
    of built-in data; what stands in other objects that travel is copied with these.
    """
    if not isinstance(cls, type):
        raise TypeError(f"{cls!r} is no class; make_singleton takes an object")
    if cls in _ALWAYS_BY_VALUE:
        raise TypeError(f"instances of {cls.__name__} are always copied; derive a class from it")
    _note(cls)
    _classes[cls] = Table.of(export_methods, export_attrs, export_attrs_cache, proxy_class)
    return cls


def make_singleton(
    obj: Any,
    export_methods: Any = None,
    export_attrs: Any = None,
    export_attrs_cache: Any = None,
    proxy_class: Any = None,
) -> Any:
    """Have this one object stay at the server, and others of its class be copied; returns it.

    TypeError for built-in data that can't be changed, which is always copied.
    """
    if type(obj) in _ALWAYS_BY_VALUE:
        raise TypeError(f"a {type(obj).__name__} is always copied; derive a class from it")
    table = Table.of(export_methods, export_attrs, export_attrs_cache, proxy_class)
    _note(type(obj))
    _singletons[id(obj)] = obj, table
    return obj


def _note(kind: type) -> None:
    global _containers_stay
    if kind in _CONTAINERS:
        _containers_stay = True


def staying(value: Any) -> Any:
    """A result, with what stays here marked where pickling would not ask."""
    return _marked(value, {}) if _containers_stay else value


def _marked(value: Any, done: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in _CONTAINERS and table_of(value) is not None:
        return ByReference(value)
    if kind is tuple:
        return tuple(_marked(item, done) for item in value)
    if kind is not list and kind is not dict:
        return value  # what stands in a set has a hash, so it is none of these
    if id(value) in done:
        return done[id(value)]
    if kind is list:
        items = done[id(value)] = []
        items.extend(_marked(item, done) for item in value)
        return items
    made: dict[Any, Any] = {}
    done[id(value)] = made
    made.update((key, _marked(item, done)) for key, item in value.items())
    return made


def table_of(value: Any) -> Table | None:
    """The table of a server object; None: it is copied."""
    found = _singletons.get(id(value))
    if found is not None:
        return found[1]
    kind = type(value)
    for base in kind.__mro__:
        if base in _classes:
            return _classes[base]
        if base is ServerObject:
            # Of the class itself, so that whatever a subclass says counts.
            own: Any = kind
            return Table.of(own.export_methods, own.export_attrs, own.export_attrs_cache, own.proxy_class)
    return None
