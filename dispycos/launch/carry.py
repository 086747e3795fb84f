"""Carrying: what runs at a carrier's far end, between a channel and a process or connection there.

It is sent as source to a gateway that may have nothing else, so it imports the standard library
only. The near end is `launch.via`, which sends what to start as the first item of the channel,
then bytes, and b"" at their end. From here bytes go back, until there are no more. The second
channel says how it ended; when the near end closes it, or is gone, everything ends here.

Rows EX-24, SE-51.
"""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

KILL = "kill"  # said through the second channel
CHUNK = 65536  # bytes of an item
CONNECT_TIME = 20.0  # seconds
PATIENCE = 2.0  # seconds to end when the near end is gone; less than a far end's own
KEPT_LINES = 20  # of standard error
SECRETS = "DISPYCOS_SECRET"  # names that begin so are not for what is started
MOST_LINE = 4096  # bytes of one


class Process:
    """A process with pipes."""

    def __init__(self, command: Sequence[str], apart: bool) -> None:
        words = [command[0] or sys.executable, *command[1:]]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={name: value for name, value in os.environ.items() if not name.startswith(SECRETS)},
            start_new_session=apart,
        )
        self._words: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        self._errors = threading.Thread(target=self._pass_on, daemon=True)
        self._errors.start()

    def _pass_on(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as errors:
            for line in iter(lambda: errors.readline(MOST_LINE), b""):
                self._words.append(line.decode(errors="replace").rstrip())
                with contextlib.suppress(OSError):
                    os.write(2, line)

    def read(self) -> bytes:
        """Some bytes; b"" at the end."""
        assert self._process.stdout is not None
        return os.read(self._process.stdout.fileno(), CHUNK)

    def write(self, data: bytes) -> None:
        """All of it; OSError."""
        assert self._process.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self._process.stdin.write(rest) :]

    def end_writing(self) -> None:
        """No more bytes will come."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def end(self) -> tuple[int, str]:
        """Wait for its end: its exit code, and its last words."""
        code = self._process.wait()
        self._errors.join(1.0)
        return code, "; ".join(line for line in self._words if line)


class Socket:
    """A connection to a listener."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), CONNECT_TIME)
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def read(self) -> bytes:
        """Some bytes; b"" at the end."""
        return self._socket.recv(CHUNK)

    def write(self, data: bytes) -> None:
        """All of it; OSError."""
        self._socket.sendall(data)

    def end_writing(self) -> None:
        """No more bytes will come."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> tuple[str, str]:
        """Close it."""
        self._socket.close()
        return "", ""


def carry(channel: Any, control: Any, order: dict[str, Any]) -> None:
    """Start what the order says, and carry until its end."""
    carried: Process | Socket
    try:
        if order["command"]:
            carried = Process(order["command"], order["apart"])
        else:
            carried = Socket(*order["address"])
    except OSError as exc:
        control.send((f"it can't be started: {exc.strerror or exc}", ""))
        return
    over = threading.Event()

    def end_soon() -> None:
        carried.end_writing()
        if not over.wait(PATIENCE):
            carried.kill()

    def told(item: object) -> None:
        # By the thread that reads the carrier's link: nothing here may wait.
        if item == KILL:
            carried.kill()
        else:
            # The near end is gone. The process ends, or has ended, before this thread is waited for.
            threading.Thread(target=end_soon, name="dispycos carried end", daemon=False).start()

    control.setcallback(told, endmarker=None)
    threading.Thread(target=_feed, args=(channel, carried), name="dispycos carried in", daemon=True).start()
    _drain(channel, carried)
    ended = carried.end()
    over.set()
    with contextlib.suppress(OSError):
        control.send(ended)


def _drain(channel: Any, carried: Process | Socket) -> None:
    # To the end, also if nobody takes it: a process must not wait for us to end.
    taken = True
    with contextlib.suppress(OSError):  # the connection broke
        while data := carried.read():
            if taken:
                try:
                    channel.send(data)
                except OSError:
                    taken = False


def _feed(channel: Any, carried: Process | Socket) -> None:
    try:
        for data in channel:
            if not data:
                break
            carried.write(data)
    except (OSError, ValueError):
        pass  # what reads it has ended, or we closed it, as the other thread knows
    carried.end_writing()


if __name__ == "__channelexec__":
    _channel = globals()["channel"]
    carry(_channel, *_channel.receive())
