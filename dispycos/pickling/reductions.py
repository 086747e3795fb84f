"""How functions and classes are taken apart for a pickle, and which names their code uses.

Each function here answers what `reducer_override` answers: what to call on the other side
(`pickling.rebuild` puts its own methods in place of those names), with what, and the state that
is set afterwards, when everything can refer to the new object already.
"""

from __future__ import annotations

import abc
import dataclasses
import dis
import enum
import functools
import linecache
import marshal
import sys
import types
from collections.abc import Callable
from typing import Any

from dispycos.pickling import c_types, origins, sentinels, stubs

_GLOBAL_OPERATIONS = {
    "LOAD_GLOBAL",
    "STORE_GLOBAL",
    "DELETE_GLOBAL",
    "LOAD_NAME",
    "LOAD_FROM_DICT_OR_GLOBALS",
}

# Version 2 has no references to objects met before, which depend on reference counts; the same
# code is the same bytes each time.
_MARSHAL = 2

# Of a class: what Python makes by itself, or what can't be taken along.
_NOT_TAKEN = {"__dict__", "__weakref__", "_abc_impl", "__annotate_func__", "__annotations_cache__"}
_NOT_TAKEN |= {"__static_attributes__"}


# Functions.


def function(function: types.FunctionType, id: bytes) -> tuple[Any, ...]:
    """Reduce a function; what its globals are to be stands in `names_of`."""
    code = function.__code__
    if code is _DISPATCHER:
        return _dispatched(function, id)
    cells = function.__closure__ or ()
    recipe = (marshal.dumps(code, _MARSHAL), code.co_filename, code.co_qualname, code.co_firstlineno)
    attributes: dict[str, Any] = {"__module__": function.__module__, "__qualname__": function.__qualname__}
    for name in ("__defaults__", "__kwdefaults__", "__doc__", "__annotations__", "__type_params__"):
        try:
            value = getattr(function, name, None)
        except NameError:  # annotations that are evaluated late, and fail
            continue
        if value is not None and value != {} and value != ():
            attributes[name] = value
    # Cells are made empty and filled last: what they hold may refer to the function.
    held = [(cell, origins.contents(cell)) for cell in cells]
    state = (
        attributes,
        [(cell, value) for cell, value in held if value is not origins.EMPTY],
        vars(function),
    )
    scope = origins.scope_of(function.__globals__)
    args = (id, (*recipe, code.co_freevars), scope, function.__name__, cells)
    return (stubs.new_function, args, state, None, None, stubs.set_function)


# What functools.singledispatch makes is a closure full of weak references.
_DISPATCHER = functools.singledispatch(len).__code__  # type: ignore[attr-defined]  # it is a function


def _dispatched(function: Any, id: bytes) -> tuple[Any, ...]:
    others = [(kind, made) for kind, made in function.registry.items() if kind is not object]
    return stubs.dispatched, (id, function.registry[object], others)


@functools.lru_cache(maxsize=4096)
def names_of(code: types.CodeType) -> tuple[str, ...]:
    """The global names that a code object and those inside it use, in order of their use."""
    found: dict[str, None] = {}
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL_OPERATIONS:
            found[instruction.argval] = None
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            found |= dict.fromkeys(names_of(item))
    return tuple(found)


def submodules(module: types.ModuleType, code: types.CodeType) -> list[str]:
    """Imported modules below `module` whose every part the code names, as in `a.b.f()`."""
    prefix = module.__name__ + "."
    named = _all_names(code)
    below = [name for name in list(sys.modules) if name.startswith(prefix)]
    return sorted(name for name in below if named.issuperset(name[len(prefix) :].split(".")))


@functools.lru_cache(maxsize=4096)
def _all_names(code: types.CodeType) -> frozenset[str]:
    inner = [_all_names(item) for item in code.co_consts if isinstance(item, types.CodeType)]
    return frozenset(code.co_names).union(*inner)


def lines_of(code: types.CodeType) -> tuple[str, int, str] | None:
    """File, number of the first line, and source text of a code object; None without source."""
    path, first = code.co_filename, code.co_firstlineno
    if origins.installed(path):
        return None
    lines = linecache.getlines(path)[first - 1 : _last_line(code)]
    return (path, first, "".join(lines)) if any(lines) else None


def _last_line(code: types.CodeType) -> int:
    last = max((line for _, _, line in code.co_lines() if line is not None), default=code.co_firstlineno)
    inner = [_last_line(item) for item in code.co_consts if isinstance(item, types.CodeType)]
    return max([last, *inner])


# Classes.


def class_(cls: Any, id: bytes) -> tuple[Any, ...]:
    """Reduce a class. Its functions, and whatever may refer to it, are set when it exists."""
    names: dict[str, Any] = {"__name__": cls.__name__, "__module__": cls.__module__}
    names["__qualname__"] = cls.__qualname__
    taken = {name: value for name, value in vars(cls).items() if name not in _NOT_TAKEN}
    taken.pop("__module__", None)
    scope = (
        (origins.scope_of(vars(sys.modules[cls.__module__]))) if cls.__module__ in sys.modules else (b"", "")
    )
    if isinstance(cls, enum.EnumMeta):
        return _enum(cls, id, scope, names, taken)
    if "__slots__" in taken:
        names["__slots__"] = taken.pop("__slots__")
        _without_slots(cls, names["__slots__"], taken)
    names |= c_types.split(cls, taken)
    # What `__init_subclass__` and metaclasses may look at; the rest may refer to the class.
    for name in [name for name, value in taken.items() if _plain(value) and name not in _CHECKABLE]:
        names[name] = taken.pop(name)
    state: tuple[Any, ...] = (taken, _virtual(cls), {})
    return (
        stubs.new_class,
        (id, scope, c_types.metaclass_of(cls), _bases(cls), names),
        state,
        None,
        None,
        stubs.set_class,
    )


# Whether a protocol may be checked while a program runs. From Python 3.15 on its `__init_subclass__` takes
# whoever has the first of them by then for its heir, which is deprecated, and says so by the second.
_CHECKABLE = {"_is_runtime_protocol", "__typing_is_deprecated_inherited_runtime_protocol__"}


def _without_slots(cls: type[Any], slots: Any, taken: dict[str, Any]) -> None:
    for slot in (slots,) if isinstance(slots, str) else slots:
        private = slot.startswith("__") and not slot.endswith("__")
        taken.pop(f"_{cls.__name__.lstrip('_')}{slot}" if private else slot, None)


def _plain(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, complex, str, bytes)


def _bases(cls: type[Any]) -> tuple[Any, ...]:
    # A NamedTuple's original base would make the tuple class once more.
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return cls.__bases__
    bases: tuple[Any, ...] = vars(cls).get("__orig_bases__", cls.__bases__)
    return bases


def _virtual(cls: type[Any]) -> list[type[Any]]:
    """Classes registered with an abstract base."""
    dump = getattr(abc, "_get_dump", None)
    if not isinstance(cls, abc.ABCMeta) or dump is None:
        return []
    return [found for ref in dump(cls)[0] if (found := ref()) is not None]


_ENUM_KEPT = {"_missing_", "_ignore_", "_order_"}


def _enum(cls: Any, id: bytes, scope: Any, names: dict[str, Any], taken: dict[str, Any]) -> tuple[Any, ...]:
    members = {name: member.value for name, member in cls.__members__.items()}
    for name in list(taken):
        if name in members or (name[:1] == "_" != name[1:2] and name[-1:] == "_" and name not in _ENUM_KEPT):
            del taken[name]
    # What a constructor of the class gave to its members.
    own = {"_value_", "_name_", "__objclass__", "_sort_order_", "_member_type_"}
    more = {
        name: kept
        for name, member in cls.__members__.items()
        if (kept := {key: value for key, value in vars(member).items() if key not in own})
    }
    keywords = {"boundary": cls._boundary_} if issubclass(cls, enum.Flag) else {}
    taken.pop("__new__", None)
    args = (id, scope, type(cls), cls.__bases__, names, members, keywords)
    return (stubs.new_enum, args, (taken, [], more), None, None, stubs.set_class)


# Other types, beside those that cloudpickle takes apart.


def method(value: types.MethodType) -> tuple[Any, ...]:
    """A bound method, by name where the object has it under that name."""
    owner, name = value.__self__, value.__func__.__name__
    if getattr(owner, name, None) == value:
        return getattr, (owner, name)
    return types.MethodType, (value.__func__, owner)


def _cached_property(value: Any) -> tuple[Any, ...]:
    # Up to Python 3.11 it holds a lock.
    return _make_cached_property, (value.func, value.attrname)


def _make_cached_property(function: Callable[[Any], Any], name: str | None) -> Any:
    made = functools.cached_property(function)
    made.attrname = name
    return made


def _missing(value: Any) -> str:
    return "MISSING"


def cached(value: Any, id: bytes) -> tuple[Any, ...]:
    """Reduce what functools.lru_cache made; the other side begins with an empty cache."""
    parameters = value.cache_parameters()
    return stubs.cached, (id, value.__wrapped__, parameters["maxsize"], parameters["typed"])


DISPATCH: dict[type[Any], Callable[[Any], Any]] = {
    types.MethodType: method,
    functools.cached_property: _cached_property,
}
if type(dataclasses.MISSING) is not sentinels.KIND:
    DISPATCH[type(dataclasses.MISSING)] = _missing
