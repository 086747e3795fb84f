"""What a task runs: from a function and its arguments to a generator or coroutine.

A target is a generator function or an `async def`, a method or a nested one included. A
parameter `task` with a default that the caller did not pass is filled with the Task (K6). A
plain function is none, and `as_target` makes one of it where a program may give either.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Generator, Mapping
from types import CodeType, CoroutineType, FunctionType, GeneratorType, MethodType
from typing import Any, NoReturn, TypeAlias

Runnable: TypeAlias = Generator[Any, Any, Any] | Coroutine[Any, Any, Any]

RUNS = inspect.CO_GENERATOR | inspect.CO_COROUTINE

# Code of ours that calls plain functions. It can take an exception from outside at any line, as at a `yield`.
calls_plainly: set[CodeType] = set()


def begin(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], task: Any) -> Runnable:
    """Call `target`, with `task` filled in where it asks for it, and answer what is to be run.

    TypeError if target is no generator function or async def, or does not take the arguments.
    """
    function: Any = target
    kind = type(function)
    if kind is FunctionType:
        given = len(args)
        passed: Mapping[str, Any] = kwargs
    elif kind is MethodType and type(function.__func__) is FunctionType:
        function = function.__func__
        given = len(args) + 1
        passed = kwargs
    else:
        function, given, passed = _inner(target, len(args), kwargs)
    code: CodeType = function.__code__
    if not code.co_flags & RUNS:
        _refuse(target)
    made: Runnable
    if "task" in code.co_varnames and "task" not in passed and wants_task(function, code, given):
        made = target(*args, task=task, **kwargs)
    elif kwargs:
        made = target(*args, **kwargs)
    else:
        made = target(*args)
    return made


def check(target: object) -> None:
    """TypeError if `target` is no generator function or async def."""
    function = target if type(target) is FunctionType else _inner(target, 0, {})[0]
    if not function.__code__.co_flags & RUNS:
        _refuse(target)


def runs(target: object) -> bool:
    """Whether `begin` takes this target; else it is a plain function, or can't be called at all."""
    try:
        check(target)
    except TypeError:
        return False
    return True


def as_target(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself if it is a target, else one that calls it: what it returns is the result.

    A generator or coroutine that it returns is run, as of a decorated generator function; but no
    generator expression, whose values nobody would get. No `task` is filled in for a plain function:
    there the name may mean anything.
    """
    if runs(function):
        return function

    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        value = function(*args, **kwargs)
        kind = type(value)
        if kind is CoroutineType or (kind is GeneratorType and value.gi_code.co_name != "<genexpr>"):
            value = yield value
        return value

    calls_plainly.add(call.__code__)  # one for all functions
    call.__name__ = name_of(function)
    return call


def wants_task(function: FunctionType, code: CodeType, given: int) -> bool:
    """Whether the parameter `task` exists, has a default, and is not among the positional arguments."""
    names = code.co_varnames
    positional = code.co_argcount
    position = names.index("task")
    if position < positional:
        first_default = positional - len(function.__defaults__ or ())
        return position >= first_default and position >= max(given, code.co_posonlyargcount)
    return position < positional + code.co_kwonlyargcount and "task" in (function.__kwdefaults__ or ())


def _inner(target: Any, given: int, kwargs: dict[str, Any]) -> tuple[FunctionType, int, Mapping[str, Any]]:
    """The function inside a partial or a callable object, and what it is given: how many, which names."""
    passed = dict(kwargs)
    function = target
    while isinstance(function, functools.partial):
        given += len(function.args)
        passed.update(function.keywords)
        function = function.func
    if isinstance(function, MethodType):
        function = function.__func__
        given += 1
    elif not isinstance(function, (FunctionType, type)):
        function = vars(type(function)).get("__call__")
        given += 1
    if not isinstance(function, FunctionType):
        _refuse(target)
    return function, given, passed


def _refuse(target: object) -> NoReturn:
    raise TypeError(
        f"a task runs a generator function or an async def, and {name_of(target)} is none: {target!r}; "
        "on a cluster client.submit(function, ...) runs a function of any kind"
    )


def name_of(target: object) -> str:
    """The name by which a target is known: its function's."""
    while isinstance(target, functools.partial):
        target = target.func
    name = getattr(target, "__name__", None)
    # One text for all tasks of a function: a builtin makes its name anew for each who asks.
    return sys.intern(name) if type(name) is str else type(target).__name__
