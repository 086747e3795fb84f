"""Servers of other kinds, and connections that need no address."""

from __future__ import annotations

import os
import threading

import pytest

from dispycos import rpc
from dispycos.errors import PeerLost
from dispycos.rpc.connection import Connection
from dispycos.rpc.server import Server
from tests.helpers import wait_until
from tests.io.rpc.servers import KEY, serving


class Meter(rpc.Service):
    """Counts how many calls are done at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.go = threading.Event()

    def exposed_pass(self, n: int) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.go.wait(30)
        with self.lock:
            self.now -= 1
        return n

    def exposed_call(self, function: object, n: int) -> int:
        return function(n)  # type: ignore[operator,no-any-return]


def connect(server: Server) -> Connection:
    return rpc.connect("localhost", server.port, key=KEY)


def test_a_pool_does_so_many_calls_at_once_and_all_in_the_end():
    meter = Meter()
    with serving(meter, rpc.ThreadPoolServer, nbThreads=2) as server:
        conns = [connect(server) for _ in range(4)]
        results = [rpc.async_(conn.root.__getattr__("pass"))(n) for n, conn in enumerate(conns)]
        wait_until(lambda: meter.now == 2)
        meter.go.set()
        assert [result.value for result in results] == [0, 1, 2, 3] and meter.most == 2
        # A callback that calls back has its slot already.
        down = lambda n: n if not n else conns[0].root.call(down, n - 1) + 1  # noqa: E731
        assert conns[0].root.call(down, 5) == 5
        for conn in conns:
            conn.close()
    with pytest.raises(ValueError, match="nbThreads must be at least 1"):
        rpc.ThreadPoolServer(Meter, port=0, key=KEY, nbThreads=0)


def test_a_oneshot_server_serves_one_and_ends():
    broken = [True]

    class Late(Meter):
        def __init__(self) -> None:
            if broken:
                raise LookupError(broken.pop())

        get_service_aliases = Meter.get_service_aliases

    server = rpc.OneShotServer(Late, port=0, key=KEY)
    thread = server.start_in_thread()
    with pytest.raises(ConnectionError):
        rpc.connect("localhost", server.port, key=b"x" * 32)  # which is none
    with pytest.raises(PeerLost, match="LookupError: True"):
        connect(server).root  # neither is one without a service
    with connect(server) as conn:
        assert conn.root.get_service_name() == "METER"
        with pytest.raises((OSError, EOFError)):
            connect(server).root
    thread.join(10)
    assert not thread.is_alive() and server.ended.is_set()


@pytest.mark.row("RP-30")
def test_a_oneshot_server_does_not_wait_for_ever_for_a_service_that_hangs(monkeypatch, caplog):
    monkeypatch.setattr("dispycos.rpc.servers._LAST_HOOK", 0.01)
    go = threading.Event()

    class Slow(rpc.Service):
        def on_disconnect(self) -> None:
            go.wait(20)

    server = rpc.OneShotServer(Slow, port=0, key=KEY)
    thread = server.start_in_thread()
    with connect(server) as conn:
        assert conn.root.get_service_name() == "SLOW"
    thread.join(10)
    assert not thread.is_alive() and not go.is_set()
    assert "has not returned in 0.01 s: the server at 127.0.0.1" in caplog.text
    go.set()


def test_a_connection_to_this_process_needs_no_key_and_no_address():
    conn = rpc.connect_thread(remote_service=Meter)
    assert conn.root.get_service_name() == "METER"
    conn.close()
    with rpc.classic.connect_thread() as classic:
        assert classic.modules.os.getpid() == os.getpid()


class Stock(rpc.Service):
    def __init__(self, article: str, *, count: int = 1) -> None:
        self.article = article
        self.count = count

    def exposed_told(self) -> str:
        return f"{self.count} {self.article}"


@pytest.mark.row("RP-16")
def test_a_service_is_made_with_arguments_for_each_connection():
    service = rpc.classpartial(Stock, "tea", count=3)
    assert service.get_service_name() == "STOCK" and issubclass(service, Stock)
    with rpc.connect_thread(remote_service=service) as conn:
        assert conn.root.told() == "3 tea"


@pytest.mark.row("RP-18", "RP-30")
def test_names_are_found_where_programs_for_rpyc_look_for_them():
    from dispycos.rpc.utils import classic, factory, helpers, registry, server

    for module in (classic, factory, helpers, registry, server):
        assert all(hasattr(module, name) for name in module.__all__)
        assert getattr(rpc.utils, module.__name__.rpartition(".")[2]) is module
    assert rpc.SlaveService is rpc.ClassicService and factory.connect is rpc.connect
    with rpc.classic.connect_thread() as conn:
        assert isinstance(conn.modules.os, rpc.BaseNetref) and not isinstance(os, rpc.BaseNetref)


@pytest.mark.row("RP-30")
def test_two_pipes_are_a_connection():
    near_in, far_out = os.pipe()
    far_in, near_out = os.pipe()
    other: list[Connection] = []
    thread = threading.Thread(
        target=lambda: other.append(rpc.connect_pipes(far_in, far_out, Meter, first=False, key=KEY))
    )
    thread.start()
    conn = rpc.connect_pipes(os.fdopen(near_in, "rb"), os.fdopen(near_out, "wb"), key=KEY)
    thread.join(10)
    assert conn.root.get_service_name() == "METER"
    conn.close()
    assert other[0].wait_closed(10)
    other[0].close()


def test_a_server_that_is_closed_by_its_own_service_ends():
    class Closing(rpc.Service):
        def exposed_end(self) -> None:
            server.stop()

    with serving(Closing) as server, connect(server) as conn:
        rpc.async_(conn.root.end)()
        assert server.ended.wait(10) and conn.wait_closed(10)
