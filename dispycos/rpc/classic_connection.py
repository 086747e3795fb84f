"""Connections in classic mode: the other end is ours to use."""

from __future__ import annotations

from typing import Any

from dispycos.objects import failure
from dispycos.objects.proxy import Proxy
from dispycos.rpc.connection import Connection
from dispycos.rpc.copies import packed, unpacked


class Modules:
    """The modules that can be imported at the other end: `.os`, or `["a.b"]`."""

    def __init__(self, conn: ClassicConnection) -> None:
        self._conn = conn
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        found = self._known.get(name)
        if found is None or self._conn.closed:
            found = self._known[name] = self._conn.root.getmodule(name)
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"there is no module {name!r}")
        return self[name]

    def __contains__(self, name: object) -> bool:
        # Whether it can be imported there, which it is then.
        try:
            return isinstance(name, str) and self[name] is not None
        except ImportError:
            return False

    def __repr__(self) -> str:
        return f"<modules at {self._conn.name}>"


class ClassicConnection(Connection):
    """Has the other end's modules and names, and runs code there."""

    _modules: Modules | None = None
    _namespace: Any = None

    def perform(
        self, what: int, target: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, bool]:
        """As ever, with the standard streams of this connection."""
        with self.service.streams.applied():
            try:
                return super().perform(what, target, name, args, kwargs)
            except Exception as exc:
                if target is not self.service or name != "post_mortem":
                    self._keep_trace(exc)
                raise

    def _keep_trace(self, error: Exception) -> None:
        # An iterator that ends did not fail, and of code that is not Python's there is nothing to see.
        trace = None if isinstance(error, StopIteration) else failure.trace_of(error)
        self.service.trace = trace or self.service.trace

    @property
    def modules(self) -> Modules:
        """The modules there, each a live proxy: `conn.modules.os.getcwd()`."""
        if self._modules is None:
            self._modules = Modules(self)
        return self._modules

    @property
    def builtins(self) -> Any:
        """Python's own names there."""
        return self.modules["builtins"]

    builtin = builtins

    @property
    def namespace(self) -> Any:
        """The global variables of `execute` and `eval`: read, set and delete them by name."""
        if self._namespace is None or self.closed:
            self._namespace = self.root.namespace
        return self._namespace

    def execute(self, source: str) -> None:
        """Run statements there."""
        self.root.execute(source)

    def eval(self, source: str) -> Any:
        """The value of an expression there: built-in data by value, all else as live proxies."""
        return self.root.eval(source)

    def teleport(self, function: Any, names: Any = None) -> Any:
        """A local function, closures too, as one that runs there.

        names  a dict there that has its global variables; None: what it needs of its own goes along,
               and what is not here is looked up in `namespace`, each time.
        """
        return self.root.teleport(*packed(function, f"{type(function).__name__} to teleport"), names)

    def deliver(self, value: Any) -> Any:
        """A copy of any object there; the proxy of it. NotSerializable says what can't be sent."""
        return self.root.load(*packed(value, f"{type(value).__name__} to deliver"))

    def obtain(self, proxy: Any) -> Any:
        """A copy of an object that is there. NotSerializable says what can't be sent."""
        return unpacked(*self.root.dump(proxy))


def connection_of(proxy: Any) -> ClassicConnection | None:
    """The connection that an object is used through; None if it is here."""
    if not isinstance(proxy, Proxy):
        return None
    conn: Any = proxy._connection
    if not isinstance(conn, ClassicConnection):
        raise TypeError(
            f"{proxy!r} is used through a service, which gives no copies; ask the service for one"
        )
    return conn
