"""Records: frozen, slotted dataclasses that cost little until they are used.

`@record` is `@dataclass(frozen=True, slots=True)`, but constructor, comparison, hash and text
are each compiled at its first call, not with the class. The standard library compiles
six functions a class, which takes 1 ms; we have some 200 classes of messages, events and
actions, of which a process uses dozens, and they were half of the time that importing a client took.

For what stays inside. What users see is a plain dataclass: until its first use a record does
not tell its signature.

Pure. Layer 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields
from typing import Any, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")

_MADE_LATE = ("__init__", "__repr__", "__eq__", "__hash__")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make `cls` a record; what it defines itself of `__repr__`, `__eq__`, `__hash__` stays."""
    late = [name for name in _MADE_LATE if name not in vars(cls)]
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    for name in late:
        setattr(made, name, _late(made, name))
    made.__setattr__ = _refuse_setting
    made.__delattr__ = _refuse_deleting
    # The common way of pickle and copy would set the fields one by one, and be refused.
    made.__getstate__ = _state
    made.__setstate__ = _restore
    return made  # type: ignore[no-any-return]  # the class that has the slots of `cls`


def _late(cls: type[Any], name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Two threads may both come here: they make the same twice.
        setattr(cls, name, _written(cls, name))
        return vars(cls)[name](self, *args, **kwargs)

    return method


def _written(cls: type[Any], name: str) -> Any:
    """Have the standard library write this method, for a class with the same fields."""
    names: dict[str, Any] = {item.name: item for item in fields(cls)}
    names["__annotations__"] = {item.name: item.type for item in fields(cls)}
    names |= {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    if hasattr(cls, "__post_init__"):
        names["__post_init__"] = None  # the constructor calls that of its object
    # Frozen: a constructor that gets past `_refuse_setting`, and a hash at all.
    write = dataclass(
        init=name == "__init__",
        repr=name == "__repr__",
        eq=name in ("__eq__", "__hash__"),
        frozen=name in ("__init__", "__hash__"),
    )
    model: type[Any] = write(type(cls.__name__, (), names))
    return vars(model)[name]


def _refuse_setting(self: Any, name: str, value: Any) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deleting(self: Any, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, item.name) for item in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for item, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, item.name, value)
