"""Clients: a master's connection to one server. Rows EC-08 to EC-28, EC-34 to EC-39, EC-42."""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Sequence
from typing import Any, Self

from dispycos import arguments
from dispycos.easycluster import definitions as common
from dispycos.easycluster import options as call_options
from dispycos.easycluster.arrivals import Arrivals, Listener
from dispycos.easycluster.failures import RemoteException
from dispycos.easycluster.line import Line
from dispycos.easycluster.names import RemoteName
from dispycos.easycluster.options import Options
from dispycos.easycluster.response import Response
from dispycos.easycluster.specs import parse_connection_spec
from dispycos.easycluster.ways import PORT, Ssh, Tcp, Way
from dispycos.errors import Timeout
from dispycos.launch.ssh import PYTHON
from dispycos.launch.target import Target


class Client:
    """A connection to a process of its own at a server; it is there when this returns.

    key          of the server; None: the account's own.
    port         of the server (11999), or of the machine's sshd.
    ssh          start a Python there by the ssh program, whose own authentication takes the place
                 of the key; `user`, `rpython` (the Python there) and `extra_args` of ssh go with it.
    definitions  the module of `define_common`, or several, whose names this client uses.
    compress     what travels is compressed.
    way          another way to a server than host and port.

    An attribute is whatever stands under that name at the server: `rmt.addvals(3, 4)`,
    `rmt.os.getpid()`, `rmt.limit.value = 5`. Every call takes the options nonblocking,
    oncomplete, onerror, threadid and origexc beside its arguments.
    OSError if there is no connection; AuthenticationError if the key is another one; TypeError and
    ValueError name the argument.
    """

    def __init__(
        self,
        key: bytes | None,
        host: str = "localhost",
        port: int | None = None,
        *,
        ssh: bool = False,
        user: str | None = None,
        rpython: str | None = None,
        extra_args: Sequence[str] = (),
        definitions: str | Sequence[str] = common.DEFAULT,
        compress: bool = False,
        way: Way | None = None,
    ) -> None:
        if isinstance(definitions, str):
            definitions = (definitions,)
        self._modules = arguments.texts("definitions", definitions)
        self._compress = arguments.flag("compress", compress)
        arguments.text("host", host)
        if port is not None:
            arguments.port("port", port, least=1)
        extra_args = arguments.texts("extra_args", extra_args)
        if way is None and ssh:
            # Its authentication is in the place of the key.
            way = Ssh(Target(host, user or "", port), rpython or PYTHON, extra_args)
        elif way is None and (user or rpython or extra_args):
            raise ValueError("user, rpython and extra_args are for ssh: give ssh=True as well")
        self._way = way or Tcp(key, host, PORT if port is None else port)
        self._arrivals = Arrivals()
        self._default_thread: Any = None
        self._line: Line = self._connect()

    @classmethod
    def from_spec(cls, spec: str, default_key: bytes | None = None, **more: Any) -> Self:
        """A client for `[user@]host[:port][:option=value]..`; see `parse_connection_spec`."""
        return cls(**{**parse_connection_spec(spec, default_key), **more})

    def _connect(self) -> Line:
        line = Line(self._way.reach(), compress=self._compress, client=weakref.ref(self))
        try:
            line.define(self._modules)
        except BaseException as exc:
            line.close()
            if isinstance(exc, RemoteException):
                raise exc.orig from None
            raise
        return line

    # Calling.

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call what stands under a name at the server, dotted or not."""
        options = call_options.taken(kwargs)
        return self._ask("call", (name, args, kwargs), options)

    def eval(self, expression: str, **variables: Any) -> Any:
        """The value of an expression, among the definitions and these variables."""
        options = call_options.taken(variables)
        return self._ask("eval", (expression, variables), options)

    def execblock(self, source: str, **variables: Any) -> Any:
        """Run statements among the definitions, where their names stay; these variables are set first.

        `exec_return(value)` ends the block and gives the value; else it is None.
        """
        options = call_options.taken(variables)
        return self._ask("execute", (source, variables), options)

    def __getattr__(self, name: str) -> RemoteName:
        if name.startswith("_"):
            # Use `call` for such a name at the server.
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return RemoteName(self, name)

    def ask_value(self, name: str) -> Any:
        """For names: `rmt.x.value`."""
        return self._ask("get", (name,), call_options.NONE)

    def ask_to_set(self, name: str, value: Any) -> None:
        """For names: `rmt.x.value = 1`."""
        self._ask("set", (name, value), call_options.NONE)

    def ask_method(self, proxy: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """For proxies: call a method."""
        options = call_options.taken(kwargs)
        return self._ask("method", (proxy, name, args, kwargs), options)

    def ask_attribute(self, proxy: Any, name: str) -> Any:
        """For proxies: an attribute."""
        return self._ask("attribute", (proxy, name), call_options.NONE)

    def ask_change(self, proxy: Any, name: str, value: Any) -> None:
        """For proxies: change an attribute."""
        self._ask("change", (proxy, name, value), call_options.NONE)

    def _ask(self, what: str, args: tuple[Any, ...], options: Options) -> Any:
        line = self._line
        response = line.begin(what, args, options, self._lane(line, options), self)
        if not options.returns_at_once:
            try:
                return response.wait()
            except KeyboardInterrupt:
                line.connection.cancel(response.call)  # nobody waits for it any more: it is stopped
                raise
        self._expect(response)
        return response

    def _lane(self, line: Line, options: Options) -> int:
        return line.lane_of(self._default_thread if options.threadid is None else options.threadid)

    # Responses.

    def _expect(self, response: Response) -> None:
        self._arrivals.expect(response)

    def await_response(self, response: Response, timeout: float | None) -> None:
        """For responses: wait for one, and meanwhile handle the others that come."""
        arrivals = self._arrivals
        if not arrivals.busy:
            response.call.exception(timeout)  # this thread reads
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        response.call.add_done_callback(lambda _: arrivals.stir())
        while True:
            self._handle_all()
            if response.have_response:
                return
            if not arrivals.wait(lambda: response.have_response or arrivals.any(), deadline):
                raise Timeout(f"no answer in {timeout:g} s")

    def _handle_all(self) -> None:
        while (other := self._arrivals.take()) is not None:
            other.handle()

    def read_response(self, timeout: float | None = None) -> Response | None:
        """The next response that comes, handled; None if none is under way, or none came in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        arrivals = self._arrivals
        while not arrivals.idle:
            response = arrivals.take()
            if response is not None:
                response.handle()
                return response
            if not arrivals.wait(lambda: arrivals.any() or arrivals.idle, deadline):
                return None
        return None

    def listen(self, listener: Listener) -> None:
        """For groups: have `listener()()` called by any thread whenever a response came."""
        self._arrivals.listen(listener)

    @property
    def idle(self) -> bool:
        """Whether no response is under way, and none that came waits to be read."""
        return self._arrivals.idle

    @property
    def readable(self) -> bool:
        """Whether `read_response` would not wait."""
        return self._arrivals.any()

    def report_exception(self, exc: RemoteException) -> None:
        """Called before an exception of the server is raised here; prints the server's traceback."""
        print(f"{exc.text.rstrip()}\n(at {self._line.name})", file=sys.stderr)

    # Definitions and threads.

    def update_definitions(self) -> None:
        """Send what `define_common` defined since the connection was made."""
        try:
            self._line.define(self._modules)
        except RemoteException as exc:
            self.report_exception(exc)
            raise exc.orig from None

    def set_default_thread(self, threadid: Any) -> None:
        """Calls without `threadid` are done in this thread of the server from now on; None: the first."""
        self._default_thread = threadid

    def stop_remote_thread(self, threadid: Any) -> None:
        """End a thread of the server once it has done what it was asked; ValueError if there is none."""
        self._line.stop_lane(threadid)

    # The connection.

    @property
    def connected(self) -> bool:
        """Whether the server can be asked, as far as is known."""
        return not self._line.closed

    @property
    def peername(self) -> tuple[str, int] | None:
        """Address and port of the server; None if no network is between."""
        return self._line.peername

    @property
    def remote_host(self) -> str | None:
        """The server's address."""
        return self._line.peername[0] if self._line.peername else None

    @property
    def remote_port(self) -> int | None:
        """The server's port."""
        return self._line.peername[1] if self._line.peername else None

    @property
    def server_version(self) -> str:
        """The version of dispycos at the server."""
        return str(self._line.ask("facts")["version"])

    def fileno(self) -> int:
        """The descriptor that is read; OSError if the connection is closed."""
        return self._line.fileno()

    def reconnect(self) -> None:
        """Close the connection and make another, to a new process; proxies of the old one fail."""
        self._line.close()
        self._line = self._connect()

    def close(self) -> None:
        """Close the connection; calls that wait fail. May be repeated."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        line = self.__dict__.get("_line")
        # At the interpreter's end nothing may be waited for: the system closes what is open.
        if line is not None and not line.closed and not sys.is_finalizing():
            line.abandon()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._line.name}{'' if self.connected else ', closed'}>"
