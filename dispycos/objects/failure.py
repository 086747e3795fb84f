"""Exceptions between two ends: of their own type where it is known, with the traceback as text.

The members of a group travel as it does, each with its own traceback, so that `except*` finds them.
"""

from __future__ import annotations

import builtins
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TypeGuard

from dispycos import errors

# Not all of easycluster: its definitions, which are the user's, stand there by default.
_OURS: Final = ("dispycos.objects.", "dispycos.rpc.", "dispycos.easycluster.served")
_MAX_DEPTH: Final = 8  # causes of causes, groups in groups
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes)


class GenericException(errors.RemoteError):
    """An exception of a type that is not known here; the text names the type."""


class RemoteTraceback(Exception):
    """Where the other end raised: the cause of what is raised here, so that Python prints both."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"at the other end:\n\n{self.text.rstrip()}"


def describe(error: BaseException) -> tuple[Any, ...]:
    """An exception as plain values. The frames of ours that lead to what was called are left out.

    Its last part is the traceback as text; empty if no line but ours led to it.
    """
    try:
        return _described(error, 0)
    except BaseException as broken:
        # Its class does as it likes, also when it is asked for its text: who waits hears that.
        kind = type(error)
        said = f"its text can't be made: {type(broken).__name__}"
        return (
            type.__getattribute__(kind, "__module__"),
            type.__getattribute__(kind, "__qualname__"),
            (said,),
            {},
            said,
            None,
            (),
            "",
        )


def _described(error: BaseException, depth: int) -> tuple[Any, ...]:
    return (*_parts(error, depth), text_of(error, whole=not _is_group(error, depth)))


def text_of(error: BaseException, *, whole: bool) -> str:
    """Its traceback as text, see `describe`; `whole`: with those of the members of a group."""
    trace = trace_of(error)
    if trace is None and error.__cause__ is None:
        return ""
    made = traceback.TracebackException(type(error), error, trace)
    if not whole:
        made.exceptions = None
    return "".join(made.format())


def _is_group(error: BaseException, depth: int) -> TypeGuard[BaseExceptionGroup[Any]]:
    return isinstance(error, BaseExceptionGroup) and depth < _MAX_DEPTH


def trace_of(error: BaseException) -> TracebackType | None:
    """Its traceback without the frames of ours that lead to what was called."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        trace = trace.tb_next
    return trace


def _parts(error: BaseException, depth: int) -> tuple[Any, ...]:
    kind = type(error)
    cause = error.__cause__
    inner = None
    if cause is not None and not isinstance(cause, RemoteTraceback) and depth < _MAX_DEPTH:
        inner = _parts(cause, depth + 1)
    members: tuple[Any, ...] = ()
    if _is_group(error, depth):
        members = tuple(_described(member, depth + 1) for member in error.exceptions)
    args = tuple(item if _is_plain(item) else _shown(item) for item in _arguments(error))
    facts = {
        name: value
        for name, value in getattr(error, "__dict__", {}).items()
        if type(name) is str and type(value) in _PLAIN
    }
    return kind.__module__, kind.__qualname__, args, facts, _shown(error), inner, members


def _arguments(error: BaseException) -> tuple[Any, ...]:
    if isinstance(error, BaseExceptionGroup):
        return (error.message,)
    # The file that it is about stands beside them, unless a class of its own takes others.
    if isinstance(error, OSError) and error.filename is not None and type(error).__module__ == "builtins":
        return OSError.__reduce__(error)[1]  # type: ignore[return-value]  # the stubs say less
    return error.args


def _is_plain(value: Any) -> bool:
    # A SyntaxError has its place as a tuple.
    return type(value) in _PLAIN or (type(value) is tuple and all(type(item) in _PLAIN for item in value))


def _shown(value: Any) -> str:
    try:
        return str(value) if isinstance(value, BaseException) else repr(value)
    except Exception as exc:
        return f"<its text can't be made: {type(exc).__name__}>"


def rebuild(described: tuple[Any, ...], find: Callable[[str, str], Any]) -> BaseException:
    """The exception to raise here.

    find  (module, name) -> a class that this end is willing to make, or None.
    """
    *parts, text = described
    error = _rebuilt(tuple(parts), find)
    if not text:
        return error
    trace = RemoteTraceback(str(text))
    if error.__cause__ is None:
        error.__cause__ = trace
    else:
        error.add_note(f"the other end's traceback:\n{text}")
    return error


def _rebuilt(parts: tuple[Any, ...], find: Callable[[str, str], Any]) -> BaseException:
    module, name, args, facts, shown, inner, members = parts
    kind = known(module, name) or find(module, name)
    full = name if module == "builtins" else f"{module}.{name}"
    error: BaseException | None = None
    if members:
        error = _group(kind, full, args, [rebuild(member, find) for member in members])
        vars(error).update(facts)
    # What would end or stop the program that called does not: it was another program's.
    elif isinstance(kind, type) and issubclass(kind, Exception):
        try:
            error = kind(*args)
            vars(error).update(facts)
        except Exception:
            error = None
    if error is None:
        error = GenericException(f"{full}: {shown}" if shown else full)
    if inner is not None:
        error.__cause__ = _rebuilt(inner, find)
    return error


def _group(kind: Any, full: str, args: tuple[Any, ...], members: list[Any]) -> Exception:
    if isinstance(kind, type) and issubclass(kind, BaseExceptionGroup):
        make: Any = kind
        try:
            made = make(*args, members)
            if isinstance(made, ExceptionGroup):
                return made
        except Exception:
            pass  # its constructor takes other arguments
    return ExceptionGroup(": ".join([full, *map(str, args)]), members)


def known(module: str, name: str) -> Any:
    """A class of Python's own or of ours by its name; None if it is none."""
    if module == "builtins":
        return vars(builtins).get(name)
    if (module, name) == (__name__, GenericException.__name__):
        return GenericException
    if module == errors.__name__:
        return vars(errors).get(name)
    return None
