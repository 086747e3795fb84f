"""How shipped functions and classes are built: what the words of `pickling.stubs` do.

An id that is known here is that object: nothing is built twice. Whatever is built is known
at once, before its parts are, since they may refer to it.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import linecache
import marshal
import pickle
import sys
import types
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from dispycos.errors import VersionMismatch
from dispycos.pickling import origins, sentinels
from dispycos.pickling.origins import Scope
from dispycos.pickling.stubs import TAG, WHOLE


class Table:
    """A table that came with a pickle, unpickled when it is needed."""

    __slots__ = ("_data", "_parts", "missing")

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._parts: Any = None
        self.missing: list[Exception] = []

    @property
    def parts(self) -> tuple[str, dict[str, dict[int, str]], dict[bytes, bytes], list[Any]]:
        if self._parts is None:
            self._parts = pickle.loads(self._data)
        return self._parts  # type: ignore[no-any-return]  # as pickling.code made it


class Builder:
    """Scopes and definitions of one client's code in this process.

    shared  also know what this process itself made: True except in tests, where a client
            and its server are one process.
    """

    def __init__(self, shared: bool) -> None:
        self.shared = shared
        self.home: bytes | None = None  # origin of the client: whose __main__ is `__main__`
        self.loading: list[Table] = []  # innermost last
        self.sources: dict[str, str] = {}  # whole texts, where they were sent
        self.objects: weakref.WeakValueDictionary[bytes, Any] = weakref.WeakValueDictionary()
        self._scopes: dict[Scope, types.ModuleType] = {}
        self._sentinels: dict[bytes, Any] = {}
        self._unfinished: set[int] = set()  # id() of classes and functions whose state is to come

    def unpickled(self, data: Any, buffers: Any = ()) -> Any:
        """Load a pickle in which the words of `pickling.stubs` are methods of this object."""
        raise NotImplementedError

    @property
    def main(self) -> types.ModuleType:
        """The client program's `__main__`, as it is here."""
        return self.module((self.home, "__main__")) if self.home else sys.modules["__main__"]

    def module(self, scope: Scope) -> types.ModuleType:
        """The module whose dict is `scope` here."""
        found = self._scopes.get(scope)
        if found is not None:
            return found
        origin, name = scope
        if not origin or name in origins.shipped:
            found = importlib.import_module(name)
        else:
            found = types.ModuleType(name)
            vars(found)["__builtins__"] = builtins
            # For `from . import x` inside functions.
            found.__package__ = name.rpartition(".")[0]
            origins.keep_scope(scope, vars(found))
        self._scopes[scope] = found
        return found

    def _dict(self, scope: Scope) -> dict[str, Any]:
        own = origins.own_dict(scope) if self.shared and scope[0] else None
        return vars(self.module(scope)) if own is None else own

    def ref(self, id: bytes) -> Any:
        found = self._find(id)
        if found is not None:
            return found
        for table in reversed(self.loading):
            blob = table.parts[2].get(id)
            if blob is not None:
                return self.unpickled(blob)
        raise LookupError(f"no definition with id {id.hex()} came with the value")

    def _find(self, id: bytes) -> Any:
        found = self.objects.get(id)
        if found is None and self.shared and origins.is_ours(id):
            found = origins.own_object(id)
        return found

    def _made(self, id: bytes, value: Any) -> Any:
        self._unfinished.add(builtins.id(value))
        if id:
            self.objects[id] = value
            origins.adopt(value, id)
        return value

    def _finished(self, value: Any) -> bool:
        key = builtins.id(value)
        if key not in self._unfinished:
            return True
        self._unfinished.discard(key)
        return False

    def _theirs(self, id: bytes, scope: Scope, qualname: str) -> Any:
        """The same definition in a module that was shipped whole."""
        if not id or scope[1] not in origins.shipped:
            return None
        found = origins.named(importlib.import_module(scope[1]), qualname)
        if isinstance(found, type | types.FunctionType):
            self.objects[id] = found
            return found
        return None

    def new_function(
        self, id: bytes, code: tuple[Any, ...], scope: Scope, name: str, cells: tuple[Any, ...]
    ) -> Any:
        body, path, qualname, line, free = code
        theirs = self._theirs(id, scope, qualname)
        if theirs is not None:
            return theirs
        tag = self.loading[-1].parts[0]
        if tag == TAG:
            made = marshal.loads(body)
        else:
            made = self._compiled(path, qualname, line, tag)
            by_name = dict(zip(free, cells, strict=True))
            cells = tuple(by_name.get(name) or types.CellType() for name in made.co_freevars)
        return self._made(id, types.FunctionType(made, self._dict(scope), name, None, cells))

    def set_function(self, function: Any, state: tuple[Any, ...]) -> None:
        if self._finished(function):
            return
        attributes, cells, more = state
        for cell, value in cells:
            cell.cell_contents = value
        for name, value in attributes.items():
            setattr(function, name, value)
        vars(function).update(more)

    def new_class(
        self, id: bytes, scope: Scope, meta: Any, bases: tuple[Any, ...], names: dict[str, Any]
    ) -> Any:
        qualname = names["__qualname__"]
        theirs = self._theirs(id, scope, qualname)
        if theirs is not None:
            return theirs
        name = names.pop("__name__")
        return self._made(id, _class(name, bases, meta, names))

    def new_enum(
        self,
        id: bytes,
        scope: Scope,
        meta: Any,
        bases: tuple[Any, ...],
        names: dict[str, Any],
        members: dict[str, Any],
        keywords: dict[str, Any],
    ) -> Any:
        theirs = self._theirs(id, scope, names["__qualname__"])
        if theirs is not None:
            return theirs
        name = names.pop("__name__")
        body = meta.__prepare__(name, bases, **keywords)
        for key, value in (names | members).items():
            body[key] = value
        return self._made(id, meta(name, bases, body, **keywords))

    def set_class(self, cls: Any, state: tuple[Any, ...]) -> None:
        if self._finished(cls):
            return
        attributes, virtual, members = state
        for name, value in attributes.items():
            setattr(cls, name, value)
        for name, more in members.items():
            vars(cls.__members__[name]).update(more)
        for subclass in virtual:
            cls.register(subclass)

    def cached(self, id: bytes, function: Any, maxsize: int | None, typed: bool) -> Any:
        made = functools.lru_cache(maxsize=maxsize, typed=typed)(function)
        if id:
            self.objects[id] = made
            origins.adopt(made, id)
        return made

    def dispatched(self, id: bytes, function: Any, others: list[tuple[type[Any], Any]]) -> Any:
        made = functools.singledispatch(function)
        for kind, other in others:
            made.register(kind, other)
        if id:
            self.objects[id] = made
            origins.adopt(made, id)
        return made

    def cell(self) -> types.CellType:
        return types.CellType()

    def sentinel(self, id: bytes, module: str, name: str, text: str) -> Any:
        found = sentinels.own(id) if self.shared else None
        if found is None:
            found = self._sentinels.get(id)
        if found is None:
            found = self._sentinels[id] = sentinels.made(id, module, name, text)
        return found

    def module_named(self, name: str) -> types.ModuleType:
        return imported((name, ()), self)

    def _compiled(self, path: str, qualname: str, line: int, tag: str) -> types.CodeType:
        text = self.sources.get(path)
        if text is not None:
            for code in _nested(compile(text, path, "exec", dont_inherit=True)):
                if code.co_qualname == qualname and code.co_firstlineno == line:
                    return code
        raise VersionMismatch(
            f"{qualname} was compiled by {tag} and this process is {TAG}; its source"
            f" {'does not contain it' if text else 'is not available'}: use the same Python on both sides"
        )


# Helpers.


class _Quiet:
    """A first base that keeps `__init_subclass__` of the others from being called."""

    __slots__ = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        pass


class _QuietWithDict:
    """The same, for bases whose instances have a dict: the layout must be that of the real base."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        pass


def _class(name: str, bases: tuple[Any, ...], meta: Any, names: dict[str, Any]) -> Any:
    def make(bases: tuple[Any, ...]) -> Any:
        return types.new_class(name, bases, {"metaclass": meta}, lambda ns: ns.update(names))

    real = types.resolve_bases(bases)
    # The hook ran at the client, with keywords that are gone; what it did comes with the state.
    hooked = any(
        "__init_subclass__" in vars(above) and above.__module__ != "typing"
        for base in real
        for above in base.__mro__[:-1]
    )
    for quiet in (_QuietWithDict, _Quiet) if hooked else ():
        try:
            made = make((quiet, *bases))
            made.__bases__ = real
            return made
        except TypeError:
            continue
    # The hook is called once more, and fails if it wants keywords.
    return make(bases)


def imported(data: tuple[str, Sequence[str]], builder: Builder) -> types.ModuleType:
    name, parts = data
    if name == "__main__":
        return builder.main
    module = importlib.import_module(name)
    for part in parts:
        importlib.import_module(part)
    return module


def keep_source(path: str, lines: dict[int, str]) -> None:
    """Give tracebacks the lines of the client's program (DC-52)."""
    entry = linecache.cache.get(path)
    text: list[str] = list(entry[2]) if entry is not None and len(entry) == 4 else []
    for first, part in lines.items():
        if first == WHOLE:
            text = part.splitlines(keepends=True)
            break
        new = part.splitlines(keepends=True)
        text += ["\n"] * (first - 1 + len(new) - len(text))
        text[first - 1 : first - 1 + len(new)] = new
    linecache.cache[path] = (sum(map(len, text)), None, text, path)


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            yield item
            yield from _nested(item)
