"""Listening: where a server waits for connections, and who is let in.

Nothing is read of a connection but its proof of the key, in a thread that ends with it: there
are few of them at a time, and none takes longer than the handshake may (SE-15).
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import select
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable

from dispycos.arguments import port as port_number
from dispycos.arguments import text
from dispycos.config import Limits
from dispycos.errors import AuthenticationError, DispycosError, Timeout
from dispycos.net import addresses
from dispycos.net.doorkeeper import Doorkeeper, Repeats, others
from dispycos.net.keys import Keyring
from dispycos.net.listening import listening_at
from dispycos.net.proof import Meeting, prove
from dispycos.net.stream import Stream
from dispycos.rpc.vdb import Vdb, admit
from dispycos.usage import Described

log = logging.getLogger("dispycos")

_LOCAL = "127.0.0.1"  # whom a unix socket's connections come from, to the doorkeeper


def is_loopback(address: str) -> bool:
    """Whether nobody but this machine is at an address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def listen(hostname: str, port: int, *, ipv6: bool, backlog: int) -> socket.socket:
    """A TCP listener. OSError says what is wrong with the address."""
    text("hostname", hostname)
    port_number("port", port)
    return listening_at(hostname, port, backlog, socket.AF_INET6 if ipv6 else socket.AF_UNSPEC)


def check_host(parser: Described, host: str | None) -> None:
    """End with wrong usage if nobody could listen at what `--host` says."""
    if host is not None:
        with parser.value_of("host", "it takes an address or a host name of this machine"):
            addresses.bind_addresses([host])


def listen_unix(path: str, backlog: int) -> socket.socket:
    """A listener at a unix socket that only this account may use; one that nobody serves is replaced."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        if _is_dead_socket(path):
            os.unlink(path)
        sock.bind(path)
        os.chmod(path, 0o600)
        sock.listen(backlog)
    except OSError as exc:
        sock.close()
        raise OSError(exc.errno, f"can't listen at {path}: {exc.strerror}") from None
    return sock


def _is_dead_socket(path: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as probe:
                return probe.connect_ex(path) != 0
    return False


class Door:
    """Accepts connections at a listener until it is closed.

    admit  called with each connection and the address that it comes from, in the thread of `run`.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        listener.setblocking(False)
        self._wake, self._woken = os.pipe()
        self._poll = select.poll()
        self._lock = threading.Lock()
        self._closed = False
        self._running = False

    def run(self, admit: Callable[[socket.socket, str], None], done: Callable[[], bool]) -> None:
        """Accept until `close`, or until `done()` after a connection."""
        if not self._begin():
            return
        poll = self._poll
        poll.register(self.listener, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        try:
            while not (self._is_closed() or done()):
                found = {descriptor for descriptor, _ in poll.poll()}
                if self._wake in found:
                    os.read(self._wake, 64)
                elif found == {self.listener.fileno()}:
                    self._accept(admit)
        finally:
            self._end()

    def _begin(self) -> bool:
        with self._lock:
            self._running = not self._closed
            return self._running

    def _end(self) -> None:
        with self._lock:
            self._running = False
            if self._closed:
                self._release()

    def _is_closed(self) -> bool:
        return self._closed

    def _accept(self, admit: Callable[[socket.socket, str], None]) -> None:
        try:
            sock, address = self.listener.accept()
        except BlockingIOError:
            return  # it gave up meanwhile
        except OSError as exc:
            if self._is_closed():
                return
            log.warning("no connection could be accepted: %s", exc.strerror)
            time.sleep(0.1)  # there are no descriptors left; they come back
            return
        admit(sock, address[0] if isinstance(address, tuple) else _LOCAL)

    def watch(self, descriptor: int) -> None:
        """Have `run` look whenever this one is readable or at its end."""
        self._poll.register(descriptor, select.POLLIN)

    def forget(self, descriptor: int) -> None:
        """No more."""
        self._poll.unregister(descriptor)

    def look(self) -> None:
        """Have `run` look again whether it is done."""
        # No lock: a signal handler may call it, in whatever moment.
        with contextlib.suppress(OSError):
            os.write(self._woken, b"\0")

    def close(self) -> None:
        """Accept no more. May be repeated."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with contextlib.suppress(OSError):
                # Whoever comes now is refused, not left to wait for what will not be.
                self.listener.shutdown(socket.SHUT_RDWR)
            if self._running:
                os.write(self._woken, b"\0")
            else:
                self._release()

    def _release(self) -> None:
        self.listener.close()
        os.close(self._wake)
        woken, self._woken = self._woken, -1
        os.close(woken)


class Reception:
    """Lets in who proves the key.

    tls  how TLS is spoken before that; None: not at all.
    vdb  users who log in, and prove the key that they are given for it; None: the keyring's is proved.
    """

    def __init__(self, keyring: Keyring, tls: ssl.SSLContext | None, vdb: Vdb | None) -> None:
        self._vdb = vdb
        self._keyring = keyring
        self._tls = tls
        self._limits = Limits()
        self._lock = threading.Lock()
        self._doorkeeper = Doorkeeper(self._limits)
        self._repeats = Repeats(self._limits)

    def admit(self, source: str) -> bool:
        """May it knock? Every True needs one `receive` or `leave`."""
        with self._lock:
            return self._doorkeeper.admit(source, time.monotonic())

    def leave(self, source: str) -> None:
        """It was admitted, and its proof is over: what became of it was seen elsewhere."""
        with self._lock:
            self._doorkeeper.leave(source)

    def fail(self, source: str) -> None:
        """It failed elsewhere, which logged it."""
        with self._lock:
            self._doorkeeper.fail(source, "elsewhere", time.monotonic())

    def receive(self, sock: socket.socket, source: str) -> tuple[Stream, Meeting] | None:
        """The proofs, TLS before them if there is any; None if it failed, which is logged.

        The socket is ours from now on.
        """
        code = ""
        end: Callable[[], object] = sock.close
        limit = self._limits.handshake_timeout
        try:
            if self._tls is None:
                stream = Stream.of_socket(sock)
            else:
                # Loaded only where it is wanted.
                from dispycos.rpc.encryption import encrypted

                stream = encrypted(sock, self._tls, limit)
            end = stream.close
            keyring = self._keyring if self._vdb is None else admit(stream, self._vdb, limit)
            return stream, prove(stream, keyring, self._limits, dialer=False, timeout=limit)
        except AuthenticationError as exc:
            code, why = "key", str(exc)
        except Timeout as exc:
            code, why = "timeout", str(exc)
        except (DispycosError, OSError, ValueError) as exc:  # the last is of a file of users
            code, why = "broken", str(exc) or type(exc).__name__
        except BaseException:
            end()
            raise
        finally:
            with self._lock:
                self._doorkeeper.leave(source)
                left_out = None
                if code:
                    self._doorkeeper.fail(source, code, time.monotonic())
                    left_out = self._repeats.due(source, time.monotonic())
        end()
        if left_out is not None:
            log.warning("refused a connection from %s: %s%s", source, why, others(left_out))
        return None
