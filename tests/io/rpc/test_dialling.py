"""Dialling what is no server: the error says whom we dialled."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from dispycos import rpc
from dispycos.easycluster import Client
from dispycos.errors import DispycosError, PeerLost, RemoteProtocolError, Timeout
from dispycos.net.proof import dialled
from tests.helpers import wait_until
from tests.io.rpc.servers import KEY, serving

Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def behaving(behaviour: Behaviour) -> Iterator[int]:
    """The port of a listener that treats each connection so."""

    def serve() -> None:
        with contextlib.ExitStack() as kept, contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                behaviour(kept.enter_context(sock))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def resets(sock: socket.socket) -> None:
    sock.recv(1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def speaks_http(sock: socket.socket) -> None:
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.row("RP-01", "EC-08")
@pytest.mark.parametrize(
    ("behaviour", "error", "told"),
    [
        (socket.socket.close, PeerLost, " ended the connection before the key was proved"),
        (resets, PeerLost, " ended the connection before the key was proved"),
        (speaks_http, RemoteProtocolError, ": the peer does not speak"),
    ],
)
def test_what_is_no_server_is_named(behaviour: Behaviour, error: type[DispycosError], told: str) -> None:
    with behaving(behaviour) as port:
        for dial in (
            lambda: rpc.connect("localhost", port, key=KEY),
            lambda: Client(KEY, "localhost", port),
        ):
            with pytest.raises(error, match=f"^localhost:{port}{told}"):
                dial()


@pytest.mark.row("RP-01")
def test_who_says_nothing_is_named() -> None:
    with behaving(lambda sock: None) as port:
        with pytest.raises(Timeout, match=f"^localhost:{port}: the other end did not prove the key in 0.1 s"):
            rpc.connect("localhost", port, key=KEY, timeout=0.1)
        with pytest.raises(TimeoutError, match=f"^localhost:{port}: no TLS in 0.1 s"):
            rpc.ssl_connect("localhost", port, key=KEY, timeout=0.1)


@pytest.mark.row("RP-01", "EC-08")
@pytest.mark.parametrize("kind", [TimeoutError, ConnectionAbortedError, OSError])
def test_what_the_system_says_of_a_broken_dialling_is_named(kind: type[OSError]) -> None:
    with pytest.raises(kind, match=r"n1:9: it broke$"), dialled("n1:9"):
        raise kind(errno.EHOSTUNREACH, "it broke")


@pytest.mark.row("RP-01")
@pytest.mark.parametrize("error", [PeerLost("another server is gone"), ConnectionResetError("by another")])
def test_what_a_service_raises_as_a_connection_begins_is_its_own(error: Exception) -> None:
    class Raises(rpc.Service):
        def on_connect(self, conn: rpc.Connection) -> None:
            raise error

    with serving(rpc.VoidService) as server, pytest.raises(type(error), match=f"^{error}$"):
        rpc.connect("localhost", server.port, Raises, key=KEY)


@pytest.mark.row("RP-01")
@pytest.mark.parametrize("error", [ValueError("not today"), KeyboardInterrupt()])
def test_a_connection_that_does_not_begin_at_this_end_is_closed_at_both(error: BaseException) -> None:
    ours: list[rpc.Connection] = []
    theirs: list[rpc.Connection] = []

    class Serves(rpc.Service):
        def on_connect(self, conn: rpc.Connection) -> None:
            theirs.append(conn)

    class Raises(rpc.Service):
        def on_connect(self, conn: rpc.Connection) -> None:
            ours.append(conn)
            wait_until(lambda: theirs)  # or it would be gone before its server hears of it
            raise error

    with serving(Serves) as server:
        with pytest.raises(type(error)):
            rpc.connect("localhost", server.port, Raises, key=KEY)
        # By its own thread, which reads no descriptor that is somebody else's by now.
        assert ours[0].closed and ours[0].wait_closed(10)
        assert theirs[0].wait_closed(10)
        with pytest.raises(PeerLost, match=f"its service could not begin: .*{type(error).__name__}"):
            theirs[0].ping()
