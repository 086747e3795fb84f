"""Access: what the other end may do with an object. An explicit table for each way of sharing.

The end that holds the object decides; the other one may ask for anything and is told
AttributeError. Nothing here looks a name up before the table allowed it.

Pure: no I/O, clock or randomness. Rows GN-05, RP-16, RP-19, RP-28.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import field
from typing import Any, Final, NamedTuple, Protocol

from dispycos.records import record

# Methods that Python looks for in the class, so a proxy's class must have them for the syntax to work.
SPECIAL: Final = frozenset({
    "__call__", "__len__", "__iter__", "__next__", "__reversed__", "__contains__", "__getitem__",
    "__setitem__", "__delitem__", "__enter__", "__exit__", "__bool__", "__int__", "__float__", "__complex__",
    "__index__", "__round__", "__trunc__", "__floor__", "__ceil__", "__eq__", "__ne__", "__lt__", "__le__",
    "__gt__", "__ge__", "__hash__", "__add__", "__sub__", "__mul__", "__matmul__", "__truediv__",
    "__floordiv__", "__mod__", "__divmod__", "__pow__", "__lshift__", "__rshift__", "__and__", "__xor__",
    "__or__", "__radd__", "__rsub__", "__rmul__", "__rmatmul__", "__rtruediv__", "__rfloordiv__", "__rmod__",
    "__rdivmod__", "__rpow__", "__rlshift__", "__rrshift__", "__rand__", "__rxor__", "__ror__", "__iadd__",
    "__isub__", "__imul__", "__imatmul__", "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__",
    "__ilshift__", "__irshift__", "__iand__", "__ixor__", "__ior__", "__neg__", "__pos__", "__abs__",
    "__invert__", "__str__", "__repr__", "__format__", "__dir__", "__instancecheck__", "__subclasscheck__",
})  # fmt: skip

# What every class has from object, and a proxy answers by itself unless the table says otherwise.
_OF_OBJECT: Final = frozenset({"__eq__", "__ne__", "__hash__", "__str__", "__repr__", "__format__", "__dir__",
    "__lt__", "__le__", "__gt__", "__ge__"})  # fmt: skip

PREFIX: Final = "exposed_"


class Shape(NamedTuple):
    """What the other end is told of an object: enough for a proxy. Plain values only."""

    kind: str  # its class, as one names it
    special: tuple[str, ...]  # special methods that may be called
    methods: tuple[str, ...]  # other methods that may be called; () if the table does not list them
    open: bool  # other names may be asked for as well
    more: tuple[Any, ...] = ()  # what proxies of one vocabulary are told beside it; else names for `dir`


class Access(Protocol):
    """A table. Each raises AttributeError for what it does not allow."""

    def shape(self, value: Any) -> Shape:
        """What the other end is told."""

    def get(self, value: Any, name: str) -> Any:
        """An attribute of it."""

    def set(self, value: Any, name: str, new: Any) -> None:
        """Change one."""

    def delete(self, value: Any, name: str) -> None:
        """Delete one."""

    def method(self, value: Any, name: str) -> Callable[..., Any]:
        """A method of it, to be called at once."""


def kind_of(value: Any) -> str:
    """Its class, as one names it."""
    return name_of_class(type(value))


def name_of_class(kind: type) -> str:
    """A class, as one names it."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def refuse(name: str) -> AttributeError:
    """What is said of any name that may not be reached."""
    return AttributeError(f"cannot access {name!r}")


class Full:
    """Everything: for peers that may run any code here anyway."""

    def shape(self, value: Any) -> Shape:
        return _full_shape(type(value))  # type: ignore[arg-type]  # classes are hashable

    def get(self, value: Any, name: str) -> Any:
        return getattr(value, name)

    def set(self, value: Any, name: str, new: Any) -> None:
        setattr(value, name, new)

    def delete(self, value: Any, name: str) -> None:
        delattr(value, name)

    def method(self, value: Any, name: str) -> Callable[..., Any]:
        if name == "__call__":
            return value  # type: ignore[no-any-return]
        if isinstance(value, type) and name in SPECIAL:
            # What a class has of these is for its instances.
            return functools.partial(getattr(type(value), name), value)
        found: Callable[..., Any] = getattr(value, name)
        return found


@functools.lru_cache(maxsize=1024)
def _full_shape(kind: type) -> Shape:
    special = tuple(sorted(name for name in SPECIAL if _has(kind, name)))
    methods: tuple[str, ...] = ()
    if not issubclass(kind, type):
        methods = tuple(
            name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name, None))
        )
    return Shape(name_of_class(kind), special, methods, True)


def _has(kind: type, name: str) -> bool:
    found = special_method(kind, name)
    return found is not None and (name not in _OF_OBJECT or found is not vars(object).get(name))


def special_method(kind: type, name: str) -> Any:
    """What instances of a class have of this name, for Python's syntax; None if they have nothing.

    Python itself puts None where a class refuses an operation.
    """
    # Not by getattr, which would find what the class's own class has.
    return next((vars(cls)[name] for cls in kind.__mro__ if name in vars(cls)), None)


@record
class Names:
    """Just these names: to read, to write, to call."""

    read: Collection[str] = field(default_factory=frozenset)
    write: Collection[str] = field(default_factory=frozenset)
    call: Collection[str] = field(default_factory=frozenset)

    def shape(self, value: Any) -> Shape:
        special = tuple(sorted(name for name in self.call if name in SPECIAL))
        return Shape(
            kind_of(value), special, tuple(sorted(set(self.call) - SPECIAL)), bool(self.read or self.write)
        )

    def get(self, value: Any, name: str) -> Any:
        if name in self.read or name in self.call:
            return getattr(value, name)
        raise refuse(name)

    def set(self, value: Any, name: str, new: Any) -> None:
        if name not in self.write:
            raise refuse(name)
        setattr(value, name, new)

    def delete(self, value: Any, name: str) -> None:
        raise refuse(name)

    def method(self, value: Any, name: str) -> Callable[..., Any]:
        if name in self.call:
            if name == "__call__":
                return value  # type: ignore[no-any-return]
            found: Callable[..., Any] = getattr(value, name)
            return found
        if name in self.read:
            found = getattr(value, name)
            return found  # noqa: RET504 - typed
        raise refuse(name)


CALLABLE: Final = Names(call=frozenset({"__call__"}))
ITERATOR: Final = Names(call=frozenset({"__iter__", "__next__"}))
OPAQUE: Final = Names()  # to be passed back, and nothing else


# What a function made by `contextlib.contextmanager` returns, as one names its class.
CONTEXT: Final = "contextlib._GeneratorContextManager"


class Exposed:
    """What a service marks: names that begin with `exposed_`, reached without it too, and `@exposed` ones."""

    def shape(self, value: Any) -> Shape:
        if isinstance(value, type):
            return _exposed_shape(value, True)
        shape = _exposed_shape(type(value), False)  # type: ignore[arg-type]  # classes are hashable
        held = [name for name in getattr(value, "__dict__", ()) if name.startswith(PREFIX)]
        if not held:
            return shape
        # Sorted, so that what is told does not depend on who was set first.
        names = {*shape.more, *(name.removeprefix(PREFIX) for name in held)}
        return shape._replace(more=tuple(sorted(names - set(shape.methods) - SPECIAL)))

    def get(self, value: Any, name: str) -> Any:
        return getattr(value, self._allowed(value, name))

    def set(self, value: Any, name: str, new: Any) -> None:
        raise refuse(name)

    def delete(self, value: Any, name: str) -> None:
        raise refuse(name)

    def method(self, value: Any, name: str) -> Callable[..., Any]:
        if name == "__call__" and isinstance(value, type):
            return value
        found: Callable[..., Any] = getattr(value, self._allowed(value, name))
        return found

    def _allowed(self, value: Any, name: str) -> str:
        real = self._found(value, name)
        if not real and name.startswith(PREFIX):
            # With its prefix it means the same, so it reaches nothing that is not reached without it.
            real = self._found(value, name.removeprefix(PREFIX))
            if real != name:
                raise refuse(name)
        if not real:
            raise refuse(name)
        return real

    def _found(self, value: Any, name: str) -> str:
        """The attribute that is exposed under this name; "" if there is none."""
        real = self._real(value if isinstance(value, type) else type(value), name)
        # Else one of the instance; that its class has properties must not matter.
        if not real and PREFIX + name in getattr(value, "__dict__", {}):
            real = PREFIX + name
        return real

    @staticmethod
    def _real(kind: type, name: str) -> str:
        """The attribute that is exposed under this name by the class; "" if there is none."""
        for cls in kind.__mro__:
            if PREFIX + name in vars(cls):
                return PREFIX + name
            if name in vars(cls):
                return name if getattr(vars(cls)[name], "_is_exposed", False) is True else ""
        return ""


@functools.lru_cache(maxsize=1024)
def _exposed_shape(kind: type, itself: bool) -> Shape:
    # Of instances of the class, or of the class itself.
    names = exposed_names(kind)
    if itself:
        names.add("__call__")
    special = tuple(sorted(names & SPECIAL))
    # Attributes that are no methods are read, one by one; `dir` lists them.
    methods = tuple(sorted(name for name in names - SPECIAL if _is_method(kind, name)))
    data = tuple(sorted(names - SPECIAL - set(methods)))
    return Shape("type" if itself else name_of_class(kind), special, methods, True, data)


def exposed_names(kind: type) -> set[str]:
    """What a class marks as exposed, as it is reached."""
    names = (name.removeprefix(PREFIX) for name in dir(kind))
    return {name for name in names if Exposed._real(kind, name)}


def _is_method(kind: type, name: str) -> bool:
    real = Exposed._real(kind, name)
    held = next(vars(cls)[real] for cls in kind.__mro__ if real in vars(cls))
    return callable(held) or isinstance(held, staticmethod | classmethod)


def exposed(thing: Any) -> Any:
    """Mark a function, method or class as exposed under its own name."""
    thing._is_exposed = True
    return thing
