"""The service of classic mode: everything. Who proves the key may run any code here."""

from __future__ import annotations

import builtins
import codeop
import contextlib
import dis
import functools
import importlib
import linecache
import platform
import sys
import traceback
from collections import OrderedDict
from types import CodeType, FunctionType, TracebackType
from typing import Any, ClassVar, Final

from dispycos.objects.terms import Terms
from dispycos.pickling import rebuild
from dispycos.rpc import sharing
from dispycos.rpc.classic_connection import ClassicConnection
from dispycos.rpc.connection import Connection
from dispycos.rpc.copies import Packed, packed, unpacked
from dispycos.rpc.namespace import Namespace, by_reference
from dispycos.rpc.services import Service
from dispycos.rpc.stdio import Redirection

_SOURCE: Final = "<remote>"  # as a traceback names what was executed
_MOST_SHOWN: Final = 1000  # sources of which a traceback can show lines: the latest
_shown: OrderedDict[str, None] = OrderedDict()  # their names, of all connections


def imported_error(module: str, name: str) -> Any:
    """A class of exceptions in any module there is."""
    with contextlib.suppress(Exception):
        importlib.import_module(module)
    return sharing.loaded_error(module, name)


class ClassicService(Service):
    """Gives the other end all that this program has. One instance is for one connection."""

    ALIASES = ("CLASSIC", "SLAVE")
    terms: ClassVar[Terms] = Terms(access=sharing.everything, find_error=imported_error)
    connection_class: ClassVar[type[Connection]] = ClassicConnection

    def __init__(self) -> None:
        self.namespace = Namespace()
        self.streams = Redirection()
        self.trace: TracebackType | None = None  # of the last call that failed
        self._code = rebuild.Namespace()  # what was delivered here

    def on_disconnect(self) -> None:  # type: ignore[override]  # a hook may be without `conn`
        """Give the streams back."""
        self.streams.clear()
        self.trace = None

    def execute(self, source: str) -> None:
        """Run statements in the connection's namespace."""
        exec(_compiled(source, "exec"), self.namespace.names)

    def eval(self, source: str) -> Any:
        """The value of an expression there."""
        return eval(_compiled(source, "eval"), self.namespace.names)

    def getmodule(self, name: str) -> Any:
        """Import a module."""
        return importlib.import_module(name)

    def load(self, data: bytes, buffers: list[Any]) -> Any:
        """Take in an object that was made elsewhere."""
        return by_reference(unpacked(data, buffers, self._code))

    def teleport(self, data: bytes, buffers: list[Any], names: dict[str, Any] | None = None) -> Any:
        """Take in a function, whose global variables are `names`; None: its own, then those of here."""
        function = unpacked(data, buffers, self._code)
        if type(function) is not FunctionType:
            return function  # a method, or an object that is called
        if names is None:
            if not _asks_for_more(function.__code__, function.__globals__):
                return function
            names = _Names(function.__globals__, self.namespace.names)
        made = FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, function.__closure__
        )
        made.__kwdefaults__ = function.__kwdefaults__
        return functools.update_wrapper(made, function, updated=("__dict__",))

    def dump(self, value: Any) -> Packed:
        """An object as bytes, for a copy of it."""
        return packed(value)

    def redirect(self, stdin: Any, stdout: Any, stderr: Any) -> None:
        """Have what this connection calls use these streams."""
        self.streams.push(stdin=stdin, stdout=stdout, stderr=stderr)

    def restore(self) -> None:
        """Have it use those from before."""
        self.streams.pop()

    def post_mortem(self) -> None:
        """Debug the last call that failed, by these streams. ValueError if none did."""
        if self.trace is None:
            raise ValueError("no call of this connection failed, so there is nothing to look at")
        import pdb  # noqa: T100 - it is what was asked for; it takes long, so not before

        debugger = pdb.Pdb(stdin=sys.stdin, stdout=sys.stdout)
        debugger.reset()
        debugger.interaction(None, self.trace)

    def console(self, names: dict[str, Any] | None = None) -> Console:
        """A console in the connection's namespace."""
        self.namespace.names.update(names or {})
        return Console(self)


# As RPyC's servers name it.
SlaveService = ClassicService


class _Names(dict[str, Any]):
    # Global variables of a function that came here: its own, and behind them the connection's.

    def __init__(self, own: dict[str, Any], behind: dict[str, Any]) -> None:
        super().__init__(own)
        self._behind = behind

    def __missing__(self, name: str) -> Any:
        return self._behind[name]


def _asks_for_more(code: CodeType, known: dict[str, Any]) -> bool:
    # Whether it reads a global variable that did not come along, and is none of Python's own.
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and not (
            step.argval in known or hasattr(builtins, step.argval)
        ):
            return True
    return any(_asks_for_more(inner, known) for inner in code.co_consts if type(inner) is CodeType)


class Console:
    """Runs what is typed at the other end."""

    def __init__(self, service: ClassicService) -> None:
        self._names = service.namespace.names
        self._streams = service.streams
        self._compile = codeop.CommandCompiler()
        self.banner = (
            f"Python {sys.version} on {sys.platform}, {platform.node()}\n"
            'Type "help", "copyright", "credits" or "license" for more information.'
        )

    def push(self, source: str) -> bool:
        """Run it once it is whole; True if more lines are to come. SystemExit passes."""
        try:
            code = self._compile(source, "<stdin>", "single")
        except (SyntaxError, ValueError, OverflowError):
            self._show(skip=10_000)
            return False
        if code is None:
            return True
        try:
            exec(code, self._names)
        except SystemExit:
            raise
        except BaseException:
            self._show(skip=1)
        return False

    def _show(self, skip: int) -> None:
        # As an interpreter shows it: without its own frames.
        _, error, trace = sys.exc_info()
        for _ in range(skip):
            trace = trace.tb_next if trace is not None else None
        assert error is not None
        text = "".join(traceback.format_exception(type(error), error, trace))
        sys.stderr.write(text)


def _compiled(source: str, mode: str) -> Any:
    # A traceback shows the lines of what was sent.
    name = f"{_SOURCE[:-1]} {abs(hash(source)):x}>"
    _shown.pop(name, None)
    _shown[name] = None
    while len(_shown) > _MOST_SHOWN:
        linecache.cache.pop(_shown.popitem(last=False)[0], None)
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return builtins.compile(source, name, mode, dont_inherit=True)
