"""Connections at which nothing happens, and what becomes of many at once."""

from __future__ import annotations

import threading
import time

import pytest

from dispycos import rpc
from dispycos.errors import PeerLost
from dispycos.net.waiting import Waiting
from dispycos.rpc.connection import Connection
from tests.helpers import wait_until
from tests.io.rpc.servers import KEY, serving

MANY = 200


class Echo(rpc.Service):
    def exposed_echo(self, value: object) -> object:
        return value

    def exposed_call(self, function: object, value: object) -> object:
        return function(value)  # type: ignore[operator,no-any-return]

    def exposed_blob(self) -> bytes:
        return bytes(8_000_000)


def served() -> list[str]:
    """The threads of the server's ends."""
    return [thread.name for thread in threading.enumerate() if "a client at" in thread.name]


def connect(port: int) -> Connection:
    return rpc.connect("localhost", port, key=KEY)


@pytest.mark.row("RP-17")
@pytest.mark.parametrize("kind", [rpc.ThreadedServer, rpc.ThreadPoolServer])
def test_idle_connections_cost_no_thread(kind: type[rpc.ThreadedServer]) -> None:
    many = MANY if kind is rpc.ThreadedServer else 5
    with serving(Echo, kind) as server:
        conns = [connect(server.port) for _ in range(many)]
        assert [conn.root.echo(n) for n, conn in enumerate(conns)] == list(range(many))
        assert served()
        wait_until(lambda: not served(), 10)
        # What is asked of one that rests is done, callbacks and what follows too.
        assert conns[3].root.call(lambda value: value + 1, 1) == 2
        assert [conns[3].root.echo(n) for n in range(50)] == list(range(50))
        assert len(served()) <= 2
        results = [rpc.async_(conn.root.echo)(n) for n, conn in enumerate(conns)]
        assert [result.value for result in results] == list(range(many))
        wait_until(lambda: not served(), 10)
        # The end of a client is heard of, too.
        conns[0].close()
        wait_until(lambda: len(server.clients) == many - 1, 10)
        server.close()
        for conn in conns[1:]:
            assert conn.wait_closed(10)
        with pytest.raises(PeerLost):
            conns[1].root.echo(1)
        for conn in conns:
            conn.close()


def test_a_server_with_clients_that_do_not_listen_is_closed_in_time() -> None:
    end = threading.Event()
    with serving(Echo) as server:
        conns = [connect(server.port) for _ in range(8)]
        blobs = [conn.root.blob for conn in conns]
        threads = [threading.Thread(target=listen_no_more, args=(conn, end)) for conn in conns]
        for thread in threads:
            thread.start()
        wait_until(
            lambda: all(conn.link._readers.reader in {thread.ident for thread in threads} for conn in conns)
        )
        results = [rpc.async_(blob)() for blob in blobs]
        wait_until(lambda: all(conn.link._writer._unwritten for conn in server.clients))
        began = time.monotonic()
        server.close()
        # One after the other they would take a second each.
        assert time.monotonic() - began < len(conns)
        end.set()
        for thread, conn, result in zip(threads, conns, results, strict=True):
            thread.join(10)
            with pytest.raises(PeerLost):
                result.value
            conn.close()


def listen_no_more(conn: Connection, end: threading.Event) -> None:
    """Have the right to read, and read nothing: as a program that was stopped."""

    def ready() -> bool:
        return conn.link._readers.reader == threading.get_ident() and end.wait(30)

    conn.link.wait(Waiting(), ready, None)
