"""socket: a gateway behind a socket server, which both prove the same key.

The server starts the Python and gives it the connection. Rows EX-04, EX-05; GN-01.
"""

from __future__ import annotations

import contextlib
import socket

from dispycos.config import Limits
from dispycos.errors import HostNotFound
from dispycos.keyfile import load
from dispycos.launch.launched import Launched, Started, opened
from dispycos.launch.opening import Errand, open_behind_server
from dispycos.launch.python import python_of
from dispycos.launch.quoting import excerpt
from dispycos.launch.spec import XSpec
from dispycos.launch.target import Target
from dispycos.launch.via import Carried, Carrier
from dispycos.net.keys import Keyring
from dispycos.net.stream import Stream

DEFAULT_PORT = 8888

_CONNECT_TIME = 20.0  # seconds


def target_of(spec: XSpec, *, any_port: bool = False) -> Target:
    """The machine of `socket=HOST[:PORT]`. ValueError."""
    if spec.socket is True:
        raise ValueError(f"specification {excerpt(spec)} must name HOST:PORT as in socket=127.0.0.1:8888")
    target = Target.parse(spec.socket, any_port=any_port)
    if target.user:
        raise ValueError(f"socket={excerpt(spec.socket)} names a user; the server's own is the one")
    return target


def launch(
    spec: XSpec,
    errand: Errand,
    timeout: float,
    *,
    carrier: Carrier | None = None,
    address: tuple[str, int] | None = None,
    keyring: Keyring | None = None,
) -> Launched:
    """The far end behind a socket server.

    address, keyring  of a server that was started for it; else the specification names the
                      address, and the key is that of `secret_file=` or the account's.
    ValueError, HostNotFound, AuthenticationError; OSError for a key file.
    """
    if address is None:
        target = target_of(spec)
        address = (target.host, target.port or DEFAULT_PORT)
    # Its bytes cross a network, whatever carries them on our side.
    errand = errand.with_options(private=False)
    python = [] if spec.python is None else python_of(spec.python, "")
    keyring = keyring or load(secret_file=spec.secret_file)
    host, port = address
    name = f"socket={Target(host, port=port)}"
    started: Started = _Connection(host, port, name) if carrier is None else Carried(carrier, (), address)
    return opened(
        started,
        lambda stream: open_behind_server(stream, keyring, errand, python, Limits(), timeout),
        name,
        timeout,
        address=str(Target(host, port=port)),
    )


class _Connection:
    """A connection from here. Raises HostNotFound."""

    def __init__(self, host: str, port: int, name: str) -> None:
        try:
            self._socket = socket.create_connection((host, port), _CONNECT_TIME)
        except OSError as exc:
            raise HostNotFound(
                f"{name} can't be reached: {exc.strerror or exc}; is a socket server running there?"
            ) from None
        self.stream = Stream.of_socket(self._socket)

    def opened(self) -> None:
        """The far end speaks."""

    def last_words(self) -> str:
        """None: its standard error is the server's."""
        return ""

    def fate(self) -> str:
        """Nothing that the stream does not say."""
        return ""

    def wait(self, timeout: float | None) -> bool:
        """Nothing was started here: it is over with the stream."""
        return True

    def kill(self) -> None:
        """Break the connection, whereupon the far end ends."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
