"""Handles of channels that live in other processes. The transform runs at the channel's home.

I/O half. Layer 4. KE-17, KE-18.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispycos.kernel.channel import Channel
from dispycos.kernel.wait import seconds
from dispycos.messages import ReceiverKind, Verb
from dispycos.model import Address
from dispycos.net import remote
from dispycos.net.remote import Reference


class RemoteChannel(Reference, Channel):
    """A reference to a channel of another process."""

    kind = ReceiverKind.CHANNEL

    @classmethod
    def of(cls, address: Address, name: str, reservation: int) -> RemoteChannel:
        """The handle of the channel that lives at `address`."""
        handle = cls.__new__(cls)
        handle._refer(address, name, reservation)
        handle._closed = False
        return handle

    def register(self, name: str | None = None) -> int:
        """Make it known by `name` in its own process. 0, or -1 if that process is gone."""
        return remote.here().tell(self, Verb.REGISTER, name)

    def unregister(self, name: str | None = None) -> int:
        """Take back `register`."""
        return remote.here().tell(self, Verb.UNREGISTER, name)

    def set_transform(self, transform: Callable[[str, Any], Any] | None) -> None:
        """RuntimeError: a transform runs at the channel's home and is set there."""
        raise RuntimeError(f"{self} lives in another process: set its transform there")

    def subscribe(self, subscriber: Any, timeout: float | None = None) -> Any:
        """Yield this: let a task or channel have each message from now on: 0, or -1 if it can't."""
        return remote.here().ask(self, Verb.SUBSCRIBE, subscriber, seconds(timeout), -1)

    def unsubscribe(self, subscriber: Any, timeout: float | None = None) -> Any:
        """Yield this: 0, or -1 if it had not subscribed."""
        return remote.here().ask(self, Verb.UNSUBSCRIBE, subscriber, seconds(timeout), -1)

    def _subscribers_here(self) -> list[Any]:
        return []

    def send(self, message: Any) -> int:
        """Send to each subscriber, by way of its home; any thread. 0, or -1 if that is gone."""
        return remote.here().send(self, message)

    def deliver(self, message: Any, timeout: float | None = None, n: int = 0) -> Any:
        """Yield this: how many tasks have the message; 0 after `timeout` seconds, -1 if it is closed."""
        limit = seconds(timeout)
        return remote.here().ask(self, Verb.BROADCAST, (message, limit, n), limit, 0)

    def close(self) -> None:
        """Close it at its home."""
        remote.here().tell(self, Verb.CLOSE, None)
