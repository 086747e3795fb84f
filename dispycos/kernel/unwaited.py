"""Where a task function does not wait, though it looks as if: `task.sleep(1)` without `yield`, `yield other`.

Such a call does nothing, and no error tells. It is found in the function's code before the function
runs for the first time: a wait that looked after itself would cost every wait of every task.

What is found is a method of the parameter `task` that only says what to wait for, whose answer nobody
takes. Where the kernel fills that parameter in, it does nothing; where a caller passes it, it may be
another's object, and the text leaves that open. What a function does with other names is not known here.

A task that is yielded is given back, as any value is, and its end is not waited for: seen when it happens.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

import dis
import inspect
import logging
from collections.abc import Iterator
from itertools import repeat
from types import CodeType, FunctionType, MethodType
from typing import Any

from dispycos.kernel.target import RUNS, wants_task

log = logging.getLogger("dispycos")

_WAITS = frozenset({"sleep", "suspend", "receive", "recv"})  # of one's own task: they do nothing else
_JUMPS = frozenset({*dis.hasjrel, *dis.hasjabs})
_MAX_SEEN = 1024
_MAX_LOOKS = 256  # subroutines of subroutines of one target

# What was looked at, by id(), kept alive. As soon as it is full all is forgotten, and may be told again.
_seen: dict[int, CodeType] = {}
_told: set[tuple[int, int]] = set()  # code, by id(), and line


def warn(target: Any) -> None:
    """Log what `target`, or a subroutine that it names, throws away, at the first time; any thread."""
    function = target.__func__ if type(target) is MethodType else target
    if type(function) is not FunctionType:
        return
    own: CodeType = function.__code__
    if not own.co_flags & RUNS or _seen.get(id(own)) is own:
        return
    filled = "task" in own.co_varnames and wants_task(function, own, 0)
    to_see = [(own, function.__globals__)]
    for _ in repeat(None, _MAX_LOOKS):
        code, names = to_see.pop()
        if code.co_flags & RUNS and _seen.get(id(code)) is not code:
            if len(_seen) >= _MAX_SEEN:
                _seen.clear()
            _seen[id(code)] = code
            _tell(code, filled and code is own)
            to_see += _subroutines(code, names)
        if not to_see:
            break


def given_back(generator: Any) -> None:
    """Log that a task yielded a task, once for each line; the kernel's thread."""
    frame = getattr(generator, "gi_frame", None)
    if frame is None or (place := (id(frame.f_code), frame.f_lineno)) in _told:
        return
    if len(_told) >= _MAX_SEEN:
        _told.clear()
    _told.add(place)
    _log(frame.f_code, frame.f_lineno, "to yield a task gives it back; `yield task()` waits for it")


def _tell(code: CodeType, filled: bool) -> None:
    word = "await" if code.co_flags & inspect.CO_COROUTINE else "yield"
    condition = "" if filled else ", if `task` is a Task"
    # A `finally` stands twice in the code.
    for method, line in dict.fromkeys(thrown_away(code)):
        _log(code, line, f"task.{method}() without `{word}` does nothing{condition}")


def _log(code: CodeType, line: int, why: str) -> None:
    file = code.co_filename.rpartition("/")[2]
    log.warning("%s does not wait at line %d of %s: %s", code.co_name, line, file, why)


def _subroutines(code: CodeType, names: dict[str, Any]) -> Iterator[tuple[CodeType, dict[str, Any]]]:
    """The code of functions that stand in it, or that it names, each with the globals it sees."""
    for inner in (*code.co_consts, *map(names.get, code.co_names)):
        if type(inner) is CodeType:
            yield inner, names
        elif type(inner) is FunctionType:
            yield inner.__code__, inner.__globals__


def thrown_away(code: CodeType) -> Iterator[tuple[str, int]]:
    """Method and line of each wait of the parameter `task` that nobody takes."""
    if "task" not in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        return
    if _WAITS.isdisjoint(code.co_names):
        return
    steps = list(dis.get_instructions(code))
    if any(step.argval == "task" and step.opname.startswith(("STORE", "DELETE")) for step in steps):
        return  # it is something else from there on
    line = code.co_firstlineno
    for index, step in enumerate(steps[:-1]):
        line = step.positions.lineno if step.positions and step.positions.lineno else line
        if step.argval == "task" and step.opname.startswith(("LOAD_FAST", "LOAD_DEREF")):
            method = steps[index + 1]
            is_wait = method.argval in _WAITS and method.opname in ("LOAD_METHOD", "LOAD_ATTR")
            if is_wait and _is_thrown_away(steps[index:]):
                yield method.argval, line


def _is_thrown_away(steps: list[dis.Instruction]) -> bool:
    """Whether these begin with a call of a method whose answer is dropped."""
    depth = 0
    for index, step in enumerate(steps[:-1]):
        if step.opcode in _JUMPS:
            return False  # an argument that is chosen: how deep the stack is depends on the way
        depth += dis.stack_effect(step.opcode, step.arg)
        if index and depth <= 1:
            return index > 1 and depth == 1 and steps[index + 1].opname == "POP_TOP"
    return False
