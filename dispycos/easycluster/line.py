"""Lines: one open connection of a client to its server.

A client that reconnects gets another line; the proxies of the former one stay its own, and fail.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from dispycos import forks
from dispycos.easycluster import definitions, failures, finding, proxies, response
from dispycos.easycluster.failures import ConnectionClosed, RemoteException
from dispycos.easycluster.options import SINGLE, Options
from dispycos.easycluster.proxies import RemoteProxy, made_of
from dispycos.easycluster.response import Response
from dispycos.easycluster.ways import Reached
from dispycos.errors import Closed, LoadError, PeerLost
from dispycos.objects import proxy
from dispycos.objects.access import OPAQUE, Access, Shape
from dispycos.objects.connection import Connection
from dispycos.objects.exports import ROOT
from dispycos.objects.pending_call import PendingCall
from dispycos.objects.proxy import Proxy
from dispycos.objects.requests import METHOD
from dispycos.objects.terms import Terms
from dispycos.objects.wire import FRESH

_DEFAULT_LANE: Final = 0
_PARTING: Final = 5.0  # seconds for what came to be taken by those who wait for it


class Line:
    """One connection.

    compress  questions and answers travel compressed.
    client    answers the client that it is of, or None if that is gone.
    """

    def __init__(self, reached: Reached, *, compress: bool, client: Callable[[], Any]) -> None:
        self.name = reached.name
        self.peername = reached.peername
        self._descriptor = reached.stream.reader
        self._ended = reached.ended
        self._compress = compress
        self._client = client
        self._renew()
        _here.add(self)
        self._lanes: dict[Any, int] = {}  # threadid -> the lane there
        self._numbers = itertools.count(_DEFAULT_LANE + 1)
        self._sent: dict[str, int] = {}  # module of definitions -> blocks that the server has
        terms = Terms(
            access=self._access,
            by_value=lambda value: True,
            find_class=finding.find,
            find_error=finding.find_error,
            proxy_class=self._proxies,
        )
        # Threads here that ended, by threadid; None when this line did.
        self.left: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.connection = Connection(
            reached.stream,
            reached.meeting,
            name=reached.name,
            root=None,
            terms=terms,
            first=True,
            lost=lambda reason: self.left.put(None),
        )

    def _renew(self) -> None:
        self._lock = threading.Lock()  # of the lanes
        self._defining = threading.Lock()

    @property
    def closed(self) -> bool:
        """Whether nothing more can be asked."""
        return self.connection.closed

    def fileno(self) -> int:
        """The descriptor that is read."""
        if self.closed:
            raise ConnectionClosed(f"the connection with {self.name} is closed")
        return self._descriptor

    # Asking.

    def begin(
        self, what: str, args: tuple[Any, ...], options: Options, lane: int, client: response.Host
    ) -> Response:
        """Ask the server. What can't be pickled is a TypeError; OSError if the server is gone."""
        return Response(self._begin((what, *args), lane), options, self, client)

    def ask(self, what: str, *args: Any) -> Any:
        """Ask in a thread of its own there, and wait."""
        try:
            return self.read(self._begin((what, *args), FRESH).result())
        except RemoteException:
            raise
        except Exception as exc:
            raise self.settle(exc) from None

    def begin_short(self, what: str, *args: Any) -> PendingCall:
        """Ask something short, in a thread of its own there, even while too much is on its way."""
        return self._begin((what, *args), FRESH, post=True)

    def _begin(self, request: tuple[Any, ...], lane: int, *, post: bool = False) -> PendingCall:
        connection = self.connection
        name, args = "do", request
        if self._compress:
            name, args = "do_packed", (zlib.compress(connection.pack(request), 1),)
        try:
            return connection.begin(METHOD, ROOT, name, args, {}, lane=lane, post=post)
        except Closed as exc:
            raise ConnectionClosed(str(exc)) from None

    def read(self, answer: Any) -> Any:
        """The value of an answer, or raises RemoteException."""
        connection = self.connection
        done, value = connection.unpack(zlib.decompress(answer)) if self._compress else answer
        if done:
            return value
        raise failures.rebuild(value, connection.unpack, finding.find_error, self.name)

    def settle(self, error: BaseException) -> BaseException:
        """What is said here of what the connection reports of a call."""
        if isinstance(error, Closed):
            return ConnectionClosed(str(error))
        if isinstance(error, RemoteException | PeerLost):
            return error
        return failures.found(error)

    def lane_of(self, threadid: Any) -> int:
        """The lane for a `threadid`; None: the default one."""
        if threadid is None:
            return _DEFAULT_LANE
        if threadid is SINGLE:
            return FRESH
        with self._lock:
            lane = self._lanes.get(threadid)
            if lane is None:
                lane = self._lanes[threadid] = next(self._numbers)
            return lane

    def stop_lane(self, threadid: Any) -> None:
        """End a thread of the server when it has done what it was asked. ValueError if there is none."""
        with self._lock:
            lane = self._lanes.pop(threadid, None)
        if lane is None:
            raise ValueError(f"no thread {threadid!r} was asked for anything at {self.name}")
        self.ask("stop", lane)

    def drop_lane(self, threadid: Any) -> None:
        """The same, without waiting; nothing if there is none, or the server is gone."""
        with self._lock:
            lane = self._lanes.pop(threadid, None)
        if lane is not None:
            with contextlib.suppress(OSError):
                self.begin_short("stop", lane)

    def define(self, names: Sequence[str]) -> None:
        """Have the server take the definitions that it lacks. What it raises is raised."""
        with self._defining:
            for name in names:
                sources = definitions.blocks(name, self._sent.get(name, 0))
                if sources or name not in self._sent:
                    answer = self.ask("define", name, sources)
                    assert answer is None
                    self._sent[name] = self._sent.get(name, 0) + len(sources)

    # What travels.

    def _access(self, value: Any) -> Access:
        # Everything goes by value, so this is a proxy, of another connection.
        if isinstance(value, Proxy):
            if value._connection.closed:
                raise ConnectionClosed(f"{value!r} belongs to a connection that is closed")
            raise TypeError(f"{value!r} can't be sent to {self.name}: it belongs to its own connection")
        return OPAQUE

    def _proxies(self, shape: Shape) -> Callable[[proxy.Host, int, Shape], Proxy]:
        client: proxies.Host | None = self._client()
        if client is None:
            raise LoadError("the client is gone")
        kind: Any = finding.find(*shape.more[2]) if shape.more[2] else made_of(shape)
        if not (isinstance(kind, type) and issubclass(kind, RemoteProxy)):
            raise LoadError(f"{kind!r} is no class of proxies")
        made = kind
        return lambda connection, number, shape: made(connection, number, shape, client)

    # Ending.

    def close(self) -> None:
        """Close it; whatever waits fails. What was started for it has ended then."""
        self.connection.close()
        # What answers call here may never return: then the process ends behind our back.
        self.connection.link.join(_PARTING)
        self._ended()

    def fail(self, reason: str) -> None:
        """The server is taken for lost."""
        self.connection.link.close(reason)

    def abandon(self) -> None:
        """Close it without waiting: nobody has the client any more."""
        # A finalizer comes at any moment, also to a thread that holds the link's locks: the
        # other one takes them.
        threading.Thread(target=self.close, name="dispycos end of a connection", daemon=True).start()


_here = forks.each_in_child(Line._renew)
