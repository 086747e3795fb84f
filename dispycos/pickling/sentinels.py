"""Sentinels (PEP 661, Python 3.15): each is one object, in every process that it comes to.

One that stands in a module that servers can import travels by its name. Any other travels with an
id, as classes and functions do (see `origins`), so that `value is MISSING` holds there too. Nothing
can refer to a sentinel weakly: those that travelled are kept for the life of the process.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from typing import Any

from dispycos.errors import VersionMismatch
from dispycos.pickling import origins, stubs

KIND: Any = getattr(builtins, "sentinel", None)  # None before Python 3.15

_ids: dict[int, tuple[bytes, Any]] = {}  # by id() of the sentinel, which is kept alive
_own: dict[bytes, Any] = {}  # those that came into being here


def reduce(value: Any) -> Any:
    """How a sentinel is pickled; NotImplemented: by its name."""
    module, name = value.__module__, value.__name__
    if origins.importable(module) and origins.named(sys.modules.get(module), name) is value:
        return NotImplemented
    return stubs.sentinel, (_id_of(value), module, name, repr(value))


def _id_of(value: Any) -> bytes:
    with origins.lock:
        known = _ids.get(id(value))
        if known is None:
            known = _ids[id(value)] = (origins.new_id(), value)
            _own[known[0]] = value
        return known[0]


def own(id: bytes) -> Any:
    """The sentinel that got this id in this process; None if there is none."""
    return _own.get(id)


def made(id_: bytes, module: str, name: str, text: str) -> Any:
    """The sentinel of another process, as it is to be here; VersionMismatch where there are none."""
    if KIND is None:
        raise VersionMismatch(
            f"{name} of {module} is a sentinel, which Python has from 3.15 on; this process is"
            f" {stubs.TAG}: use the same Python on both sides"
        )
    value = None
    if module in origins.shipped:
        value = origins.named(importlib.import_module(module), name)
    if type(value) is not KIND:
        value = KIND(name, repr=text)
        value.__module__ = module
    with origins.lock:
        _ids[id(value)] = (id_, value)
    return value
