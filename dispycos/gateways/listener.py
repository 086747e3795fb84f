"""Listeners: a socket server's half of opening gateways.

One thread, one poll. A connection proves the key within `handshake_timeout`, or is closed; nothing
it says is read before. Then it names, in one message, the program of its far end, which is started
as a process of its own: that one has the connection, and a key that was derived for it. So the
server runs nothing of others itself, and its key is not in the process that does.

I/O half. Rows EX-04, EX-05; SE-13, SE-15, SE-51, SE-55.
"""

from __future__ import annotations

import ast
import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from dispycos.config import MIB, Limits
from dispycos.launch.program import COMMAND, program
from dispycos.launch.wire import GATEWAY
from dispycos.net.auth import Failed, Proven
from dispycos.net.doorkeeper import Doorkeeper, Repeats, others
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.proof import handshake, meet
from dispycos.net.single import SingleSession
from dispycos.net.stream import keep_watch

log = logging.getLogger("dispycos")

MAX_GATEWAYS: Final = 1024  # at a time; each is a process
MAX_PROGRAM_BYTES: Final = 16 * MIB
BACKLOG: Final = 128  # connections that nobody has accepted yet

_PROGRAM_TIME: Final = 30.0  # seconds for a proven peer to say what its far end is to run
_REST: Final = 1.0  # seconds without accepting when there are no descriptors left
_END_TIME: Final = 5.0  # seconds for gateways to end before they are killed
_READ_BYTES: Final = 65536


class Malformed(Exception):
    """A proven peer said something else than it must."""


class _Caller:
    """A connection that has not got its process yet."""

    def __init__(self, connection: socket.socket, source: str, keyring: Keyring, deadline: float) -> None:
        self.connection = connection
        self.source = source
        self.keyring = keyring
        self.handshake = handshake(keyring, MAX_PROGRAM_BYTES, dialer=False)
        self.handshake.opening()  # a listener has nothing to say yet
        self.session: SingleSession | None = None  # once it has proved the key
        self.key: ClusterKey | None = None  # the one that it proved
        self.deadline = deadline


class Listener:
    """Serves listening sockets until `close`.

    keyring  asked at each connection, so that keys may change.
    once     one gateway only; `serve` returns when it has ended.
    """

    def __init__(
        self, listeners: Sequence[socket.socket], keyring: Callable[[], Keyring], *, once: bool = False
    ) -> None:
        self._limits = replace(Limits(), max_message_bytes=MAX_PROGRAM_BYTES)
        self._keyring = keyring
        self._once = once
        self._listeners = list(listeners)
        self._doorkeeper = Doorkeeper(self._limits)
        self._repeats = Repeats(self._limits)
        self._callers: dict[int, _Caller] = {}
        self._gateways: set[subprocess.Popen[bytes]] = set()
        self._resting = 0.0  # until then nothing is accepted; 0: we accept
        self._closing = False
        self._selector = selectors.DefaultSelector()
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wakes, False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._wake_up)
        self._listen(True)

    def close(self) -> None:
        """Have `serve` return; from any thread or signal handler."""
        self._closing = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._wakes, b"\0")

    def _wake_up(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _listen(self, on: bool) -> None:
        for listener in self._listeners:
            listener.setblocking(False)
            if on:
                self._selector.register(
                    listener, selectors.EVENT_READ, lambda listener=listener: self._accept(listener)
                )
            else:
                self._selector.unregister(listener)

    # Serving.

    def serve(self) -> None:
        """Until `close`, or until the one gateway has ended; then every gateway is ended."""
        try:
            while not (self._closing or (self._once and not self._listeners and not self._busy())):
                for key, _ in self._selector.select(self._patience()):
                    key.data()
                self._expire(time.monotonic())
        finally:
            self._end()

    def _busy(self) -> bool:
        return bool(self._gateways or self._callers)

    def _patience(self) -> float | None:
        deadlines = [caller.deadline for caller in self._callers.values()]
        if self._resting:
            deadlines.append(self._resting)
        return max(min(deadlines) - time.monotonic(), 0) if deadlines else None

    def _expire(self, now: float) -> None:
        if self._resting and now >= self._resting:
            self._resting = 0.0
            self._listen(True)
        for caller in [caller for caller in self._callers.values() if now >= caller.deadline]:
            what = "sent no program" if caller.session is not None else "did not prove the key in time"
            self._refuse(caller, "timeout", f"it {what}")

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, address = listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone again
        except OSError as exc:
            log.warning("no connection can be accepted: %s; trying again in %g s", exc.strerror, _REST)
            self._listen(False)
            self._resting = time.monotonic() + _REST
            return
        now = time.monotonic()
        source = str(address[0])
        if len(self._gateways) >= MAX_GATEWAYS:
            self._say(source, f"there are {MAX_GATEWAYS} gateways already", now)
            connection.close()
            return
        if not self._doorkeeper.admit(source, now):
            self._say(source, "too many connections that prove nothing", now)
            connection.close()
            return
        connection.setblocking(False)
        keep_watch(connection)
        caller = _Caller(connection, source, self._keyring(), now + self._limits.handshake_timeout)
        self._callers[connection.fileno()] = caller
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._hear(caller))

    def _hear(self, caller: _Caller) -> None:
        try:
            data = caller.connection.recv(_READ_BYTES)
            if caller.session is not None:
                self._take(caller, data)
            elif data:
                self._prove(caller, *caller.handshake.received(data))
            else:
                self._prove(caller, b"", caller.handshake.broken())
        except BlockingIOError:
            pass
        except OSError as exc:
            self._refuse(caller, "closed", f"the connection broke: {exc.strerror or exc}")
        except Malformed as exc:
            self._refuse(caller, "malformed", f"it proved the key, and then {exc}")

    def _prove(self, caller: _Caller, answer: bytes, end: Proven | Failed | None) -> None:
        # What is answered is shorter than any socket's buffer.
        if answer:
            caller.connection.send(answer)
        if isinstance(end, Failed):
            self._refuse(caller, end.code, end.text)
        elif isinstance(end, Proven):
            key = caller.keyring.find(end.key_id)
            assert isinstance(key, ClusterKey)
            caller.key = key
            self._doorkeeper.leave(caller.source)
            caller.deadline = time.monotonic() + _PROGRAM_TIME
            caller.session, left_over = meet(end, self._limits)
            if left_over:
                self._take(caller, left_over)

    def _take(self, caller: _Caller, data: bytes) -> None:
        assert caller.session is not None
        if not data:
            raise Malformed("ended the connection")
        # Nothing is ever said in this session: what follows is another one, with the far end.
        for head, tail in caller.session.feed(data):
            self._start(caller, bytes(head), bytes(tail))
            return
        if caller.session.over:
            raise Malformed(f"sent no program: {caller.session.over}")

    # Gateways.

    def _start(self, caller: _Caller, head: bytes, tail: bytes) -> None:
        assert caller.key is not None
        words, packed, token = _read(head, tail, caller.key)
        self._forget(caller)
        with caller.connection:
            try:
                process = self._launch(words, packed, caller.connection)
            except (OSError, RuntimeError) as exc:
                # No file, descriptor, process or thread is to be had, or there is no such program.
                why = exc.strerror if isinstance(exc, OSError) else str(exc)
                text = f"{words[0] if words else sys.executable!r} can't be started: {why}"
                log.warning("%s: %s", caller.source, text)
                with contextlib.suppress(OSError):
                    caller.connection.send(f"{token} unstarted {text}\n".encode())
                return
        log.info("%s: a gateway, process %d", caller.source, process.pid)
        if self._once:
            self._stop_listening()

    def _launch(self, words: list[str], packed: bytes, connection: socket.socket) -> subprocess.Popen[bytes]:
        with tempfile.TemporaryFile() as file:
            file.write(packed)
            file.seek(0)
            connection.setblocking(True)
            process = subprocess.Popen(
                [*(words or [sys.executable]), "-u", "-c", COMMAND],
                stdin=file,
                stdout=connection.fileno(),
                env={key: value for key, value in os.environ.items() if not _is_secret(key)},
                # What is typed at our terminal is for us; we end our gateways.
                start_new_session=True,
            )
        self._gateways.add(process)
        try:
            threading.Thread(
                target=self._await, args=(process,), name="dispycos gateway", daemon=True
            ).start()
        except RuntimeError:
            self._gateways.discard(process)
            process.kill()
            process.wait()
            raise
        return process

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        log.info("process %d of a gateway ended with %d", process.pid, code)
        self._gateways.discard(process)
        self._wake()

    # Ending.

    def _refuse(self, caller: _Caller, code: str, text: str) -> None:
        now = time.monotonic()
        if caller.session is None:
            self._doorkeeper.leave(caller.source)
            self._doorkeeper.fail(caller.source.partition("%")[0], code, now)
        self._forget(caller)
        caller.connection.close()
        self._say(caller.source, text, now)

    def _forget(self, caller: _Caller) -> None:
        self._selector.unregister(caller.connection)
        self._callers.pop(caller.connection.fileno(), None)

    def _say(self, source: str, text: str, now: float) -> None:
        left_out = self._repeats.due(source, now)
        if left_out is not None:
            log.warning("%s was refused: %s%s", source, text, others(left_out))

    def _stop_listening(self) -> None:
        if not self._resting:
            self._listen(False)
        self._resting = 0.0
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _end(self) -> None:
        self._stop_listening()
        for caller in list(self._callers.values()):
            if caller.session is None:
                self._doorkeeper.leave(caller.source)
            self._forget(caller)
            caller.connection.close()
        gateways = list(self._gateways)
        for process in gateways:
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + _END_TIME
        for process in gateways:
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
        self._selector.close()
        os.close(self._woken)
        os.close(self._wakes)


def _read(head: bytes, tail: bytes, key: ClusterKey) -> tuple[list[str], bytes, str]:
    # The Python that is wanted, its program, and what the near end waits for.
    if head != GATEWAY:
        raise Malformed("asked for something else than a gateway")
    try:
        message: dict[str, Any] = ast.literal_eval(tail.decode())
        order, words = message["order"], [str(word) for word in message["python"]]
        order["options"]["key"] = key.derive_gateway(message["nonce"]).reveal().hex()
        return words, program(message["boot"], order, message["packed"]), str(order["token"])
    except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError):
        raise Malformed("asked for a gateway in a way that is not understood") from None


def _is_secret(name: str) -> bool:
    return name.startswith("DISPYCOS_SECRET")


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        process.send_signal(number)
