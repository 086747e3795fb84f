"""Sockets of tasks: TCP, UDP, TLS, IPv6, messages, time-outs, closing."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos.errors import MessageTooLarge
from dispycos.kernel import readiness
from dispycos.kernel.sockets import AsyncSocket
from dispycos.kernel.task import Task
from tests.helpers import wait_until

Gen = Generator[Any, Any, Any]


@pytest.fixture
def pair() -> Iterator[tuple[AsyncSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    wrapped = AsyncSocket(ours)
    yield wrapped, theirs
    wrapped.close()
    theirs.close()


def listener(family: int = socket.AF_INET, **tls: Any) -> AsyncSocket:
    sock = AsyncSocket(socket.socket(family), **tls)
    sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    sock.listen(5)
    return sock


@pytest.mark.row("KE-22")
@pytest.mark.parametrize("kind", ["generator", "async"])
def test_a_task_sends_and_receives(
    run: Callable[..., Any], pair: tuple[AsyncSocket, socket.socket], kind: str
) -> None:
    ours, theirs = pair

    def target() -> Gen:
        sent = yield ours.send(b"hello")
        yield ours.sendall(b" world")
        first = yield ours.recv(3)
        rest = yield ours.recvall(4)
        return sent, first, rest

    async def target_async() -> Any:
        sent = await ours.send(b"hello")
        await ours.sendall(b" world")
        return sent, await ours.recv(3), await ours.recvall(4)

    task = Task(target if kind == "generator" else target_async)
    received = b""
    while len(received) < 11:
        received += theirs.recv(100)
    wait_until(lambda: task.state == "waiting")
    theirs.sendall(b"one")
    wait_until(lambda: task.state == "waiting" and not ours._sock.getblocking())
    theirs.sendall(b"two")
    theirs.sendall(b"3")
    assert task.value(10) == (5, b"one", b"two3")
    assert received == b"hello world"


@pytest.mark.row("KE-22")
def test_a_closed_peer_gives_no_bytes(
    run: Callable[..., Any], pair: tuple[AsyncSocket, socket.socket]
) -> None:
    ours, theirs = pair
    theirs.sendall(b"ab")
    theirs.close()

    def target() -> Gen:
        short = yield ours.recvall(5)
        return short, (yield ours.recv(5)), (yield ours.recv_msg())

    assert run(target) == (b"", b"", b"")


@pytest.mark.row("KE-22")
def test_waiting_longer_than_the_timeout_raises(
    run: Callable[..., Any], pair: tuple[AsyncSocket, socket.socket]
) -> None:
    ours, _ = pair
    ours.settimeout(0.05)
    assert ours.gettimeout() == 0.05

    def target() -> Gen:
        caught = []
        for call in (ours.recv(1), ours.recvall(1), ours.recv_msg(), ours.sendall(bytes(10_000_000))):
            try:
                yield call
            except TimeoutError:
                caught.append(1)
        return len(caught)

    assert run(target) == 4
    with pytest.raises(ValueError):
        ours.settimeout(-1)
    # Nobody waits for it any more.
    assert ours.fileno() not in readiness.shared()._selector.get_map()


@pytest.mark.row("KE-22")
def test_other_tasks_run_while_one_waits(
    run: Callable[..., Any], pair: tuple[AsyncSocket, socket.socket]
) -> None:
    ours, theirs = pair

    def reader() -> Gen:
        return (yield ours.recv(1))

    def other(task: Any = None) -> Gen:
        for _ in range(20):
            yield task.sleep(0.001)
        theirs.sendall(b"x")

    task = Task(reader)
    run(other)
    assert task.value(10) == b"x"


@pytest.mark.row("KE-22")
def test_close_wakes_who_waits_with_an_error(
    run: Callable[..., Any], pair: tuple[AsyncSocket, socket.socket]
) -> None:
    ours, _ = pair

    def reader() -> Gen:
        with pytest.raises(OSError, match="closed"):
            yield ours.recv(1)
        with pytest.raises(OSError):
            yield ours.recv(1)
        return "told"

    task = Task(reader)
    wait_until(lambda: task.state == "waiting")
    ours.close()
    ours.close()
    assert task.value(10) == "told"
    assert ours.fileno() == -1


@pytest.mark.row("R-98")
def test_a_descriptor_number_that_comes_back_is_another_socket(run: Callable[..., Any]) -> None:
    abandoned: list[Task] = []

    def target() -> Gen:
        numbers = set()
        for round_ in range(60):
            ours, theirs = socket.socketpair()
            wrapped = AsyncSocket(ours)
            reader = Task(read_one, wrapped)
            while reader.is_alive() and reader.state != "waiting":
                yield
            numbers.add(wrapped.fileno())
            if round_ % 3 == 0:
                theirs.send(b"x")
                assert (yield reader()) == b"x"
                wrapped.close()
            else:
                # Behind our back: nothing tells the selector.
                ours.close()
                if round_ % 3 == 1:
                    reader.terminate()
                    yield reader()
                else:
                    abandoned.append(reader)
            theirs.close()
        return len(numbers)

    def read_one(sock: AsyncSocket) -> Gen:
        return (yield sock.recv(1))

    assert run(target) < 10
    # Who waited for a descriptor that is another's now was woken, and found his closed.
    assert all(type(task._error) is OSError for task in abandoned[:-1])


@pytest.mark.row("KE-22")
def test_two_tasks_wait_for_one_socket(
    run: Callable[..., Any], pair: tuple[AsyncSocket, socket.socket]
) -> None:
    ours, theirs = pair
    data = bytes(3_000_000)

    def reader() -> Gen:
        return (yield ours.recvall(4))

    def writer() -> Gen:
        yield ours.sendall(data)

    reading, writing = Task(reader), Task(writer)
    wait_until(lambda: reading.state == writing.state == "waiting")
    left = len(data)
    while left:
        left -= len(theirs.recv(left))
    theirs.sendall(b"done")
    assert reading.value(10) == b"done"
    assert writing.value(10) is None


@pytest.mark.row("KE-22")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_server_and_many_clients(run: Callable[..., Any], family: int) -> None:
    if family == socket.AF_INET6:
        try:
            listener(family).close()
        except OSError as error:
            pytest.skip(f"ipv6: {error}")
    with listener(family) as server:
        address = server.getsockname()

        def serve(task: Any = None) -> Gen:
            task.set_daemon()
            while True:
                connection, _ = yield server.accept()
                Task(echo, connection)

        def echo(connection: AsyncSocket) -> Gen:
            with connection:
                while message := (yield connection.recv_msg()):
                    yield connection.send_msg(message)

        def client(number: int) -> Gen:
            with AsyncSocket(socket.socket(family)) as sock:
                yield sock.create_connection(address, timeout=10)
                for size in (1, 1000, 500_000):
                    yield sock.send_msg(bytes([number]) * size)
                    assert (yield sock.recv_msg()) == bytes([number]) * size
            return number

        serving = Task(serve)
        clients = [Task(client, number) for number in range(20)]
        assert [task.value(30) for task in clients] == list(range(20))
        serving.terminate()
        serving.value(10)


@pytest.mark.row("KE-22")
def test_a_refused_connection_and_a_name(run: Callable[..., Any]) -> None:
    with listener() as server:
        port = server.getsockname()[1]

        def target() -> Gen:
            with AsyncSocket(socket.socket()) as sock:
                yield sock.connect(("localhost", port))
                connection, _ = yield server.accept()
                connection.close()
                peer = sock.getpeername()[1]
            server.close()
            with AsyncSocket(socket.socket()) as sock, pytest.raises(ConnectionRefusedError):
                yield sock.connect(("127.0.0.1", port))
            return peer

        assert run(target) == port


@pytest.mark.row("KE-22")
def test_datagrams(run: Callable[..., Any]) -> None:
    def target() -> Gen:
        with AsyncSocket(socket.socket(type=socket.SOCK_DGRAM)) as one:
            with AsyncSocket(socket.socket(type=socket.SOCK_DGRAM)) as two:
                one.bind(("127.0.0.1", 0))
                two.bind(("127.0.0.1", 0))
                yield one.sendto(b"ping", two.getsockname())
                data, address = yield two.recvfrom(100)
                assert address == one.getsockname()
                yield two.sendto(data + b"!", address)
                return (yield one.recvfrom(100))[0]

    assert run(target) == b"ping!"


@pytest.mark.row("KE-22")
def test_a_message_over_the_limit_is_refused_without_allocation(
    run: Callable[..., Any], pair: tuple[AsyncSocket, socket.socket]
) -> None:
    ours, theirs = pair
    ours.max_message_bytes = 1000

    def target() -> Gen:
        with pytest.raises(MessageTooLarge):
            yield ours.send_msg(bytes(1001))
        yield ours.send_msg(bytes(1000))
        with pytest.raises(MessageTooLarge):
            yield ours.recv_msg()
        return True

    theirs.sendall(struct.pack(">I", 4_000_000_000))
    assert run(target)
    assert theirs.recv(4) == struct.pack(">I", 1000)


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key in one file."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=dispycos", "-keyout", key, "-out", cert],
            check=True, capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("openssl: the command is missing")
    both.write_text(cert.read_text() + key.read_text())
    return both


@pytest.mark.row("KE-22")
def test_tls_carries_messages(run: Callable[..., Any], certificate: Path) -> None:
    with listener(certfile=str(certificate)) as server:
        address = server.getsockname()

        def serve() -> Gen:
            connection, _ = yield server.accept()
            with connection:
                while message := (yield connection.recv_msg()):
                    yield connection.send_msg(message)

        def client() -> Gen:
            with AsyncSocket(socket.socket(), certfile=str(certificate)) as sock:
                sock.settimeout(10)
                yield sock.connect(address)
                assert isinstance(sock._sock, ssl.SSLSocket)
                data = bytes(range(256)) * 4000
                yield sock.send_msg(data)
                same = (yield sock.recv_msg()) == data
            return same, sock._sock.version

        serving = Task(serve)
        assert run(client)[0] is True
        serving.value(10)


@pytest.mark.row("KE-22")
def test_a_client_that_is_silent_does_not_keep_accept_from_others(
    run: Callable[..., Any], certificate: Path
) -> None:
    with listener(certfile=str(certificate)) as server:
        address = server.getsockname()
        silent = socket.create_connection(address)

        def serve() -> Gen:
            first, _ = yield server.accept()
            second, _ = yield server.accept()
            got = yield second.recv(10)
            first.close()
            second.close()
            return got

        def client() -> Gen:
            with AsyncSocket(socket.socket(), certfile=str(certificate)) as sock:
                yield sock.connect(address)
                yield sock.sendall(b"hello")

        serving = Task(serve)
        run(client)
        assert serving.value(10) == b"hello"
        silent.close()


@pytest.mark.row("KE-22")
def test_tls_with_a_plain_server_fails_at_connect(run: Callable[..., Any], certificate: Path) -> None:
    plain = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = plain.accept()
        connection.recv(10)
        connection.sendall(b"HTTP/1.0 400 no TLS here\r\n\r\n")
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()

    def client() -> Gen:
        with AsyncSocket(socket.socket(), certfile=str(certificate)) as sock:
            yield sock.connect(plain.getsockname())

    with pytest.raises(ssl.SSLError):
        run(client)
    thread.join(10)
    plain.close()


def test_readiness_survives_many_waits(run: Callable[..., Any]) -> None:
    ours, theirs = socket.socketpair()
    with AsyncSocket(ours) as sock:

        def reader() -> Gen:
            total = 0
            while total < 2000:
                total += len((yield sock.recv(10)))
            return total

        task = Task(reader)
        started = time.monotonic()
        for _ in range(200):
            theirs.send(b"0123456789")
        assert task.value(20) == 2000
        assert time.monotonic() - started < 20
    theirs.close()
