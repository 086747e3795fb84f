"""Served: what a server does for its master, a question at a time.

The master has proved the key, or started this process itself: it may run any code here. Objects
that stay here are used as their tables say.
"""

from __future__ import annotations

import builtins
import importlib
import os
import platform
import threading
import types
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from dispycos.config import RELEASE
from dispycos.easycluster import definitions, failures, finding
from dispycos.easycluster.proxies import SelfIterProxy
from dispycos.easycluster.server_objects import ServerObject, staying, table_of
from dispycos.errors import TaskCancelled
from dispycos.net.proof import Meeting
from dispycos.net.stream import Stream
from dispycos.objects.access import CALLABLE, Access, Names, kind_of
from dispycos.objects.connection import Connection
from dispycos.objects.terms import Terms

_OUR_OWN: Final = ("define", "facts", "stop")  # whose results are no program's
_MAKE_ITERATORS: Final = ("__iter__", "__reversed__")
_ROOT: Final = Names(call=frozenset({"do", "do_packed"}))

Log = Callable[[str, str], object]  # what was called, and its outcome


class Iteration(ServerObject):
    """An iterator over a server object."""

    proxy_class = SelfIterProxy

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._next = iterator.__next__

    def __next__(self) -> Any:
        return self._next()


class Served:
    """The master's face here: all that it may ask.

    log   told of every call.
    lost  called once when the master is gone.
    """

    def __init__(
        self, stream: Stream, meeting: Meeting, name: str, log: Log, lost: Callable[[str], None]
    ) -> None:
        self._log = log
        self._namespaces: list[str] = []  # names of modules of definitions, in which names are looked up
        self._asked: dict[str, Callable[..., Any]] = {
            "define": self._define,
            "call": self._call,
            "eval": self._eval,
            "execute": self._execute,
            "get": self._get,
            "set": self._set,
            "method": self._method,
            "attribute": self._attribute,
            "change": self._change,
            "stop": self._stop,
            "facts": self._facts,
        }
        terms = Terms(
            access=self._access,
            by_value=self._by_value,
            find_class=finding.find,
            find_error=finding.find_error,
            lanes=True,
        )
        # A master may ask before the constructor of the connection has returned to us.
        self._made = threading.Event()
        self._connection = Connection(
            stream, meeting, name=name, root=self, terms=terms, first=False, lost=lost
        )
        self._made.set()

    @property
    def connection(self) -> Connection:
        """With the master."""
        self._made.wait()
        return self._connection

    def _access(self, value: Any) -> Access:
        if value is self:
            return _ROOT
        return table_of(value) or CALLABLE

    def _by_value(self, value: Any) -> bool:
        return value is not self and table_of(value) is None

    def do(self, what: str, *args: Any) -> tuple[bool, Any]:
        """Do what is asked: whether it was done, and its value or what it raised."""
        try:
            value = self._asked[what](*args)
            return True, value if what in _OUR_OWN else staying(value)
        except TaskCancelled:
            raise  # it is stopped, and nobody waits for an answer
        except BaseException as exc:
            return False, failures.describe(exc, self.connection.pack)

    def do_packed(self, data: bytes) -> bytes:
        """The same, with question and answer compressed."""
        answer = self.do(*self.connection.unpack(zlib.decompress(data)))
        return zlib.compress(self.connection.pack(answer), 1)

    # What may be asked.

    def _define(self, name: str, sources: list[str]) -> None:
        definitions.module_of(name)
        if name not in self._namespaces:
            self._namespaces.append(name)
        for source in sources:
            definitions.run_block(name, source)

    def _facts(self) -> dict[str, Any]:
        return {"version": RELEASE, "python": platform.python_version(), "pid": os.getpid()}

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._logged(name, lambda: self._found(name), args, kwargs)

    def _eval(self, expression: str, variables: dict[str, Any]) -> Any:
        return self._logged("eval", lambda: eval, (expression, self._globals(), variables), {})

    def _execute(self, source: str, variables: dict[str, Any]) -> Any:
        return self._logged("execblock", lambda: self._run, (source, variables), {})

    def _run(self, source: str, variables: dict[str, Any]) -> Any:
        namespace = self._globals()
        namespace.update(variables)
        try:
            exec(compile(source, "<execblock>", "exec", dont_inherit=True), namespace)
        except definitions.BlockEnd as end:
            return end.args[0]
        return None

    def _get(self, name: str) -> Any:
        return self._logged(f"get {name}", lambda: self._found, (name,), {})

    def _set(self, name: str, value: Any) -> None:
        self._logged(f"set {name}", lambda: self._put, (name, value), {})

    def _put(self, name: str, value: Any) -> None:
        owner, dot, last = name.rpartition(".")
        if dot:
            setattr(self._found(owner), last, value)
        else:
            self._globals()[name] = value

    def _method(self, value: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        title = f"{type(value).__name__}.{name}"
        answer = self._logged(title, lambda: self._table(value).method(value, name), args, kwargs)
        if name in _MAKE_ITERATORS and answer is not value:
            # It is an iterator of what is here; a copy of it would hold a proxy and ask for each item.
            return Iteration(answer)
        return answer

    def _attribute(self, value: Any, name: str) -> Any:
        title = f"get {type(value).__name__}.{name}"
        return self._logged(title, lambda: self._table(value).get, (value, name), {})

    def _change(self, value: Any, name: str, new: Any) -> None:
        title = f"set {type(value).__name__}.{name}"
        self._logged(title, lambda: self._table(value).set, (value, name, new), {})

    def _stop(self, lane: int) -> None:
        self.connection.lanes.stop(lane)

    def _logged(
        self,
        title: str,
        find: Callable[[], Callable[..., Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        outcome = "ok"
        try:
            return find()(*args, **kwargs)
        except BaseException as exc:
            outcome = type(exc).__name__
            raise
        finally:
            self._log(title, outcome)

    # Names.

    def _globals(self) -> dict[str, Any]:
        return vars(definitions.module_of(self._namespaces[0] if self._namespaces else definitions.DEFAULT))

    def _found(self, name: str) -> Any:
        """What a name stands for: in the definitions, in builtins, or in a module that is imported."""
        first, *rest = name.split(".")
        value, known = self._global(first)
        if not known:
            if not rest:
                raise NameError(f"name {name!r} is not defined", name=name)
            value = importlib.import_module(first)
        path = first
        for part in rest:
            path = f"{path}.{part}"
            if isinstance(value, types.ModuleType) and not hasattr(value, part):
                self._import(path)
            value = getattr(value, part)
        return value

    def _global(self, name: str) -> tuple[Any, bool]:
        for namespace in self._namespaces or [definitions.DEFAULT]:
            held = vars(definitions.module_of(namespace))
            if name in held:
                return held[name], True
        if hasattr(builtins, name):
            return getattr(builtins, name), True
        return None, False

    def _import(self, name: str) -> None:
        # A submodule that nobody imported so far; if it is none, the attribute is missing.
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as exc:
            if exc.name != name:
                raise

    def _table(self, value: Any) -> Access:
        table = table_of(value)
        if table is None:
            raise AttributeError(f"a {kind_of(value)} is no server object")
        return table
