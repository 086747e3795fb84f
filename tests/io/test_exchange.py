"""A gateway's exchange against a far end that keeps to nothing, in one process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from dispycos.errors import PeerLost
from dispycos.gateways import wire
from dispycos.gateways.exchange import Exchange
from dispycos.net.stream import Stream
from tests.helpers import wait_until
from tests.io.test_link import meet

pytestmark = pytest.mark.row("EX-09")


class Both:
    """An exchange, and the stream and the session of the far end, which nobody serves."""

    def __init__(self) -> None:
        one, self.socket = socket.socketpair()
        near = Stream.of_socket(one, private=True)
        self.stream = Stream.of_socket(self.socket, private=True)
        ours, self.meeting = meet(near, self.stream)
        self.lost: list[str] = []
        self.exchange = Exchange(
            SimpleNamespace(id="hostile"), near, ours, first=1, asked=lambda *_: None, lost=self.lost.append
        )
        self.exchange.link.start("an exchange under test")


@pytest.fixture
def both() -> Iterator[Both]:
    made = Both()
    yield made
    made.exchange.link.close("the test is over", 0)
    made.exchange.link.join(10)
    made.stream.close()


def test_a_send_that_waits_for_room_ends_with_the_peer(both):
    async def main() -> None:
        channels = [both.exchange.channel() for _ in range(64)]
        sending = [channel.send(b"x" * (wire.ENOUGH - wire.PER_ITEM)) for channel in channels]
        late = [pending for pending in sending if not pending.done()]
        assert late and not both.exchange.link.writable
        both.socket.shutdown(socket.SHUT_RDWR)
        for pending in late:
            with pytest.raises(PeerLost):
                await asyncio.wait_for(pending, 10)

    asyncio.run(main())
    wait_until(lambda: both.lost, what="the end of the link")
