"""Orders: code that is to run at the far end of a gateway, as source text.

Made at the near end from what `remote_exec` was given, run at the far end.
"""

from __future__ import annotations
import __future__

import builtins
import dis
import functools
import inspect
import linecache
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

NAME: Final = "__channelexec__"  # what code at the far end finds as its __name__
_WAITS: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE
_UNNAMED: Final = "<remote exec>"


@dataclass(frozen=True, slots=True)
class Order:
    """What to run. Plain values only: it is sent as a tuple of its fields."""

    source: str
    file: str  # where the source stands at the near end; "" if nowhere
    function: str  # called with the channel and `arguments`; "": the source is all
    arguments: dict[str, Any]

    @classmethod
    def of(cls, code: str | types.ModuleType | Callable[..., Any], arguments: dict[str, Any]) -> Order:
        """Of source text, a module or a function.

        A function has `channel` as its first parameter and depends on nothing around it:
        ValueError names what it does depend on. TypeError for anything else.
        """
        if isinstance(code, types.FunctionType):
            return cls(_source_of(code), code.__code__.co_filename, code.__name__, arguments)
        if arguments:
            raise TypeError(
                f"arguments {', '.join(arguments)} are for a function, not for {type(code).__name__}"
            )
        if isinstance(code, types.ModuleType):
            path = inspect.getsourcefile(code) or code.__file__ or ""
            linecache.checkcache(path)
            return cls(inspect.getsource(code), path, "", {})
        if isinstance(code, str):
            return cls(textwrap.dedent(code.lstrip("\n")), "", "", {})
        raise TypeError(
            f"source text, a module or a function can be run remotely, not a {type(code).__name__}"
        )

    def fields(self) -> tuple[str, str, str, dict[str, Any]]:
        """What is sent."""
        return self.source, self.file, self.function, self.arguments

    def run(self, channel: Any) -> Callable[[], Any] | None:
        """Run it, here. Raises whatever it raises.

        A generator function or `async def` is not called: it is the answer, with its arguments.
        """
        file = self.file or _UNNAMED
        # So that tracebacks can show the lines.
        lines = self.source.splitlines(keepends=True)
        linecache.cache[file] = len(self.source), None, lines, file
        namespace: dict[str, Any] = {"channel": channel, "__name__": NAME, "__file__": file}
        # The annotations of a function are not evaluated: they name what stands around it.
        flags = __future__.annotations.compiler_flag if self.function else 0
        exec(compile(self.source + "\n", file, "exec", flags, dont_inherit=True), namespace)
        if not self.function:
            return None
        function = namespace[self.function]
        if function.__code__.co_flags & _WAITS:
            return functools.partial(function, channel, **self.arguments)
        function(channel, **self.arguments)
        return None


def _source_of(function: types.FunctionType) -> str:
    name = function.__qualname__
    if function.__name__ == "<lambda>":
        raise ValueError("a lambda can't be run remotely; define a function")
    if function.__closure__:
        raise ValueError(f"{name} uses {', '.join(function.__code__.co_freevars)} of the function around it")
    parameters = list(inspect.signature(function).parameters)
    if not parameters or parameters[0] != "channel":
        raise ValueError(f"the first parameter of {name} must be `channel`")
    known = vars(builtins)
    missing = [used for used in _globals(function.__code__) if used not in known]
    if missing:
        raise ValueError(
            f"{function.__qualname__} uses the global names {', '.join(dict.fromkeys(missing))}; "
            "import or define them inside it"
        )
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError) as exc:
        raise ValueError(f"the source of {name} can't be found: {exc}") from None
    source = textwrap.dedent("".join(lines))
    if source.lstrip().startswith("@"):
        raise ValueError(f"{name} is decorated; only a plain function can be run remotely")
    # So that line numbers are those of the file.
    return "\n" * (first - 1) + source


def _globals(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals(constant)
