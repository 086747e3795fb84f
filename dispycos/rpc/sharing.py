"""Sharing: what the other end may do with the objects of a service, by an explicit table of each.

    marked objects     the names with the prefix `exposed_`, and those marked by `@exposed`
    marked classes     these names, and calling it
    functions          calling them
    iterators          taking their next
    what functions made by `contextlib.contextmanager` return  entering and leaving it
    restricted ones    the names they were given
    objects of another connection  what that one's other end shares
    data of other types  looking at it: what _LOOKING names
    all other objects  passing them back

Rows GN-05, RP-16, RP-19.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from dispycos.objects import failure
from dispycos.objects.access import (
    CALLABLE,
    CONTEXT,
    ITERATOR,
    OPAQUE,
    PREFIX,
    Access,
    Exposed,
    Full,
    Names,
    exposed_names,
    name_of_class,
    special_method,
)
from dispycos.objects.proxy import Proxy
from dispycos.objects.relaying import Relayed
from dispycos.objects.terms import Terms
from dispycos.rpc.restriction import Restricted, RestrictedAccess

# Special methods that change nothing, of data such as dates, decimals and counters.
_LOOKING: Final = frozenset({
    "__len__", "__iter__", "__reversed__", "__contains__", "__getitem__", "__bool__", "__int__", "__float__",
    "__index__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__str__",
    "__repr__", "__add__", "__sub__", "__radd__", "__rsub__", "__neg__", "__abs__",
})  # fmt: skip


class _Context(Names):
    """Entering and leaving it; an error of the block there is raised in its generator."""

    def method(self, value: Any, name: str) -> Callable[..., Any]:
        found = super().method(value, name)
        return functools.partial(_leave, found) if name == "__exit__" else found


def _leave(leave: Callable[..., Any], described: tuple[Any, ...] | None) -> bool:
    error = None if described is None else failure.rebuild(described, loaded_error)
    return bool(leave(None if error is None else type(error), error, None))


_CONTEXT: Final = _Context(call=frozenset({"__enter__", "__exit__"}))
_EXPOSED: Final = Exposed()
_RESTRICTED: Final = RestrictedAccess()
_FULL: Final = Full()
_RELAYED: Final = Relayed()


def table(value: Any) -> Access:
    """The table of an object of a service."""
    if type(value) is Restricted:
        return _RESTRICTED
    if issubclass(type(value), Proxy):
        return _RELAYED
    if isinstance(value, type):
        return _EXPOSED if _is_marked_class(value) else OPAQUE
    found: Access = _of_instances(type(value))  # type: ignore[arg-type]  # classes are hashable
    if found is not _EXPOSED and any(name.startswith(PREFIX) for name in getattr(value, "__dict__", ())):
        return _EXPOSED
    return found


@functools.lru_cache(maxsize=1024)
def _of_instances(kind: type) -> Access:
    if exposed_names(kind):
        return _EXPOSED
    # Before what can be called, for it can be: as a decorator.
    if name_of_class(kind) == CONTEXT:
        return _CONTEXT
    if special_method(kind, "__call__") is not None:
        return CALLABLE
    if issubclass(kind, Iterator):
        return ITERATOR
    if kind.__module__.partition(".")[0] in _OF_DATA:
        return Names(call=frozenset(name for name in _LOOKING if special_method(kind, name) is not None))
    return OPAQUE


# Modules of Python whose objects are data, so that looking at them runs no code of the program's.
_OF_DATA: Final = frozenset({"builtins", "datetime", "decimal", "fractions", "collections", "uuid", "array"})


def _is_marked_class(kind: type) -> bool:
    return (
        getattr(kind, "_is_exposed", False) is True
        or kind.__name__.startswith(PREFIX)
        or bool(exposed_names(kind))
    )


def loaded_error(module: str, name: str) -> Any:
    """A class of exceptions in a module that this program has imported."""
    return _class_in(sys.modules.get(module), name)


def _class_in(module: Any, name: str) -> Any:
    found = getattr(module, "__dict__", {}).get(name)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def everything(value: Any) -> Access:
    """The table for those who may do anything here anyway."""
    if type(value) is Restricted:
        return _RESTRICTED
    return _RELAYED if issubclass(type(value), Proxy) else _FULL


SERVICE: Final = Terms(access=table, find_error=loaded_error, containers_stay=False, data_travels=True)
