"""What a client ships to its nodes: definitions and files, checked where they are named.

Decides nothing about how they travel; see `client.shipping`. Rows DC-02, DC-03. Layer 5.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from dispycos.pickling.code import Prelude
from dispycos.records import record

Definition: TypeAlias = type[Any] | ModuleType | Callable[..., Any]


@record
class FileComponent:
    """A file that goes into the directory of each node."""

    path: Path  # absolute
    name: str  # relative POSIX path in the node's directory


@record
class Components:
    """What a client's `components` argument came to."""

    definitions: tuple[Definition, ...] = ()
    files: tuple[FileComponent, ...] = ()
    preludes: tuple[Prelude, ...] = ()  # what servers call before they load the definitions


def sort_out(components: Sequence[Any]) -> Components:
    """Check every component and tell definitions from files.

    TypeError or ValueError names the one that can't be shipped (DC-01, DC-02); a path must
    exist and be a regular, readable file.
    """
    if isinstance(components, (str, bytes)) or not isinstance(components, Sequence):
        raise TypeError(
            f"components must be a list, not {type(components).__name__}: what tasks need, as in "
            "Client([function, module, 'file']); a LocalCluster is used by Client() in its `with` block, a "
            "scheduler is named by client.schedule('HOST')"
        )
    definitions: dict[int, Definition] = {}
    files: dict[str, FileComponent] = {}
    for number, component in enumerate(components):
        where = f"components[{number}]"
        if isinstance(component, (str, os.PathLike)):
            file = _file(where, Path(os.fsdecode(component)))
            other = files.setdefault(file.name, file)
            if other.path != file.path:
                raise ValueError(f"{where}: {file.path} would be {file.name!r} at a node, as {other.path} is")
        else:
            definition = _definition(where, component)
            definitions.setdefault(id(definition), definition)
    return Components(tuple(definitions.values()), tuple(files.values()))


def _file(where: str, path: Path) -> FileComponent:
    if not path.exists():
        raise ValueError(f"{where}: there is no file {str(path)!r}")
    if not path.is_file():
        raise ValueError(f"{where}: {str(path)!r} is not a regular file")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{where}: {str(path)!r} can't be read by this user")
    absolute = path.resolve()
    # Below the program's directory a path keeps its folders, elsewhere only its last part.
    try:
        name = absolute.relative_to(Path.cwd()).as_posix()
    except ValueError:
        name = absolute.name
    return FileComponent(absolute, name)


def _definition(where: str, component: Any) -> Definition:
    if isinstance(component, (type, ModuleType)) or inspect.isfunction(component):
        return component
    if inspect.ismethod(component):
        # A bound method needs its object's class; the object itself travels as an argument.
        return component.__self__ if isinstance(component.__self__, type) else type(component.__self__)
    kind = type(component)
    if kind.__module__ == "builtins":
        raise TypeError(
            f"{where}: {kind.__name__} {component!r:.80} is no function, class, instance of a class, "
            "module or path"
        )
    return kind


def check_target(target: Any, what: str = "gen") -> Callable[..., Any]:
    """The target of a remote task: a generator function or `async def`; else TypeError (DC-21)."""
    needed = f"{what} must be a generator function (one with a `yield`) or `async def`, not"
    function = target
    while hasattr(function, "func") and not inspect.isfunction(function):
        function = function.func  # functools.partial
    if not callable(function):
        raise TypeError(f"{needed} {target!r:.200}")
    for candidate in (function, inspect.unwrap(function), type(function).__call__):
        if inspect.isgeneratorfunction(candidate) or inspect.iscoroutinefunction(candidate):
            return target  # type: ignore[no-any-return]  # a function of some kind, or callable
    calls = "; client.submit(f, ...) calls any function, client.run_everywhere(f) one on each server"
    instead = calls if what == "gen" else ""
    raise TypeError(f"{needed} {target!r:.200}{instead}")
