"""via: processes and connections at the far end of another gateway, as streams here.

The near half; the other one is `launch.carry`. Bytes go through a channel of the carrier, so its
link protects them, and its flow control bounds what waits. Row EX-24.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Protocol

from dispycos.errors import PeerLost
from dispycos.launch import carry
from dispycos.launch.fate import ended
from dispycos.net.stream import Stream
from dispycos.wording import harmless


class Carrier(Protocol):
    """A gateway that others are opened through."""

    id: str

    def newchannel(self) -> Any: ...
    def run_aside(self, module: ModuleType) -> Any: ...


class Carried:
    """A process, or a connection, at the far end of a carrier; in place of a Child.

    command  its words; none: it is a connection to `address`.
    """

    def __init__(
        self,
        carrier: Carrier,
        command: Sequence[str],
        address: tuple[str, int] | None = None,
        *,
        apart: bool = False,
    ) -> None:
        self._carrier = carrier
        self._over = threading.Event()
        self._fate = ""
        self._words = ""
        self._control = carrier.newchannel()
        self._control.setcallback(self._told, endmarker=None)
        self._channel = carrier.run_aside(carry)
        order = {"command": list(command), "address": address, "apart": apart}
        self._channel.send((self._control, order))
        ours, self._inner = socket.socketpair()
        self.stream = Stream.of_socket(ours, private=True)
        self._sender = threading.Thread(target=self._send, name="dispycos via out", daemon=True)
        self._sender.start()
        threading.Thread(target=self._receive, name="dispycos via in", daemon=True).start()

    def _told(self, item: tuple[int | str, str] | None) -> None:
        # How it ended, by an exit code or in words; or nothing, because the carrier is gone.
        if item is not None:
            how, self._words = item
            self._fate = ended(how) if isinstance(how, int) else how
        elif not self._over.is_set():
            self._fate = self._fate or f"its carrier {self._carrier.id} is gone"
        self._over.set()

    def _send(self) -> None:
        # From the stream to the channel.
        with contextlib.suppress(OSError):
            while data := self._inner.recv(carry.CHUNK):
                self._channel.send(data)
            self._channel.send(b"")

    def _receive(self) -> None:
        # From the channel to the stream; to the end, also if nobody reads the stream any more.
        taken = True
        try:
            for data in self._channel:
                if type(data) is not bytes:
                    self._channel.close(f"a carrier carries bytes, and not {type(data).__name__}")
                    break
                if taken:
                    try:
                        self._inner.sendall(data)
                    except OSError:
                        taken = False
        except (self._channel.RemoteError, PeerLost):
            pass  # the stream ends, and `fate` says how
        finally:
            with contextlib.suppress(OSError):
                self._inner.shutdown(socket.SHUT_RDWR)
        self._sender.join()  # the channel is closed, and so is the stream: nothing holds it
        self._inner.close()

    def opened(self) -> None:
        """The far end speaks."""

    def last_words(self) -> str:
        """What it wrote to standard error last, once it has ended."""
        return harmless(self._words)

    def fate(self) -> str:
        """How it ended, or why it was never started, in words; "" if it runs."""
        return self._fate

    def wait(self, timeout: float | None) -> bool:
        """Whether it, or its carrier, ended within `timeout` seconds."""
        return self._over.wait(timeout)

    def kill(self) -> None:
        """End it at once, if its carrier is there."""
        with contextlib.suppress(OSError):
            self._control.send(carry.KILL)
