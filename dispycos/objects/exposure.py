"""Exposure: what of an object in a cluster may be used by others. An explicit table, no reflection.

By default the public methods of its class; attributes only where they are named. The keeper of
the object looks in the table before it looks at the object.

Pure: no I/O, clock or randomness. Row GN-05.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Any, Final, NamedTuple, Never

from dispycos.arguments import integer, texts
from dispycos.guidance import habits, hints
from dispycos.kernel import trace
from dispycos.records import record

MOST_AT_ONCE: Final = 1000  # calls of one object: each of them has a thread


@record
class Exposure:
    """What makes an object, and how it is shared; see `expose`."""

    make: Callable[..., Any]
    methods: tuple[str, ...] | None = None
    attributes: tuple[str, ...] = field(default=())
    concurrency: int = 1

    @property
    def name(self) -> str:
        """What is made, for texts."""
        return getattr(self.make, "__name__", None) or type(self.make).__name__


class Table(NamedTuple):
    """The names that others may use of one object."""

    kind: str  # the name of its class
    methods: frozenset[str]
    attributes: frozenset[str]

    def use(self, value: Any, name: str) -> Callable[..., Any]:
        """What to call for that name. AttributeError if it is not in the table."""
        if name in self.methods:
            return value if name == "__call__" else getattr(value, name)  # type: ignore[no-any-return]
        if name in self.attributes:
            return lambda: getattr(value, name)
        raise self.refuse(name)

    def refuse(self, name: str) -> AttributeError:
        """What is said of any other name."""
        return AttributeError(f"a {self.kind} has no {name!r} that others may use")


def expose(
    make: Callable[..., Any],
    *,
    methods: Iterable[str] | None = None,
    attributes: Iterable[str] = (),
    concurrency: int = 1,
    **unknown: Never,
) -> Exposure:
    """Say what `client.object_at` shares of an object, and how many calls it does at once.

    make         a class, or a function that returns the object.
    methods      names that may be called, `__call__` for the object itself; None: its public methods.
    attributes   names that may be read.
    concurrency  calls that are done at once, from 1 to 1000. With more than 1 the object itself
                 sees to it that they do not disturb each other.

    TypeError and ValueError name the argument.
    """
    hints.refuse(expose, unknown, habits.OF_EXPOSE)
    if not callable(make):
        raise TypeError(f"make must be a class or a function, not {make!r:.200}")
    integer("concurrency", concurrency, least=1, most=MOST_AT_ONCE)
    listed = None if methods is None else _names("methods", methods)
    return Exposure(make, listed, _names("attributes", attributes), concurrency)


def _names(what: str, names: Iterable[str]) -> tuple[str, ...]:
    found = texts(what, names)
    for name in found:
        if not (name == "__call__" and what == "methods") and (
            not name.isidentifier() or name.startswith("_") or name == "close"
        ):
            raise ValueError(
                f"{what}: {name!r} can't be shared: only public names can, and `close` ends the object"
            )
    return found


def table_of(value: Any, exposure: Exposure) -> Table:
    """The table of an object. AttributeError if it has no method that is to be exposed."""
    kind = type(value)
    attributes = frozenset(exposure.attributes)
    if exposure.methods is None:
        return Table(kind.__name__, frozenset(_public(kind)) - attributes, attributes)
    for name in exposure.methods:
        if not callable(getattr(value, name, None)):
            raise AttributeError(f"a {kind.__name__} has no method {name!r} to expose")
    return Table(kind.__name__, frozenset(exposure.methods) - attributes, attributes)


def _public(kind: type) -> set[str]:
    found: dict[str, Any] = {}
    for cls in reversed(kind.__mro__):
        found.update(vars(cls))
    # As they stand in the class: a property must not run for being looked at.
    return {
        name
        for name, held in found.items()
        if (name == "__call__" or (not name.startswith("_") and name != "close"))
        and (callable(held) or isinstance(held, staticmethod | classmethod))
        and not isinstance(held, type)
    }


trace.leading.add(__name__)
