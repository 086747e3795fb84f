"""Remote proxies: server objects, seen from the master.

What a proxy has is written into its class, so that a name that is not exported is an
AttributeError without a question to the server. The class is one that the definitions name, or one
made of what the server's table lists. Rows EC-25, EC-27, EC-30 to EC-32, EC-42.
"""

from __future__ import annotations

import functools
from typing import Any, Final, Protocol

from dispycos.objects import proxy
from dispycos.objects.access import Shape
from dispycos.objects.exports import ROOT
from dispycos.objects.proxy import Proxy

AUTO: Final = "@auto"

_DYNAMIC: Final = "dynamic_proxy_"  # names of classes that are made of a table begin so


class Host(Protocol):
    """What a proxy needs of its client."""

    def ask_method(self, proxy: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method of the object; `kwargs` may hold options of the call."""

    def ask_attribute(self, proxy: Any, name: str) -> Any:
        """An attribute of the object."""

    def ask_change(self, proxy: Any, name: str, value: Any) -> None:
        """Change one."""


class RemoteProxy(Proxy):
    """An object at a server.

    proxy_methods      names that are called at the server; special ones such as `__len__` too.
    proxy_attrs        names that are got and set at the server.
    proxy_attrs_cache  the same, but asked for once.
    """

    __slots__ = ("_cache", "_client")

    proxy_methods: Any = ()
    proxy_attrs: Any = ()
    proxy_attrs_cache: Any = ()

    _attrs: frozenset[str] = frozenset()  # those of a class and its bases; the cached ones too
    _cached: frozenset[str] = frozenset()

    _client: Host
    _cache: dict[str, Any]

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        own = vars(cls)
        for name in _listed(own.get("proxy_methods")):
            if name not in own:
                setattr(cls, name, _method(name))
        cls._cached = cls._cached | set(_listed(own.get("proxy_attrs_cache")))
        cls._attrs = cls._attrs | cls._cached | set(_listed(own.get("proxy_attrs")))

    def __init__(self, connection: proxy.Host, number: int, shape: Shape, client: Host) -> None:
        super().__init__(connection, number, shape)
        object.__setattr__(self, "_client", client)
        object.__setattr__(self, "_cache", {})

    def raw_call_method(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method by its name; options of calls may be among `kwargs`."""
        return self._client.ask_method(self, name, args, kwargs)

    def raw_get_attribute(self, name: str) -> Any:
        """Get an attribute by its name."""
        return self._client.ask_attribute(self, name)

    def raw_set_attribute(self, name: str, value: Any) -> None:
        """Set an attribute by its name."""
        self._client.ask_change(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # What the class has was found before. The server's attributes are not properties of it:
        # Python would take an AttributeError from there for the lack of one.
        if name in self._cached:
            if name not in self._cache:
                self._cache[name] = self.raw_get_attribute(name)
            return self._cache[name]
        if name in self._attrs:
            return self.raw_get_attribute(name)
        shape = self._shape
        if name in shape.methods:
            return functools.partial(self.raw_call_method, name)
        if shape.open and not name.startswith("_"):
            return self.raw_get_attribute(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._attrs:
            self.raw_set_attribute(name, value)
            self._cache.pop(name, None)
        elif self._shape.open and not name.startswith("_") and not hasattr(type(self), name):
            self.raw_set_attribute(name, value)
        else:
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)

    def __repr__(self) -> str:
        name = type(self).__name__
        if name.startswith(_DYNAMIC):
            name = RemoteProxy.__name__
        where = "<closed connection>" if self._connection.closed else self._connection.name
        return f"<{name} for oid {self._number - ROOT} on {where}>"

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._shape.methods, *self._attrs})


@functools.lru_cache(maxsize=1024)
def made_of(shape: Shape) -> type[RemoteProxy]:
    """The class of proxies of objects of a shape that names no class."""
    attrs, cached, _, auto = shape.more
    methods = (*shape.methods, *shape.special)
    name = RemoteProxy.__name__ if auto else _DYNAMIC + "_".join((*methods, *attrs))
    return type(
        name,
        (RemoteProxy,),
        {
            "__slots__": (),
            "__module__": __name__,
            "proxy_methods": methods,
            "proxy_attrs": tuple(name for name in attrs if name not in cached),
            "proxy_attrs_cache": cached,
        },
    )


def _listed(names: Any) -> tuple[str, ...]:
    if names is None:
        return ()
    return tuple(name for name in ((names,) if isinstance(names, str) else names) if name != AUTO)


def _method(name: str) -> Any:
    def call(self: RemoteProxy, *args: Any, **kwargs: Any) -> Any:
        return self.raw_call_method(name, *args, **kwargs)

    call.__name__ = name
    return call


# Below what makes its method.
class SelfIterProxy(RemoteProxy):
    """A proxy of an iterator: it is its own iterator here as well."""

    __slots__ = ()

    proxy_methods = ("__next__",)

    def __iter__(self) -> SelfIterProxy:
        return self
