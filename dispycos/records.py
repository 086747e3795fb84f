"""Records: slotted dataclasses that cost little until they are used.

`@record` is `@dataclass(frozen=True, slots=True)`, but the standard library is asked for each
part at its first use: for what `fields` tells, and for constructor, comparison, hash and text,
each for itself. With the class it would compile six functions, which takes 1 ms; we have some
300 classes of messages, events and states, of which a process uses dozens, and they were most
of the time that importing a client took.

`@record(frozen=False)` is one whose fields may be set, `@record(eq=False)` one that equals
only itself.

For what stays inside. What users see is a plain dataclass: until its first use a record does
not tell its signature.

Pure. Layer 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, fields
from typing import Any, NoReturn, TypeVar, dataclass_transform, overload

T = TypeVar("T")

_FIELDS = "__dataclass_fields__"  # what `fields`, `replace` and `is_dataclass` look at
_PARAMS = "__dataclass_params__"  # what a dataclass looks at that derives from a record


@overload
def record(cls: type[T], /) -> type[T]: ...


@overload
def record(*, frozen: bool = True, eq: bool = True) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T] | None = None, /, *, frozen: bool = True, eq: bool = True) -> Any:
    """Make `cls` a record; what it defines itself of `__repr__`, `__eq__`, `__hash__` stays."""
    if cls is None:
        return lambda cls: _made(cls, frozen, eq)
    return _made(cls, frozen, eq)


def _made(cls: type[T], frozen: bool, eq: bool) -> type[T]:
    own = {name: hint for name, hint in vars(cls).get("__annotations__", {}).items() if not _of_class(hint)}
    body = {name: value for name, value in vars(cls).items() if name not in own}
    for name in ("__dict__", "__weakref__"):
        body.pop(name, None)
    late = ["__init__", "__repr__", *(("__eq__", "__hash__") if eq else ())]
    if eq and not frozen:
        body.setdefault("__hash__", None)
    if frozen:
        body |= _FROZEN
    told = {name for base in cls.__mro__[1:] for name in vars(base).get("__slots__", ())}
    body["__slots__"] = tuple(name for name in own if name not in told)
    body[_FIELDS] = _Fields({name: vars(cls)[name] for name in own if name in vars(cls)})
    body[_PARAMS] = _MODEL_PARAMS
    body["__match_args__"] = _Positional()
    metaclass: Any = type(cls)
    made = metaclass(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    for name in late:
        if name not in body:
            setattr(made, name, _late(made, name, frozen))
    return made  # type: ignore[no-any-return]  # the class that has the slots of `cls`


def _of_class(hint: Any) -> bool:
    return str(hint).startswith(("ClassVar", "typing.ClassVar"))


class _Fields:
    """`__dataclass_fields__` of a record, until somebody looks."""

    def __init__(self, defaults: dict[str, Any]) -> None:
        self.defaults = defaults

    def __get__(self, value: Any, cls: type[Any]) -> Any:
        owner = next((base for base in cls.__mro__ if vars(base).get(_FIELDS) is self), None)
        if owner is not None:  # else another thread was here just now
            _model(owner, owner.__bases__, {"__annotations__": owner.__annotations__, **self.defaults})
        return getattr(cls, _FIELDS)


class _Positional:
    """`__match_args__` of a record."""

    def __get__(self, value: Any, cls: type[Any]) -> tuple[str, ...]:
        return tuple(item.name for item in fields(cls) if item.init and not item.kw_only)


def _late(cls: type[Any], name: str, frozen: bool) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        setattr(cls, name, _written(cls, name, frozen))
        return vars(cls)[name](self, *args, **kwargs)

    return method


def _written(cls: type[Any], name: str, frozen: bool) -> Any:
    """Have the standard library write this method, for a class with the same fields."""
    told = vars(cls)[_FIELDS]
    names: dict[str, Any]
    if isinstance(told, _Fields) and not any(map(dataclasses.is_dataclass, cls.__bases__)):
        names = {"__annotations__": cls.__annotations__, **told.defaults}
    else:
        names = {item.name: item for item in fields(cls)}
        names["__annotations__"] = {item.name: item.type for item in fields(cls)}
    if hasattr(cls, "__post_init__"):
        names["__post_init__"] = None  # the constructor calls that of its object
    # Frozen: a constructor that gets past `_refuse_setting`, and a hash at all.
    late = {"__init__": "init", "__repr__": "repr", "__eq__": "eq", "__hash__": "eq"}[name]
    frozen = frozen and name in ("__init__", "__hash__")
    return vars(_model(cls, (), names, **{late: True}, frozen=frozen))[name]


def _model(
    cls: type[Any],
    bases: tuple[type[Any], ...],
    names: dict[str, Any],
    *,
    init: bool = False,
    repr: bool = False,
    eq: bool = False,
    frozen: bool = False,
) -> type[Any]:
    """A dataclass with the fields of `cls`, which is told them if it was not yet."""
    # With a docstring, or one would be made of the signature, which takes longest of all.
    names |= {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": "A model."}
    write = dataclasses.dataclass(init=init, repr=repr, eq=eq, frozen=frozen, match_args=False)
    model: type[Any] = write(type(cls.__name__, bases, names))
    if isinstance(vars(cls)[_FIELDS], _Fields):
        # Two threads may both come here: they make the same twice.
        setattr(cls, _FIELDS, getattr(model, _FIELDS))
    return model


def _refuse_setting(self: Any, name: str, value: Any) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deleting(self: Any, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, item.name) for item in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for item, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, item.name, value)


_FROZEN = {
    "__setattr__": _refuse_setting,
    "__delattr__": _refuse_deleting,
    # The common way of pickle and copy would set the fields one by one, and be refused.
    "__getstate__": _state,
    "__setstate__": _restore,
}


@dataclasses.dataclass(init=False, repr=False, eq=False)
class _Model:
    """A dataclass that says nothing of itself."""


_MODEL_PARAMS = getattr(_Model, _PARAMS)
