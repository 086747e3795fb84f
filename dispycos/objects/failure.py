"""Exceptions between two ends: of their own type where it is known, with the traceback as text.

The members of a group travel as it does, each with its own traceback, so that `except*` finds them.
"""

from __future__ import annotations

import builtins
import contextlib
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from dispycos import errors, forks, frames
from dispycos.config import Limits
from dispycos.wording import clip, many, shown

# Not all of easycluster: its definitions, which are the user's, stand there by default.
_OURS: Final = ("dispycos.objects.", "dispycos.rpc.", "dispycos.easycluster.served")
LIMITS: Final = Limits()  # of them only config.WIRE_LIMITS, which no process may change
_MOST: Final = 1000  # exceptions that one is described with: causes, members of groups, and theirs
# Characters of a traceback: the fewer the more others it is told with, but a few frames in any case.
_LEAST_TEXT: Final = 2048
_TEXT: Final = 64
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes)

# What they are, not what their classes say: one may answer for all of its attributes.
_ARGS: Final[Callable[[BaseException], tuple[Any, ...]]] = vars(BaseException)["args"].__get__
_FACTS: Final[Callable[[BaseException], dict[Any, Any]]] = vars(BaseException)["__dict__"].__get__
_CAUSE: Final[Callable[[BaseException], BaseException | None]] = vars(BaseException)["__cause__"].__get__
_CONTEXT: Final[Callable[[BaseException], BaseException | None]] = vars(BaseException)["__context__"].__get__
_SET_CAUSE: Final[Callable[[BaseException, BaseException], None]] = vars(BaseException)["__cause__"].__set__
_MESSAGE: Final[Callable[[Any], str]] = vars(BaseExceptionGroup)["message"].__get__
_MEMBERS: Final[Callable[[Any], tuple[BaseException, ...]]] = vars(BaseExceptionGroup)["exceptions"].__get__
_MODULE: Final[Callable[[type], Any]] = vars(type)["__module__"].__get__
_QUALNAME: Final[Callable[[type], str]] = vars(type)["__qualname__"].__get__


class GenericException(errors.RemoteError):
    """An exception of a type that is not known here; the text names the type."""


class RemoteTraceback(Exception):
    """Where the other end raised: the cause of what is raised here, so that Python prints both."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"at the other end:\n\n{self.text.rstrip()}"


def describe(error: BaseException, *, brief: bool = False) -> tuple[Any, ...]:
    """An exception as plain values. The frames of ours that lead to what was called are left out.

    Its last part is the traceback as text; empty if no line but ours led to it. Raises nothing, though
    its class may do as it likes. Of a group with very many members, the first ones; its text says so.
    brief  cut long texts that it holds, too, for who has no time to send them.
    """
    with forks.parent_goes_on():
        try:
            return _described(error, _MOST, brief)
        except BaseException as broken:
            # Out of stack or memory, say: who waits hears that.
            said = f"its text can't be made: {type(broken).__name__}"
            return (*_name(type(error)), (said,), {}, said, None, (), "")


def _described(error: BaseException, room: int, brief: bool) -> tuple[Any, ...]:
    whole = not (room and _is_group(error))
    return (*_parts(error, room, brief), text_of(error, whole=whole, most=_LEAST_TEXT + _TEXT * room))


def _parts(error: BaseException, room: int, brief: bool) -> tuple[Any, ...]:
    # room  how many others may be described as parts of it: its cause, members, and theirs.
    module, name = _name(type(error))
    cause = _CAUSE(error) if room else None
    if cause is not None and issubclass(type(cause), RemoteTraceback):
        cause = None
    every = _MEMBERS(error) if room and _is_group(error) else ()
    members = every[: room - (cause is not None)]
    # In equal shares, so that the first ones do not take all; and the half at most, or they could be
    # parts of parts without end.
    count = len(members) + (cause is not None)
    share = (room - count) // (count + 1)
    args = tuple(_plain(item, brief) for item in _arguments(error))
    left_out = len(every) - len(members)
    if left_out:
        args = (f"{args[0]} [{many(left_out, 'more exception')} left out]",)
    facts = {
        key: _plain(value, brief)
        for key, value in _FACTS(error).items()
        if type(key) is str and type(value) in _PLAIN
    }
    return (
        module,
        name,
        args,
        facts,
        _cut(shown(error, str)),
        None if cause is None else _parts(cause, share, brief),
        tuple(_described(member, share, brief) for member in members),
    )


def _name(kind: type) -> tuple[str, str]:
    # Its metaclass may do as it likes, too, and the module be anything.
    module = _MODULE(kind)
    return module if type(module) is str else "?", _QUALNAME(kind)


def text_of(error: BaseException, *, whole: bool, most: int = LIMITS.max_text_bytes) -> str:
    """Its traceback as text, see `describe`; `whole`: with those of the members of a group.

    most  characters; of a longer one, its beginning and end. Raises nothing.
    """
    trace = trace_of(error)
    if trace is None and _CAUSE(error) is None:
        return ""
    try:
        if not _is_many(error):
            made = traceback.TracebackException(type(error), error, trace)
            if not whole:
                made.exceptions = None
            return clip("".join(made.format()), most, LIMITS.max_text_bytes)
    except BaseException:
        pass  # what it tells of itself is not fit for a traceback
    lines = "".join(traceback.format_tb(trace))
    last = f"{full_name(*_name(type(error)))}: {_cut(shown(error, str))}"
    return clip(f"Traceback (most recent call last):\n{lines}{last}\n", most, LIMITS.max_text_bytes)


def _is_many(error: BaseException) -> bool:
    # Whether more would be told of than are read: one that is in a group twice is told of twice.
    left, seen = [error], {id(error)}
    for _ in range(_MOST):
        if not left:
            return False
        one = left.pop()
        for reason in (_CAUSE(one), _CONTEXT(one)):
            if reason is not None and id(reason) not in seen:
                seen.add(id(reason))
                left.append(reason)
        if _is_group(one):
            left.extend(_MEMBERS(one)[:_MOST])
    return True


def _is_group(error: BaseException) -> bool:
    return issubclass(type(error), BaseExceptionGroup)


def trace_of(error: BaseException) -> TracebackType | None:
    """Its traceback without the frames of ours that lead to what was called."""
    return frames.beyond_ours(frames.traceback_of(error), _OURS)


def _arguments(error: BaseException) -> tuple[Any, ...]:
    kind = type(error)
    if _is_group(error):
        return (_MESSAGE(error),)
    # The file that it is about stands beside them, unless a class of its own takes others.
    if issubclass(kind, OSError) and kind.__module__ == "builtins" and error.filename is not None:  # type: ignore[attr-defined]  # it has one
        return OSError.__reduce__(error)[1]  # type: ignore[return-value]  # the stubs say less
    return _ARGS(error)


def _plain(value: Any, brief: bool) -> Any:
    kind = type(value)
    # A SyntaxError has its place as a tuple.
    if kind not in _PLAIN and not (kind is tuple and all(type(item) in _PLAIN for item in value)):
        return _cut(shown(value))
    if brief and kind is str:
        return _cut(value)
    return value[: LIMITS.max_text_bytes] if brief and kind is bytes else value


def _cut(text: str) -> str:
    return clip(text, LIMITS.max_text_bytes, LIMITS.max_text_bytes)


def full_name(module: str, name: str) -> str:
    """What a class is called in a traceback."""
    return name if module == "builtins" else f"{module}.{name}"


def rebuild(described: tuple[Any, ...], find: Callable[[str, str], Any]) -> BaseException:
    """The exception to raise here.

    find  (module, name) -> a class that this end is willing to make, or None.
    """
    *parts, text = described
    error = _rebuilt(tuple(parts), find)
    if not text:
        return error
    trace = RemoteTraceback(str(text))
    if _CAUSE(error) is None:
        _SET_CAUSE(error, trace)
    else:
        with contextlib.suppress(Exception):  # its class takes no notes
            BaseException.add_note(error, f"the other end's traceback:\n{text}")
    return error


def _rebuilt(parts: tuple[Any, ...], find: Callable[[str, str], Any]) -> BaseException:
    module, name, args, facts, text, inner, members = parts
    kind = known(module, name) or find(module, name)
    full = full_name(module, name)
    error: BaseException | None = None
    if members:
        error = _group(kind, full, args, [rebuild(member, find) for member in members])
        _FACTS(error).update(facts)
    # What would end or stop the program that called does not: it was another program's.
    elif isinstance(kind, type) and issubclass(kind, Exception):
        try:
            made = kind(*args)
            made.with_traceback(made.__traceback__)  # as who waits for it will ask
            _FACTS(made).update(facts)
            error = made
        except (Exception, SystemExit, GeneratorExit):
            pass  # its constructor takes other arguments, or would end us
    if error is None:
        error = GenericException(f"{full}: {text}" if text else full)
    if inner is not None:
        _SET_CAUSE(error, _rebuilt(inner, find))
    return error


def _group(kind: Any, full: str, args: tuple[Any, ...], members: list[Any]) -> Exception:
    if isinstance(kind, type) and issubclass(kind, BaseExceptionGroup):
        make: Any = kind
        try:
            made = make(*args, members)
            if isinstance(made, ExceptionGroup):
                return made
        except (Exception, SystemExit, GeneratorExit):
            pass  # its constructor takes other arguments, or would end us
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
