"""Which code travels by value, and by what it is known in every process.

Code that a bare server could import travels by its name: the standard library, what is
installed in site-packages, dispycos itself. Everything else travels by value (D5).

A *scope* is one dict of globals: (origin, module name). `origin` is drawn by the process
where the dict came into being, so that two programs' `__main__` are two scopes; it is b""
for a module that every process imports for itself. An *id* names one class or one function
that stands at the top of its scope: origin and a number, new for each changed definition.
"""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
import threading
import types
import weakref
from collections.abc import Iterator
from typing import Any, TypeAlias

import cloudpickle

from dispycos import forks

Scope: TypeAlias = tuple[bytes, str]

ORIGIN_BYTES = 8
LRU_CACHE = type(functools.lru_cache(len))

lock = threading.RLock()  # over the tables of this module and the caches made from them


class _Process:
    """What this process is: forgotten and drawn anew in a forked child."""

    def __init__(self) -> None:
        self.ours: set[bytes] = set()
        self.renew()

    def renew(self) -> None:
        global lock
        lock = threading.RLock()
        self.origin = os.urandom(ORIGIN_BYTES)
        self.ours.add(self.origin)
        self.count = 0

    def new_id(self) -> bytes:
        self.count += 1
        return self.origin + self.count.to_bytes(8, "big")


_process = _Process()
forks.in_child(_process.renew)


def origin() -> bytes:
    """This process's origin."""
    return _process.origin


def new_id() -> bytes:
    """An id that nothing had before, in any process."""
    return _process.new_id()


def is_ours(candidate: bytes) -> bool:
    """Whether this process, or one it was forked from, drew this origin."""
    return candidate[:ORIGIN_BYTES] in _process.ours


# Modules.


def _prefixes() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    found = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    whole = [os.path.join(path, "") for path in found]
    return tuple(dict.fromkeys(whole + [os.path.join(os.path.realpath(path), "") for path in found]))


_PREFIXES = _prefixes()
# Folders that whoever sent what runs here imports from, too: see `workers.job`. No cache knows of it.
lent: tuple[str, ...] = ()
_importable: dict[tuple[str, str | None], bool] = {}
shipped: set[str] = set()  # modules that came here as components; whoever sent them has them


def installed(path: str) -> bool:
    """Whether a file belongs to the standard library or to an installed package."""
    return path.startswith(_PREFIXES)


def importable(name: str) -> bool:
    """Whether a bare server can be expected to import the module `name`."""
    root = name.partition(".")[0]
    if root == "dispycos" or name in shipped:
        return True
    module = sys.modules.get(name)
    if name == "__main__" or module is None or _by_value(name):
        return False
    path = getattr(module, "__file__", None)
    known = _importable.get((name, path))
    if known is None:
        known = _importable[name, path] = _is_installed(module, path)
    return known or bool(lent and path is not None and os.path.abspath(path).startswith(lent))


def _by_value(name: str) -> bool:
    """Named by the program with `cloudpickle.register_pickle_by_value`, itself or a parent."""
    wanted = cloudpickle.list_registry_pickle_by_value()
    return bool(wanted) and any(name == other or name.startswith(other + ".") for other in wanted)


def _is_installed(module: types.ModuleType, path: str | None) -> bool:
    if path is not None:
        return installed(os.path.abspath(path))
    spec = getattr(module, "__spec__", None)
    if spec is not None and spec.origin in ("built-in", "frozen"):
        return True
    folders = list(getattr(module, "__path__", ()))
    return bool(folders) and all(installed(os.path.join(os.path.abspath(folder), "")) for folder in folders)


def by_reference(value: Any) -> bool:
    """Whether a function or class is found by its name in a module that servers can import."""
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or module == "__main__":
        return False
    return named(sys.modules.get(module), value.__qualname__) is value and importable(module)


def named(module: Any, name: str) -> Any:
    """What stands there under this name, as `Class.method`; None if nothing does."""
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


# Scopes.

_scopes: dict[int, tuple[Scope, dict[str, Any]]] = {}  # by id of the dict, which is kept alive
_dicts: dict[Scope, dict[str, Any]] = {}


def scope_of(names: dict[str, Any]) -> Scope:
    """The scope that a dict of globals is."""
    known = _scopes.get(id(names))
    if known is not None:
        return known[0]
    name = names.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is not None and getattr(module, "__dict__", None) is names:
        return (b"" if importable(name or "") else origin(), name or "")
    # Globals of an exec: no module has them.
    with lock:
        scope = (origin(), f"{name or 'exec'}#{len(_scopes) + 1}")
        keep_scope(scope, names)
    return scope


def keep_scope(scope: Scope, names: dict[str, Any]) -> None:
    """From now on this dict is known as `scope`."""
    with lock:
        _scopes[id(names)] = (scope, names)
        _dicts.setdefault(scope, names)


def own_dict(scope: Scope) -> dict[str, Any] | None:
    """The dict of a scope that came into being here; None if it did not."""
    if not is_ours(scope[0]):
        return None
    module = sys.modules.get(scope[1])
    return vars(module) if module is not None else _dicts.get(scope)


# Ids.


class Known:
    """A class or function with an id."""

    __slots__ = ("definition", "id", "received", "ref", "state")

    def __init__(self, ref: weakref.ref[Any], id: bytes, state: Any, received: bool) -> None:
        self.ref = ref
        self.id = id
        self.state = state  # what tells whether it has changed
        self.received = received  # made elsewhere: keeps its id whatever happens to it here
        self.definition: Any = None  # its blob, once it was made


_known: dict[int, Known] = {}  # by id() of the object
_objects: weakref.WeakValueDictionary[bytes, Any] = weakref.WeakValueDictionary()


def own_object(id: bytes) -> Any:
    """The object that got this id in this process; None if there is none (any more)."""
    return _objects.get(id)


def known(value: Any) -> Known:
    """The entry of a class or top-level function, new if it is unknown or was changed."""
    entry = _known.get(id(value))
    if entry is not None and entry.ref() is value and (entry.received or _same(value, entry.state)):
        return entry
    return _keep(value, _process.new_id(), False)


def adopt(value: Any, id: bytes) -> None:
    """A definition that came from another process keeps its id here."""
    _keep(value, id, True)


def _keep(value: Any, new: bytes, received: bool) -> Known:
    key = id(value)

    def forget(ref: weakref.ref[Any]) -> None:
        if (entry := _known.get(key)) is not None and entry.ref is ref:
            del _known[key]

    with lock:
        ref = weakref.ref(value, forget)
        entry = _known[key] = Known(ref, new, None if received else _state(value), received)
        if not received:
            _objects[new] = value
    return entry


# What makes a definition another one: its code, not the plain values around it (DC-47). Code
# objects are compared and kept, since they keep nothing else alive.


def _codes(value: Any) -> Iterator[types.CodeType | None]:
    if isinstance(value, types.FunctionType):
        yield value.__code__
    elif isinstance(value, classmethod | staticmethod):
        yield from _codes(value.__func__)
    elif isinstance(value, property):
        for part in (value.fget, value.fset, value.fdel):
            yield from _codes(part)
    elif type(value) is LRU_CACHE:
        yield from _codes(value.__wrapped__)


def _state(value: Any) -> Any:
    if isinstance(value, type):
        names = vars(value)
        return [len(names), {name: codes for name, item in names.items() if (codes := tuple(_codes(item)))}]
    if type(value) is LRU_CACHE:
        return tuple(_codes(value))
    return (value.__code__, value.__defaults__, value.__kwdefaults__, _contents(value))


def _same(value: Any, state: Any) -> bool:
    if isinstance(value, type):
        return _same_class(value, state)
    if type(value) is LRU_CACHE:
        return _identical(tuple(_codes(value)), state)
    return (
        value.__code__ is state[0]
        and value.__defaults__ is state[1]
        and value.__kwdefaults__ is state[2]
        and (value.__closure__ is None or _identical(_contents(value), state[3]))
    )


def _same_class(cls: type[Any], state: list[Any]) -> bool:
    names = vars(cls)
    if len(names) != state[0]:
        # Another plain value makes no other class.
        now = _state(cls)
        if now[1].keys() != state[1].keys():
            return False
        state[0] = now[0]
    for name, codes in state[1].items():
        item = names.get(name)
        if type(item) is types.FunctionType:
            if item.__code__ is not codes[0]:
                return False
        elif not _identical(tuple(_codes(item)), codes):
            return False
    return True


def _identical(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _contents(function: Any) -> tuple[Any, ...]:
    cells = function.__closure__ or ()
    return tuple([contents(cell) for cell in cells])


class _Empty:
    """What a cell holds that holds nothing."""


EMPTY = _Empty()


def contents(cell: types.CellType) -> Any:
    """What a cell of a closure holds, EMPTY if nothing."""
    try:
        return cell.cell_contents
    except ValueError:
        return EMPTY
