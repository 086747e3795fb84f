"""Ways to a server: by TCP to one that listens, or by a process that is started for one client.

Rows EC-08 to EC-10, EC-15.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from dispycos import keyfile
from dispycos.config import Limits
from dispycos.errors import HostNotFound, VersionMismatch
from dispycos.launch import opening, ssh
from dispycos.launch.child import Child
from dispycos.launch.launched import opened
from dispycos.launch.opening import Errand
from dispycos.launch.program import COMMAND
from dispycos.launch.python import python_of
from dispycos.launch.ssh import PYTHON
from dispycos.launch.target import Target
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.proof import Meeting, dialled, prove
from dispycos.net.stream import Stream

PORT: Final = 11999
MAIN: Final = "dispycos.easycluster.far"  # what a started process runs

_DIAL_TIME: Final = 20.0  # seconds until a connection is there, and again until the key is proved
_START_TIME: Final = 30.0  # seconds for a Python to start, here or there
_ASKED_TIME: Final = 120.0  # the same if a person may be asked for a pass phrase meanwhile
_END_TIME: Final = 5.0  # seconds for a started process to end; then it is killed


def _nothing() -> None:
    """A server that listens ends the process of a connection itself."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A server's end that has proved the key."""

    stream: Stream
    meeting: Meeting
    name: str  # for texts
    peername: tuple[str, int] | None  # its address; None: no network is between
    ended: Callable[[], None] = _nothing  # waits for the end of what was started, once the stream is closed


class Way(Protocol):
    """How a client comes to its server, again and again."""

    def reach(self) -> Reached:
        """Connect. An OSError, AuthenticationError among them, says why not."""


class Tcp:
    """A server that listens."""

    def __init__(self, key: bytes | None, host: str, port: int) -> None:
        # Without a key it is the account's own, which all of the user's programs have (GN-01).
        self._keyring = keyfile.load() if key is None else Keyring(ClusterKey(key))
        self._host = host
        self._port = port
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def reach(self) -> Reached:
        """Connect."""
        try:
            connection = socket.create_connection((self._host, self._port), _DIAL_TIME)
        except socket.gaierror as exc:
            raise HostNotFound(f"can't resolve {self._host!r}: {exc.strerror}") from None
        except TimeoutError:
            raise TimeoutError(f"{self.name} did not answer in {_DIAL_TIME:g} s") from None
        except OSError as exc:
            hint = "; is `easycluster -S` running there?" if isinstance(exc, ConnectionRefusedError) else ""
            raise type(exc)(exc.errno, f"can't connect to {self.name}: {exc.strerror}{hint}") from None
        stream = Stream.of_socket(connection)
        try:
            with dialled(self.name):
                meeting = prove(stream, self._keyring, Limits(), dialer=True, timeout=_DIAL_TIME)
            address = connection.getpeername()
        except BaseException:
            stream.close()
            raise
        return Reached(stream, meeting, self.name, (address[0], address[1]))


class Local:
    """A process of this machine, for this client alone."""

    def reach(self) -> Reached:
        """Start it."""
        # Apart, for Ctrl-C at our terminal ends a call of the master's and not the server.
        child = Child([sys.executable, "-u", "-c", COMMAND], apart=True)
        errand = Errand(MAIN, {}, has_package=True)
        return _started(child, errand, "a local process", _START_TIME, f"local process {child.pid}")


class Ssh:
    """A Python on another machine, by the ssh program, its configuration and its keys.

    python  what is started there.
    extra   more of ssh's arguments.
    Nothing of ours need be installed there.
    """

    def __init__(self, target: Target, python: str, extra: Sequence[str]) -> None:
        words = python_of(python, PYTHON)
        self._asks = ssh.at_terminal()
        self._words = ssh.ssh_words(target, [*words, "-u", "-c", COMMAND], asks=self._asks, extra=extra)
        self._python = words[0]
        self.name = str(target)

    def reach(self) -> Reached:
        """Start ssh. What it printed is in the error; ValueError names a Python that is too old."""
        try:
            child = Child(self._words, keep_errors=True, apart=not self._asks)
        except OSError as exc:
            raise HostNotFound(f"ssh can't be started: {exc.strerror}; install the OpenSSH client") from None
        timeout = _ASKED_TIME if self._asks else _START_TIME
        try:
            return _started(child, Errand(MAIN, {}), f"{self._python} at {self.name}", timeout, self.name)
        except VersionMismatch as exc:
            raise ValueError(str(exc)) from None


def _started(child: Child, errand: Errand, what: str, timeout: float, name: str) -> Reached:
    launched = opened(
        child,
        lambda stream: opening.open_far_end(stream, errand, Limits(), timeout),
        what,
        timeout,
        becomes="a server",
    )

    def ended() -> None:
        if not launched.wait(_END_TIME):
            launched.kill()
            launched.wait(None)

    return Reached(launched.stream, launched.meeting, name, None, ended)
