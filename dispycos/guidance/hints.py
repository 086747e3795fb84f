"""Hints: what errors say to who writes a word that is not ours.

A word of another library is answered with what is written here (`guidance.habits`), any other
with the nearest one of ours. Nothing is done under the old names.

Pure. Layer 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from dispycos.guidance.habits import NO_WORDS, OPTIONS, Table
from dispycos.wording import nearest

P = ParamSpec("P")
R = TypeVar("R")

_BY_NAME: Final = ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY")  # kinds of parameters


class _Elsewhere:
    """An attribute that its class does not have, and why. Of the class, so that others cost nothing more."""

    def __init__(self, name: str, told: str) -> None:
        self._name = name
        self._told = told

    def __get__(self, thing: object, kind: type) -> Any:
        raise AttributeError(f"{kind.__name__!r} object has no attribute {self._name!r}{self._told}")


def tell(kind: type, table: Table) -> None:
    """Have the error for each attribute of the table, which `kind` does not have, name the new way."""
    for name in table:
        if not hasattr(kind, name):
            setattr(kind, name, _Elsewhere(name, hint(table, name)))


def own(names: Iterable[str], table: Table) -> list[str]:
    """What `dir()` shows: not what is only there to tell."""
    return [name for name in names if name not in table]


def hint(table: Table, name: str) -> str:
    """What the end of an error says of a name; empty if nobody writes it elsewhere."""
    return f"; here it is: {table[name]}" if name in table else ""


def refuse(function: Callable[..., Any], unknown: Mapping[str, Any], table: Table = NO_WORDS) -> None:
    """TypeError for the first argument that `function` does not take, if there is one."""
    for name, value in unknown.items():
        start = f"{function.__name__}() takes no {name}="
        if name in table:
            raise TypeError(f"{start}: {table[name].format(name, value)}")
        named = [one for one, kind in _parameters(function) if kind in _BY_NAME and one != "self"]
        near = _begun(name, named) or nearest(name, named)
        instead = f"did you mean {near}=?" if near else f"it takes {', '.join(named) or 'none'}"
        raise TypeError(f"{start}; {instead}")


def refusing(table: Table) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have a function `refuse` what it does not take, also in place of what it needs."""

    def around(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if kwargs:
                refuse(
                    function, {name: it for name, it in kwargs.items() if not _takes(function, name)}, table
                )
            return function(*args, **kwargs)

        return call

    return around


def _begun(name: str, known: Iterable[str]) -> str:
    """The one that is longer than `name`, or shorter, and begins alike; "" if there is none, or several."""
    found = [one for one in known if one.startswith(name) or name.startswith(one)]
    return found[0] if len(found) == 1 else ""


def refuse_options(way: str, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """TypeError for an option of another library's `submit` that the function itself does not take."""
    for name in given:
        if name in OPTIONS and not _takes(function, name):
            called = getattr(function, "__name__", "the function")
            raise TypeError(
                f"{way}() hands {name}= on to {called}, which does not take it; "
                f"as an option it is: {OPTIONS[name].format(name, given[name])}"
            )


def _takes(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = _parameters(function)
    except (TypeError, ValueError):
        return True  # nobody knows
    return any(kind == "VAR_KEYWORD" or (one == name and kind in _BY_NAME) for one, kind in parameters)


def _parameters(function: Callable[..., Any]) -> list[tuple[str, str]]:
    """Their names and kinds."""
    import inspect

    return [(name, it.kind.name) for name, it in inspect.signature(function).parameters.items()]
