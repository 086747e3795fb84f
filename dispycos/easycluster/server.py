"""Servers: a small listener, and a process of its own for each master that connects.

The listener has one thread and does nothing but accept and fork, so every process starts from
the same clean memory, whatever others did. A process proves its master's key before it reads
anything else, in limited time and number. None outlives the listener. Rows EC-04, EC-05, EC-07,
EC-14; GN-01, GN-02, GN-06.
"""

from __future__ import annotations

import atexit
import contextlib
import ipaddress
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from dispycos import forks
from dispycos.config import Limits
from dispycos.easycluster import far
from dispycos.easycluster.local import spawn_local
from dispycos.easycluster.ways import PORT
from dispycos.errors import AuthenticationError, DispycosError
from dispycos.keyfile import KeySource
from dispycos.launch.fate import ended
from dispycos.net.addresses import LOOPBACK
from dispycos.net.doorkeeper import Doorkeeper, Repeats, others
from dispycos.net.keys import InvalidKey
from dispycos.net.listening import listening_at
from dispycos.net.proof import prove
from dispycos.net.stream import Stream

__all__ = ["QuietServer", "Server", "spawn_local"]

log = logging.getLogger("dispycos")

_PROVED: Final = b"+"
_WRONG: Final = b"-"
_BACKLOG: Final = 128
_MOST_WAITING: Final = 64  # connections that wait until they may begin to prove the key
_END_TIME: Final = 2.0  # seconds for a process to end when the listener does; then it is killed


@dataclass(slots=True)
class Process:
    """The process of one connection."""

    pid: int
    source: str  # the master's address
    news: int  # a pipe: tells what became of the proof; closed when the process ends
    unproved: bool = True


class Server:
    """Listens at one address until `close`.

    keys   where the key is; a changed file counts from the next connection on.
    allow  the networks from which masters may come; none: all.
    Raises OSError if it can't listen, InvalidKey or OSError for the key.
    """

    def __init__(
        self,
        keys: KeySource,
        host: str = LOOPBACK,
        port: int = PORT,
        *,
        allow: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = (),
    ) -> None:
        self._keys = keys
        self._keyring = keys.load()
        self._allow = tuple(allow)
        self._limits = Limits()
        self._doorkeeper = Doorkeeper(self._limits)
        self._repeats = Repeats(self._limits)
        self._waiting: list[
            tuple[socket.socket, str, str]
        ] = []  # connections without a process, source, peer
        self._processes: dict[int, Process] = {}  # by the descriptor of its news
        self._socket = listening_at(host, port, _BACKLOG)
        self._socket.setblocking(False)
        self._stop, self._stopped = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._poll.register(self._stop, select.POLLIN)

    @property
    def address(self) -> str:
        """Where it listens, as it is told."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def log_call(self, peer: str, name: str, outcome: str) -> None:
        """Called in a connection's process after each call; logs it."""
        log.info("%s called %s: %s", peer, name, outcome)

    def run(self) -> None:
        """Serve until `close`, and end all processes of connections."""
        try:
            while True:
                for descriptor, _ in self._poll.poll():
                    if descriptor == self._stop:
                        return
                    if descriptor == self._socket.fileno():
                        self._accept()
                    else:
                        self._hear(self._processes[descriptor])
        finally:
            self._end()

    def close(self) -> None:
        """Have `run` return. For signal handlers and other threads; may be repeated."""
        with contextlib.suppress(OSError):  # it has ended
            os.write(self._stopped, b"\0")

    # Connections.

    def _accept(self) -> None:
        try:
            connection, address = self._socket.accept()
        except OSError as exc:
            if not isinstance(exc, BlockingIOError):
                log.warning("a connection could not be accepted: %s", exc.strerror)
                self._calm()
            return
        with connection:
            source = str(address[0]).partition("%")[0]
            if not self._allowed(source):
                self._refused(source, "its address is not among those that may connect")
            elif len(self._waiting) < _MOST_WAITING and not self._doorkeeper.shut_out(
                source, time.monotonic()
            ):
                self._waiting.append((connection.dup(), source, f"{source}:{address[1]}"))
                self._admit()

    def _admit(self) -> None:
        # Few at a time may be without a proof, of one address above all; the others take turns.
        for entry in list(self._waiting):
            connection, source, peer = entry
            if self._doorkeeper.admit(source, time.monotonic()):
                self._waiting.remove(entry)
                with connection:
                    self._renew_keys()
                    self._fork(connection, source, peer)
            elif self._doorkeeper.shut_out(source, time.monotonic()):
                self._waiting.remove(entry)
                connection.close()

    def _calm(self) -> None:
        # Without descriptors or memory, trying again at once would only heat the machine.
        select.select([self._stop], [], [], 0.1)

    def _allowed(self, source: str) -> bool:
        address = ipaddress.ip_address(source)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return not self._allow or any(address in network for network in self._allow)

    def _refused(self, source: str, why: str) -> None:
        left_out = self._repeats.due(source, time.monotonic())
        if left_out is not None:
            log.warning("refused a connection from %s: %s%s", source, why, others(left_out))

    def _renew_keys(self) -> None:
        if self._keys.changed:
            try:
                self._keyring = self._keys.load()
            except (InvalidKey, OSError) as exc:
                log.warning("the former key stays in use: %s", exc)

    def _fork(self, connection: socket.socket, source: str, peer: str) -> None:
        news, tell = os.pipe()
        try:
            pid = os.fork()
        except OSError as exc:
            log.warning("no process for a connection from %s: %s", source, exc.strerror)
            self._doorkeeper.leave(source)
            os.close(news)
            os.close(tell)
            return
        if not pid:
            os.close(news)
            self._be_process(connection, tell, peer)
        os.close(tell)
        self._processes[news] = Process(pid, source, news)
        self._poll.register(news, select.POLLIN)

    def _hear(self, process: Process) -> None:
        said = os.read(process.news, 1)
        if process.unproved:
            process.unproved = False
            self._doorkeeper.leave(process.source)
            if said == _WRONG:
                self._doorkeeper.fail(process.source, "proof", time.monotonic())
                self._refused(process.source, "it did not prove the key")
            self._admit()
        if not said:
            self._poll.unregister(process.news)
            os.close(process.news)
            del self._processes[process.news]
            self._reap(process)

    def _reap(self, process: Process) -> None:
        _, status = os.waitpid(process.pid, 0)  # its pipe is closed, so it is at its end
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            log.warning("process %d of %s was %s", process.pid, process.source, ended(code))

    def _end(self) -> None:
        self._socket.close()
        for connection, *_ in self._waiting:
            connection.close()
        self._waiting.clear()
        os.close(self._stopped)  # which the processes see
        deadline = time.monotonic() + _END_TIME
        for process in self._processes.values():
            poll = select.poll()
            poll.register(process.news, 0)  # POLLHUP: it ended
            poll.poll(max(deadline - time.monotonic(), 0) * 1000)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started too
            os.waitpid(process.pid, 0)
            os.close(process.news)
        self._processes.clear()
        os.close(self._stop)

    # The process of a connection.

    def _be_process(self, connection: socket.socket, tell: int, peer: str) -> NoReturn:
        code = 1
        try:
            self._leave_listener()
            code = self._serve(connection, tell, peer)
        except BaseException:
            log.exception("the process for %s failed", peer)
        finally:
            # As an interpreter ends, without going back through the listener's frames.
            with contextlib.suppress(Exception):
                atexit._run_exitfuncs()
            for file in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    file.flush()
            os._exit(code)

    def _leave_listener(self) -> None:
        # A group of its own: signals of the terminal are the listener's, which ends us.
        os.setpgid(0, 0)
        atexit._clear()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        self._socket.close()
        os.close(self._stopped)  # so that `_stop` tells when the listener is gone
        for process in self._processes.values():
            os.close(process.news)
        for connection, *_ in self._waiting:
            connection.close()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)

    def _serve(self, connection: socket.socket, tell: int, peer: str) -> int:
        stream = Stream.of_socket(connection)
        try:
            meeting = prove(
                stream, self._keyring, self._limits, dialer=False, timeout=self._limits.handshake_timeout
            )
        except (DispycosError, OSError) as exc:
            # Who goes away without a word had no key to prove.
            os.write(tell, _WRONG if isinstance(exc, AuthenticationError) else _PROVED)
            return 0
        os.write(tell, _PROVED)
        # What a master's code forks must not keep open what tells of this process's end.
        forks.in_child(lambda: _close(tell, stream.reader))
        log.info("%s is served by process %d", peer, os.getpid())
        far.serve(stream, meeting, peer, lambda name, outcome: self.log_call(peer, name, outcome), self._stop)
        return 0


class QuietServer(Server):
    """A server that does not log calls."""

    def log_call(self, peer: str, name: str, outcome: str) -> None:
        """Logs nothing."""


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
