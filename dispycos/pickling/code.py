"""The sending side of code: functions and classes by value (D5).

A pickle refers to each shipped class and top-level function by its id_, and a table that
goes before it holds their definitions, the names that their code uses and its source lines;
`pickling.rebuild` puts both together in a Namespace. Each definition is pickled once, until it
changes; nested functions, lambdas and closures are values and travel inside the pickle.
"""

from __future__ import annotations

import builtins
import functools
import hashlib
import io
import linecache
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from typing import Any

from dispycos.errors import NotSerializable
from dispycos.model import CodeHash, Payload
from dispycos.pickling import modules, origins, reductions, unsent
from dispycos.pickling.origins import Scope
from dispycos.pickling.pickler import CodePickler, blame, defined, is_definition
from dispycos.pickling.rebuild import HERE, Namespace
from dispycos.pickling.stubs import HEADER, MAGIC, TAG, WHOLE
from dispycos.records import record

__all__ = ["HERE", "CodePickler", "Namespace", "dump_components", "dump_definition", "dumps", "hashes"]

# A name that code uses: the dict of globals, as scope and as it is, and the name.
Name = tuple[Scope, dict[str, Any], str]


# Tables.


@record(frozen=False)
class _Watch:
    """What a table was made from; while it holds, the table needs not be made again."""

    # Weak reference, id, and of a plain function what tells whether it has changed.
    definitions: list[tuple[weakref.ref[Any], bytes, Any, Any, Any]] = field(default_factory=list)
    names: list[tuple[dict[str, Any], str, Any]] = field(default_factory=list)  # weak reference or ABSENT

    def add(self, value: Any, id_: bytes) -> None:
        if type(value) is types.FunctionType and value.__closure__ is None:
            state = (value.__code__, value.__defaults__, value.__kwdefaults__)
            self.definitions.append((weakref.ref(value), id_, *state))
        else:
            self.definitions.append((weakref.ref(value), id_, None, None, None))

    def holds(self) -> bool:
        for ref, id_, code, defaults, more in self.definitions:
            value = ref()
            if value is None:
                return False
            if code is None:
                if origins.known(value).id != id_:
                    return False
            # The usual case, written out: it is asked for each task.
            elif (
                value.__code__ is not code
                or value.__defaults__ is not defaults
                or value.__kwdefaults__ is not more
            ):
                return False
        for names, name, ref in self.names:
            if ref is ABSENT:
                if name in names:
                    return False
            elif names.get(name) is not ref():
                return False
        return True


ABSENT: Any = object()


@record(frozen=False)
class _Table:
    data: bytes
    digest: bytes
    watch: _Watch


class _Gathering:
    """Everything that some pickles need, followed to its end."""

    def __init__(self, source: bool) -> None:
        self.source = source
        self.blobs: dict[bytes, bytes] = {}
        self.names: dict[tuple[Scope, str], tuple[Scope, str, str, Any]] = {}
        self.sources: dict[str, dict[int, str]] = {}
        self.watch = _Watch()
        self._waiting: list[Any] = []
        self._seen: set[int] = set()

    def table(self, pickler: CodePickler) -> _Table:
        self._take(pickler.needs.values(), pickler.codes)
        while self._waiting:
            value = self._waiting.pop()
            id_ = origins.known(value).id
            if id_ in self.blobs:
                continue
            made = defined(value)
            self.blobs[id_] = made.blob
            self.watch.add(value, id_)
            needs = [needed for ref in made.needs if (needed := ref()) is not None]
            self._take(needs, made.codes)
            self._own_name(value)
        data = pickle.dumps((TAG, self.sources, self.blobs, list(self.names.values())), 5)
        return _Table(data, hashlib.sha256(data).digest()[:16], self.watch)

    def _take(self, needs: Iterable[Any], codes: Iterable[tuple[types.CodeType, dict[str, Any]]]) -> None:
        self._waiting += needs
        for code, names in codes:
            self._take_source(code)
            scope = origins.scope_of(names)
            if scope[0]:
                for name in reductions.names_of(code):
                    self._take_name(scope, names, name, code)

    def _take_source(self, code: types.CodeType) -> None:
        lines = reductions.lines_of(code)
        if lines is not None:
            path, first, text = lines
            kept = self.sources.setdefault(path, {})
            if self.source:
                kept[WHOLE] = "".join(linecache.getlines(path))
            else:
                kept[first] = text

    def _own_name(self, value: Any) -> None:
        """Bind a definition under its own name too: pickles and later code refer to it so."""
        names = getattr(value, "__globals__", None)
        if names is None and value.__module__ in sys.modules:
            names = vars(sys.modules[value.__module__])
        if names is not None and names.get(value.__qualname__) is value:
            scope = origins.scope_of(names)
            if scope[0]:
                self._take_name(scope, names, value.__qualname__, None)

    def _take_name(self, scope: Scope, names: dict[str, Any], name: str, code: types.CodeType | None) -> None:
        value = names.get(name, ABSENT)
        if isinstance(value, types.ModuleType) and code is not None:
            parts = reductions.submodules(value, code)
            known = self.names.get((scope, name))
            if known is not None:
                parts = sorted({*known[3][1], *parts})
            self.names[scope, name] = (scope, name, "module", (value.__name__, parts))
            return
        if (scope, name) in self.names:
            return
        if value is ABSENT and hasattr(builtins, name):
            return
        if value is ABSENT:
            self.watch.names.append((names, name, ABSENT))
        elif is_definition(value):
            self.watch.names.append((names, name, weakref.ref(value)))
            self.names[scope, name] = (scope, name, "ref", origins.known(value).id)
            self._waiting.append(value)
        elif name not in _NEVER:
            self._take_value(scope, name, value)

    def _take_value(self, scope: Scope, name: str, value: Any) -> None:
        # Held in place before it is pickled: what it needs may use it again.
        self.names[scope, name] = (scope, name, "none", None)
        file = io.BytesIO()
        pickler = CodePickler(file)
        try:
            pickler.dump(value)
        except Exception as exc:
            unsent.keep_back(scope, name, str(exc))
            return
        unsent.sent(scope, name)
        kind = (
            "object" if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType) else "value"
        )
        self.names[scope, name] = (scope, name, kind, file.getvalue())
        self._take(pickler.needs.values(), pickler.codes)


_NEVER = {"__builtins__", "__loader__", "__spec__", "__cached__"}


_tables: dict[tuple[bytes, ...], _Table] = {}  # by the ids needed; those used longest ago go first
MAX_TABLES = 1024


def _table(pickler: CodePickler, source: bool) -> _Table:
    with origins.lock:
        # Code that travels as a value is looked at each time, for it may have changed.
        if pickler.codes or source:
            return _Gathering(source).table(pickler)
        key = tuple(pickler.needs)
        found = _tables.pop(key, None)
        if found is None or not found.watch.holds():
            found = _Gathering(False).table(pickler)
        _tables[key] = found
        if len(_tables) > MAX_TABLES:
            del _tables[next(iter(_tables))]
        return found


# What others call.


def dumps(
    value: Any,
    buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
    kind: type[CodePickler] = CodePickler,
) -> bytes:
    """Pickle a value, with the definitions it needs."""
    file = io.BytesIO()
    pickler = kind(file, buffer_callback=buffer_callback)
    pickler.dump(value)
    return file.getvalue() if pickler.plain else _wrap(pickler, file.getvalue(), False)[0]


def _wrap(pickler: CodePickler, body: bytes, source: bool) -> tuple[bytes, _Table]:
    table = _table(pickler, source)
    header = HEADER.pack(MAGIC, origins.origin(), table.digest, len(table.data))
    return b"".join((header, table.data, body)), table


@record(frozen=False)
class _Shipped:
    """A definition as it was last dumped."""

    ref: weakref.ref[Any]
    state: Any
    watch: _Watch
    hash: CodeHash
    payload: Payload


_shipped: dict[int, _Shipped] = {}  # by id() of the function


def dump_definition(function: Any, *, source: bool = False) -> tuple[CodeHash, Payload]:
    """Pickle a function (or class, partial, method, callable instance) to be sent ahead of its use.

    The hash is that of its code and of what it captured: the same each time, until one of
    them, or a definition that it refers to, was changed. Plain values of globals don't count,
    since they would not be set again (DC-47). Another call costs 1 to 2 us.
    source  send whole source files too, for a server with another Python (same hash).
    NotSerializable names the variable that can't be sent.
    """
    key = id(function)
    known = _shipped.get(key)
    fresh = known is not None and not source and known.ref() is function
    if fresh and known is not None:
        state = known.state
        if (not state or _unchanged(function, state)) and known.watch.holds():
            return known.hash, known.payload
    return _dump_definition(function, source)


def _dump_definition(function: Any, source: bool) -> tuple[CodeHash, Payload]:
    file = io.BytesIO()
    pickler = CodePickler(file)
    try:
        pickler.dump(function)
        body = file.getvalue()
        watch = _Watch()
        if pickler.plain:
            data = body
        else:
            data, table = _wrap(pickler, body, False)
            watch = table.watch
    except NotSerializable:
        raise
    except Exception as exc:
        raise blame(function, exc) from exc
    # Without the process's origin the same program has the same hashes in each run.
    content = data if pickler.plain else data[HEADER.size :]
    digest = hashlib.sha256(content.replace(origins.origin(), b"")).digest()
    hash_ = CodeHash(digest[:16])
    if source and not pickler.plain:
        return hash_, Payload(_wrap(pickler, body, True)[0])
    payload = Payload(data)
    state = _lasting(function)
    if state is not None:
        key = id(function)
        ref = weakref.ref(function, lambda ref: _forget(key, ref))
        _shipped[key] = _Shipped(ref, state, watch, hash_, payload)
    return hash_, payload


def _forget(key: int, ref: weakref.ref[Any]) -> None:
    known = _shipped.get(key)
    if known is not None and known.ref is ref:
        del _shipped[key]


def _lasting(function: Any) -> tuple[Any, ...] | None:
    """What a function's pickle depends on beside definitions; None if it can't be watched."""
    if isinstance(function, type) or is_definition(function):
        return ()
    if type(function) is types.BuiltinFunctionType and isinstance(function.__self__, types.ModuleType):
        return ()
    if type(function) is not types.FunctionType:
        return None
    held = [origins.contents(cell) for cell in function.__closure__ or ()]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    if vars(function) or any(not _fixed(value, 0) for value in held + defaults):
        return None
    return (function.__code__, function.__defaults__, function.__kwdefaults__, held)


def _unchanged(function: Any, state: tuple[Any, ...]) -> bool:
    code, defaults, more, held = state
    if function.__code__ is not code or function.__defaults__ is not defaults:
        return False
    if function.__kwdefaults__ is not more:
        return False
    return not held or all(
        origins.contents(cell) is value for cell, value in zip(function.__closure__, held, strict=True)
    )


_FIXED = frozenset({type(None), bool, int, float, complex, str, bytes, range, types.BuiltinFunctionType})


def _fixed(value: Any, depth: int) -> bool:
    """Whether a value can never change, nor what it refers to."""
    kind = type(value)
    if kind in _FIXED or value is origins.EMPTY:
        return True
    if kind is tuple or kind is frozenset:
        return depth < 4 and all(_fixed(item, depth + 1) for item in value)
    return isinstance(value, types.FunctionType) and (origins.by_reference(value) or is_definition(value))


class Prelude:
    """A component that is no definition: a function that servers have, called there before all else."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return self._function, ()


def hashes(components: Sequence[Any]) -> frozenset[CodeHash]:
    """The hashes of what a server knows once it has loaded these components."""
    return frozenset(dump_definition(item)[0] for item in components if _is_code(item))


def _is_code(item: Any) -> bool:
    return (
        isinstance(item, type)
        or (callable(item) and hasattr(item, "__code__"))
        or isinstance(item, functools.partial | types.MethodType)
    )


def dump_components(components: Sequence[Any], *, source: bool = False) -> Payload:
    """Pickle what a client program's tasks need: functions, classes, instances, modules.

    An instance stands for its class. A module that servers can't import goes as source, with
    its package; ValueError if it has none.
    source  as in `dump_definition`.
    """
    files: dict[str, tuple[str, str, bool]] = {}
    items: list[tuple[CodeHash | None, Any]] = []
    for item in components:
        if isinstance(item, types.ModuleType):
            if not origins.importable(item.__name__):
                files |= {name: (path, text, pack) for name, path, text, pack in modules.files_of(item)}
            continue
        if isinstance(item, Prelude):
            items.append((None, pickle.dumps(item, 5)))  # to be rebuilt is to be called
            continue
        code = item if _is_code(item) else type(item)
        hash_, payload = dump_definition(code, source=source)
        items.append((hash_, payload.data))
    return Payload(pickle.dumps((origins.origin(), files, items), 5))
