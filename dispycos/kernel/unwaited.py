"""Waits that a task function asks for and throws away: `task.sleep(1)` without `yield`.

Such a call does nothing, and no error tells. It is found in the function's code before the function
runs for the first time: a wait that looked after itself would cost every wait of every task.

What is found is certain: a method of the parameter `task` that does nothing but say what to wait for,
whose answer nobody takes. What another name stands for is not known here, nor is what an answer that
was kept is used for.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

import dis
import inspect
import logging
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from dispycos.kernel.target import RUNS

log = logging.getLogger("dispycos")

_WAITS = frozenset({"sleep", "suspend", "receive", "recv"})  # of one's own task: they do nothing else
_JUMPS = frozenset({*dis.hasjrel, *dis.hasjabs})
_MAX_SEEN = 1024

# What was looked at, by id(), kept alive. As soon as it is full all is forgotten, and may be told again.
_seen: dict[int, CodeType] = {}


def warn(target: Any) -> None:
    """Log what `target`, or a subroutine that it names, throws away, at the first time; any thread."""
    code = getattr(target, "__code__", None)
    if type(code) is CodeType and _seen.get(id(code)) is not code:
        _look(code, getattr(target, "__globals__", {}))


def _look(code: CodeType, names: dict[str, Any]) -> None:
    if len(_seen) >= _MAX_SEEN:
        _seen.clear()
    _seen[id(code)] = code
    for method, line in thrown_away(code):
        log.warning(
            "%s does not wait at line %d of %s: task.%s() without `%s` does nothing",
            code.co_name,
            line,
            code.co_filename.rpartition("/")[2],
            method,
            "await" if code.co_flags & inspect.CO_COROUTINE else "yield",
        )
    for value in (*code.co_consts, *map(names.get, code.co_names)):
        inner, its_names = (
            (value.__code__, value.__globals__) if type(value) is FunctionType else (value, names)
        )
        if type(inner) is CodeType and inner.co_flags & RUNS and _seen.get(id(inner)) is not inner:
            _look(inner, its_names)


def thrown_away(code: CodeType) -> Iterator[tuple[str, int]]:
    """Method and line of each wait of the parameter `task` that nobody takes."""
    if "task" not in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        return
    if _WAITS.isdisjoint(code.co_names):
        return
    steps = list(dis.get_instructions(code))
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
