"""Tuples with names, as they arrive: tuples that print as such, whose fields can be read by name."""

from __future__ import annotations

from typing import Any


class NamedFields(tuple[Any, ...]):
    """The values of a named tuple or a structure of the system, such as what `os.uname` answers."""

    _names: tuple[str, ...]

    def __new__(cls, values: tuple[Any, ...], names: tuple[str, ...]) -> NamedFields:
        made = super().__new__(cls, values)
        made._names = names
        return made

    def __getattr__(self, name: str) -> Any:
        if name != "_names" and name in self._names:
            return self[self._names.index(name)]
        raise AttributeError(f"this tuple has no field {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return NamedFields, (tuple(self), self._names)


def names_of(value: tuple[Any, ...]) -> tuple[str, ...] | None:
    """The names of a tuple's fields, in order; None if it is no tuple with names."""
    kind = type(value)
    fields = getattr(kind, "_fields", None)
    if fields is None and hasattr(kind, "n_sequence_fields"):
        # A structure of the system: its fields are matched by position.
        fields = getattr(kind, "__match_args__", None)
    if isinstance(fields, tuple) and all(type(name) is str for name in fields):
        return fields
    return None
