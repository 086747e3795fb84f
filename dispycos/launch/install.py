"""installvia: a socket server at another gateway's far end, for one gateway.

Its key is made for it and goes there through that gateway. Row EX-05.
"""

from __future__ import annotations

import ast
from typing import Final

from dispycos.config import Limits
from dispycos.errors import HostNotFound, RemoteProtocolError
from dispycos.keyfile import throwaway
from dispycos.launch import popen
from dispycos.launch.launched import Launched, opened
from dispycos.launch.opening import Errand, open_far_end
from dispycos.launch.spec import XSpec
from dispycos.launch.via import Carried, Carrier
from dispycos.model import Buffer
from dispycos.net.keys import Keyring
from dispycos.net.link import Link
from dispycos.net.waiting import Waiting

_MAIN: Final = "dispycos.gateways.installed"


class Installed:
    """A socket server that runs: where it listens, and with which key.

    It ends with its gateway, and with that one through which it was started.
    HostNotFound says why there is none.
    """

    def __init__(self, carrier: Carrier, host: str, port: int, timeout: float) -> None:
        self.keyring: Keyring = throwaway()
        command = popen.command(XSpec("popen"))
        options = {"address": (host, port), "served": self.keyring.own.reveal().hex()}
        errand = Errand(_MAIN, options)
        launched = opened(
            Carried(carrier, command.words),
            lambda stream: open_far_end(stream, errand, Limits(), timeout),
            f"a socket server for {host}:{port} at {carrier.id}",
            timeout,
        )
        self._launched = launched
        self._waiting = Waiting()
        self.address = ("", 0)  # where it listens, once it has said so
        self._link = Link(launched.stream, launched.meeting, self._hear, lambda: None, self._lost)
        self._link.start("dispycos installed server")
        if not self._link.wait(self._waiting, lambda: bool(self.address[1]), timeout):
            self.kill()
            raise HostNotFound(f"the socket server at {carrier.id} did not say where it listens")

    def _hear(self, head: Buffer, tail: Buffer) -> None:
        try:
            host, port = ast.literal_eval(bytes(head).decode())
            self.address = (str(host), int(port))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise RemoteProtocolError("a socket server told its address in an unknown form") from None
        self._waiting.wake()

    def _lost(self, reason: str) -> None:
        self._waiting.wake()

    def serving(self, launched: Launched) -> Launched:
        """A gateway of this server, which takes it along when it ends."""

        def wait(timeout: float | None) -> bool:
            return launched.wait(timeout) and self._link.join(timeout) and self._launched.wait(timeout)

        def kill() -> None:
            launched.kill()
            self.kill()

        return Launched(launched.stream, launched.meeting, launched.address, wait, kill)

    def kill(self) -> None:
        """End it at once."""
        self._link.close("the gateway was not opened, or is to end")
        self._launched.kill()
