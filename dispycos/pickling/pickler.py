"""CodePickler: pickles any value, and collects beside the pickle what code it needs.

Classes and top-level functions that travel by value are named by their ids; each is pickled
once by itself, until it changes. Nested functions, lambdas and closures are values.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import cloudpickle

from dispycos.errors import NotSerializable
from dispycos.pickling import c_types, origins, reductions, sentinels, stubs
from dispycos.records import record


class _Reducers(dict[type[Any], Callable[[Any], Any]]):
    """Ours, then cloudpickle's, then copyreg's, where a module imported later may register more.

    A ChainMap, as cloudpickle's own, is looked up in Python for each object; this is not.
    """

    # A method of a dict is not bound once more: it is called with the key alone.
    __missing__ = copyreg.dispatch_table.__getitem__

    def __init__(self) -> None:
        super().__init__(cloudpickle.Pickler.dispatch_table.maps[0] | reductions.DISPATCH)


class CodePickler(cloudpickle.Pickler):  # type: ignore[misc]  # untyped
    """Pickles any value; what its code needs is collected beside the pickle."""

    dispatch_table: ClassVar[Any] = _Reducers()

    def __init__(
        self,
        file: Any,
        *,
        defining: Any = None,
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self._defining = defining
        self.needs: dict[bytes, Any] = {}  # id -> the class or function it stands for
        self.codes: list[tuple[types.CodeType, dict[str, Any]]] = []  # pickled here, with their globals
        self._worded = False  # there are words of `stubs` that refer to neither

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if kind is types.FunctionType:
            return self._function(value)
        if issubclass(kind, type):
            return self._class(value)
        if kind is sentinels.KIND:
            return self._sentinel(value)
        if kind is types.CellType:
            self._worded = True
            return stubs.cell, ()
        if kind is origins.LRU_CACHE:
            return self._cached(value)
        if kind is types.ModuleType and value.__name__ in sys.modules:
            self._worded = True
            return stubs.module_named, (value.__name__,)
        # cloudpickle would send the rest of its text as a StringIO: reading there moves nothing here.
        if issubclass(kind, io.TextIOWrapper) and value not in (sys.stdin, sys.stdout, sys.stderr):
            raise pickle.PicklingError(
                f"an open file can't be sent to another process: {value!r:.200}; send its name or what is in "
                "it, or the file itself by send_file"
            )
        return NotImplemented

    def _function(self, value: types.FunctionType) -> Any:
        if value.__module__ == stubs.__name__ or origins.by_reference(value):
            return NotImplemented
        id_ = b""
        if is_top_level(value):
            id_ = origins.known(value).id
            if value is not self._defining:
                return self._reference(id_, value)
        self.codes.append((value.__code__, value.__globals__))
        return reductions.function(value, id_)

    def _class(self, value: type[Any]) -> Any:
        made = c_types.composed(value)
        if made is not None:
            return made
        if not is_class_by_value(value):
            return super().reducer_override(value)
        id_ = origins.known(value).id
        if value is self._defining:
            return reductions.class_(value, id_)
        return self._reference(id_, value)

    def _cached(self, value: Any) -> Any:
        if origins.by_reference(value):
            return NotImplemented
        if not is_top_level(value):
            return reductions.cached(value, b"")
        id_ = origins.known(value).id
        return reductions.cached(value, id_) if value is self._defining else self._reference(id_, value)

    def _sentinel(self, value: Any) -> Any:
        reduced = sentinels.reduce(value)
        if reduced is not NotImplemented:
            self._worded = True
        return reduced

    def _reference(self, id_: bytes, value: Any) -> Any:
        self.needs[id_] = value
        return stubs.ref, (id_,)

    @property
    def plain(self) -> bool:
        """Whether the pickle needs nothing beside it."""
        return not (self.needs or self.codes or self._worded)


# Types that builtins has under no name; cloudpickle knows them.
_NAMELESS = {id(value) for value in vars(types).values() if isinstance(value, type)}
_NAMELESS |= {id(kind) for kind in (type(None), type(Ellipsis), type(NotImplemented))}
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a program while it runs


def is_class_by_value(cls: type[Any]) -> bool:
    """Whether a class is one that a bare server can't import."""
    if id(cls) in _NAMELESS or not cls.__flags__ & _HEAP_TYPE:
        return False
    return not origins.by_reference(cls)


def is_top_level(value: Any) -> bool:
    """Whether a function stands under its own name in its globals, or in its module."""
    name = value.__qualname__
    home = getattr(value, "__globals__", None)
    if home is not None and home.get(name) is value:
        return True
    module = sys.modules.get(value.__module__)
    return module is not None and vars(module).get(name) is value


def is_definition(value: Any) -> bool:
    """Whether a value is code that travels by value and is known by an id."""
    if isinstance(value, type):
        return is_class_by_value(value)
    if type(value) is types.FunctionType or type(value) is origins.LRU_CACHE:
        return not origins.by_reference(value) and is_top_level(value)
    return False


# Definitions.


@record(frozen=False)
class Definition:
    """One pickled class or function."""

    blob: bytes
    needs: list[weakref.ref[Any]]
    codes: list[tuple[types.CodeType, dict[str, Any]]]


def defined(value: Any) -> Definition:
    entry = origins.known(value)
    if entry.definition is None:
        file = io.BytesIO()
        pickler = CodePickler(file, defining=value)
        try:
            pickler.dump(value)
        except NotSerializable:
            raise
        except Exception as exc:
            raise blame(value, exc) from exc
        needs = [weakref.ref(needed) for needed in pickler.needs.values()]
        entry.definition = Definition(file.getvalue(), needs, pickler.codes)
    return entry.definition  # type: ignore[no-any-return]  # origins does not know its type


def blame(value: Any, exc: Exception) -> Exception:
    """Name the variable or attribute that keeps a function or class from being pickled."""
    name = getattr(value, "__qualname__", repr(type(value)))
    for where, part in _parts(value):
        try:
            CodePickler(io.BytesIO()).dump(part)
        except NotSerializable as inner:
            return inner
        except Exception as inner:
            return NotSerializable(f"{where} of {name}: {inner}")
    return NotSerializable(f"{name}: {exc}")


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, type):
        for name, item in vars(value).items():
            if name not in ("__dict__", "__weakref__"):
                function = getattr(item, "__func__", item)
                if isinstance(function, types.FunctionType):
                    yield from ((f"{where} of {name}", part) for where, part in _parts(function))
                else:
                    yield f"attribute {name!r}", item
        return
    function = getattr(value, "__wrapped__", value) if type(value) is origins.LRU_CACHE else value
    if isinstance(function, types.FunctionType):
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            yield f"captured variable {name!r}", origins.contents(cell)
        yield from ((f"default value {n}", item) for n, item in enumerate(function.__defaults__ or (), 1))
        yield from ((f"default of {name!r}", item) for name, item in (function.__kwdefaults__ or {}).items())
        yield from ((f"attribute {name!r}", item) for name, item in vars(function).items())
