"""Records: slotted dataclasses that cost little until they are used.

`@record` is `@dataclass(frozen=True, slots=True)`, but each part is made at its first use: what
`fields` tells, and constructor, comparison, hash and text, each for itself. With the class the
standard library would compile six functions, which takes 1 ms; we have some 300 classes of
messages, events and states, of which a process uses dozens.

`@record(frozen=False)` is one whose fields may be set, `@record(eq=False)` one that equals
only itself.

For what stays inside. What users see is a plain dataclass: until its first use a record does
not tell its signature.

Fields are said one by one: there is no KW_ONLY and no InitVar. What no record can be is refused at its
first use.

Pure. Layer 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, field, fields
from reprlib import recursive_repr
from typing import Any, NoReturn, TypeVar, dataclass_transform, overload

from dispycos.written import write

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
    inherited = {name for base in cls.__mro__[1:] for name in vars(base).get("__slots__", ())}
    body["__slots__"] = tuple(name for name in own if name not in inherited)
    body[_FIELDS] = _Fields({name: vars(cls).get(name, MISSING) for name in own})
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

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given  # defaults of the class's own fields; MISSING: none

    def __get__(self, value: Any, cls: type[Any]) -> Any:
        owner = next((base for base in cls.__mro__ if vars(base).get(_FIELDS) is self), None)
        if owner is not None:  # else another thread was here just now
            # Two threads may both come here: they make the same twice.
            setattr(owner, _FIELDS, getattr(self._model(owner), _FIELDS))
        return getattr(cls, _FIELDS)

    def _model(self, owner: type[Any]) -> type[Any]:
        """A dataclass with the fields of `owner`, and no method."""
        names = {name: value for name, value in self.given.items() if value is not MISSING}
        names |= {"__annotations__": owner.__annotations__, "__module__": owner.__module__}
        # With a docstring, or one would be made of the signature, which takes longest of all.
        names |= {"__qualname__": owner.__qualname__, "__doc__": "A model."}
        write = dataclasses.dataclass(init=False, repr=False, eq=False, match_args=False)
        return write(type(owner.__name__, owner.__bases__, names))


class _Positional:
    """`__match_args__` of a record."""

    def __get__(self, value: Any, cls: type[Any]) -> tuple[str, ...]:
        return tuple(name for name, item in told(cls).items() if item.init and item.kw_only is not True)


def told(cls: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a record or dataclass by name, in order, each as `field` made it; {}: it is neither.

    They may lack a name and a type. `dataclasses.fields` tells these too, which takes a record long.
    """
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        own = vars(base).get(_FIELDS)
        if isinstance(own, _Fields):
            for name, value in own.given.items():
                found[name] = value if isinstance(value, dataclasses.Field) else field(default=value)
        elif own is not None:
            found |= {item.name: item for item in fields(base)}
    return found


def _late(cls: type[Any], name: str, frozen: bool) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        setattr(cls, name, _written(cls, name, frozen))
        return vars(cls)[name](self, *args, **kwargs)

    return method


def _written(cls: type[Any], name: str, frozen: bool) -> Any:
    """Write this method as the standard library would; it takes five times as long to do so."""
    told_of = told(cls)
    compared = [one for one, item in told_of.items() if item.compare]
    names: dict[str, Any] = {}
    if name == "__init__":
        source = _constructor(cls, told_of, names, frozen)
    elif name == "__repr__":
        shown = ", ".join(f"{one}={{self.{one}!r}}" for one, item in told_of.items() if item.repr)
        source = ["def __repr__(self):", f"    return f'{{self.__class__.__qualname__}}({shown})'"]
    elif name == "__eq__":
        source = [
            "def __eq__(self, other):",
            "    if other.__class__ is not self.__class__:",
            "        return NotImplemented",
            f"    return {_tuple('self', compared)} == {_tuple('other', compared)}",
        ]
    else:
        hashed = [one for one, item in told_of.items() if (item.compare if item.hash is None else item.hash)]
        source = ["def __hash__(self):", f"    return hash({_tuple('self', hashed)})"]
    write(source, f"{name} of {cls.__qualname__}", names)
    method = names[name]
    method.__qualname__ = f"{cls.__qualname__}.{name}"
    # One that is reached again from within, as by a list that holds its own record, is told by dots.
    return recursive_repr()(method) if name == "__repr__" else method


def _tuple(value: str, names: list[str]) -> str:
    return f"({''.join(f'{value}.{name}, ' for name in names)})"


def _constructor(cls: type[Any], given: dict[str, Any], names: dict[str, Any], frozen: bool) -> list[str]:
    """The lines of the constructor; what they see besides goes into `names`."""
    _check(cls, given)
    positional: list[str] = []
    named: list[str] = []
    body: list[str] = []
    for index, (name, item) in enumerate(given.items()):
        value = name
        if item.default_factory is not MISSING:
            names |= {"_made": _made_here, f"_new{index}": item.default_factory}
            value = f"_new{index}() if {name} is _made else {name}" if item.init else f"_new{index}()"
            default = "=_made"
        elif item.default is not MISSING:
            names[f"_given{index}"] = item.default
            default = f"=_given{index}"
            value = name if item.init else f"_given{index}"
        else:
            default = ""
        if item.init:
            (named if item.kw_only is True else positional).append(name + default)
        elif not default and item.default_factory is MISSING:
            continue  # set by who makes it
        if frozen:
            # Filling its slot is faster than what a frozen dataclass has to do.
            names[f"_set{index}"] = getattr(cls, name).__set__
            body.append(f"    _set{index}(self, {value})")
        else:
            body.append(f"    self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("    self.__post_init__()")
    arguments = ", ".join(["self", *positional, *(["*", *named] if named else [])])
    return [f"def __init__({arguments}):", *(body or ["    pass"])]


def _check(cls: type[Any], given: dict[str, Any]) -> None:
    """TypeError for what no record can be; at the first use, since with the class all would pay for it."""
    hints = {
        name: hint for base in cls.__mro__ for name, hint in vars(base).get("__annotations__", {}).items()
    }
    optional = ""  # the last one that has a default
    for name, item in given.items():
        where = f"{cls.__qualname__}.{name}"
        if str(hints[name]).removeprefix("dataclasses.").startswith(("KW_ONLY", "InitVar")):
            raise TypeError(f"{where}: a record has no {hints[name]}; write field(kw_only=True)")
        if type(item.default).__hash__ is None:
            kind = type(item.default).__name__
            raise TypeError(
                f"{where}: all records would share this {kind}; write field(default_factory={kind})"
            )
        if item.init and item.kw_only is not True:
            if item.default is not MISSING or item.default_factory is not MISSING:
                optional = name
            elif optional:
                raise TypeError(f"{where} has no default, and {optional} before it has one")


_made_here = object()  # stands for a value that is made anew for each


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
