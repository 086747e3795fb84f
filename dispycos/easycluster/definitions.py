"""Definitions: modules that exist on both ends without a file, made of the blocks of define_common.

A module is run from its blocks, in order, here and at every server that has it; so functions,
classes and their instances are pickled by their names and found at the other end. Each block is
compiled under a name of its own, and tracebacks show its lines.
"""

from __future__ import annotations

import importlib.util
import linecache
import sys
import threading
import types
from typing import Any, Final, NoReturn

from dispycos.arguments import text
from dispycos.easycluster import proxies, server_objects

DEFAULT: Final = "dispycos.easycluster.remote_code"

# What a block finds without an import.
_GIVEN: Final[dict[str, Any]] = {
    "ServerObject": server_objects.ServerObject,
    "make_server_class": server_objects.make_server_class,
    "make_singleton": server_objects.make_singleton,
    "RemoteProxy": proxies.RemoteProxy,
    "SelfIterProxy": proxies.SelfIterProxy,
}

_lock = threading.RLock()  # of what follows, and blocks run one at a time
_blocks: dict[str, list[str]] = {}  # name of a module -> its source texts


class BlockEnd(BaseException):
    """Ends a block of `execblock`; its argument is what the block gives."""


def exec_return(value: Any = None) -> NoReturn:
    """End the block of `execblock` that calls this, and have it give `value`."""
    raise BlockEnd(value)


def define_common(source: str, name: str = DEFAULT) -> None:
    """Run `source` in module `name`, here now and at every server that uses the module.

    New connections have it from the start; open ones after `update_definitions`. SyntaxError,
    and whatever the source raises, is raised here, and then no server gets it. ValueError for a
    name that is no module's or belongs to a module of another origin.
    """
    with _lock:
        run_block(text("name", name), text("source", source))


def run_block(name: str, source: str) -> None:
    """Run one more block in a module of definitions; it is kept if it raises nothing."""
    with _lock:
        number = len(_blocks.get(name, ())) + 1
        place = f"<{name} #{number}>"
        code = compile(source, place, "exec", dont_inherit=True)
        module = module_of(name)
        linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
        exec(code, vars(module))
        _blocks.setdefault(name, []).append(source)


def module_of(name: str) -> types.ModuleType:
    """The module of definitions of this name; made if there is none. ValueError."""
    with _lock:
        module = sys.modules.get(name)
        if module is not None and name in _blocks:
            return module
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{name!r} is no name of a module")
        if module is not None or _is_elsewhere(name):
            raise ValueError(f"there is a module {name!r} already; choose another name for the definitions")
        module = types.ModuleType(name, "Definitions that a master and its servers share.")
        vars(module).update(_GIVEN, exec_return=exec_return)
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent in sys.modules:
            setattr(sys.modules[parent], last, module)
        _blocks[name] = []
        return module


def _is_elsewhere(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False  # its parent is none, or no package


def blocks(name: str, start: int) -> list[str]:
    """The blocks of a module from number `start` on."""
    with _lock:
        return _blocks.get(name, [])[start:]
