"""Several channels as one: send to each, receive from each, or from whichever has something.

As a channel's, the methods that wait answer an Operation at once in tasks and in asyncio.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from dispycos.gateways.callback import NO_ENDMARKER, Taker
from dispycos.gateways.channel import Channel


class _Arrived(NamedTuple):
    """An item of which the sender is to be told when somebody gets it."""

    channel: Channel
    item: Any
    size: int


class ReceiveQueue(queue.Queue[Any]):
    """A standard Queue of (channel, item). What nobody gets makes the senders wait, as in a channel."""

    def _get(self) -> Any:
        entry = super()._get()
        if type(entry) is not _Arrived:
            return entry
        entry.channel.taken(entry.size)
        return entry.channel, entry.item


class _Feed(Taker):
    def __init__(self, target: ReceiveQueue, channel: Channel, endmarker: Any) -> None:
        super().__init__(channel.exchange, channel.id, endmarker)
        self._target = target
        self._channel = channel

    def take(self, item: Any, size: int) -> None:
        self._channel.hold(size)
        self._target.put(_Arrived(self._channel, item, size))

    def give(self, item: Any) -> None:
        self._target.put((self._channel, item))


class MultiChannel:
    """Channels in the order in which they are given."""

    def __init__(self, channels: Iterable[Channel]) -> None:
        self._channels = list(channels)

    def __len__(self) -> int:
        return len(self._channels)

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels)

    def __getitem__(self, index: int) -> Channel:
        return self._channels[index]

    def __contains__(self, channel: object) -> bool:
        return channel in self._channels

    def __repr__(self) -> str:
        return f"<MultiChannel {self._channels}>"

    def send_each(self, item: Any) -> Any:
        """Send the item through each channel."""
        return _joined([channel.send(item) for channel in self._channels], lambda _: None)

    def receive_each(self, withchannel: bool = False) -> Any:
        """Wait for one item of each channel: a list of the items in the channels' order.

        withchannel  pairs of channel and item instead.
        """
        channels = self._channels
        return _joined(
            [channel.receive() for channel in channels],
            lambda items: list(zip(channels, items, strict=True)) if withchannel else items,
        )

    def make_receive_queue(self, endmarker: Any = NO_ENDMARKER) -> ReceiveQueue:
        """A queue that gets a pair of channel and item for each that arrives from now on.

        endmarker  comes in place of an item, once for each channel, when nothing more comes of it.
        OSError if a channel has a callback or a queue already.
        """
        made = ReceiveQueue()
        for channel in self._channels:
            channel.listen(_Feed(made, channel, endmarker))
        return made

    def waitclose(self) -> Any:
        """Wait until nothing more will come of any channel; then raise the first error, in their order."""
        first: Exception | None = None
        ends = []
        for channel in self._channels:
            try:
                ends.append(channel.waitclose())
            except Exception as exc:
                first = first or exc
        if first is not None:
            raise first
        return _joined(ends, lambda _: None)


def _joined(answers: list[Any], combine: Callable[[list[Any]], Any]) -> Any:
    # In tasks and asyncio the answers are Operations, and one of them all is the answer.
    pending = sys.modules.get("dispycos.gateways.pending")
    if pending is not None and answers and isinstance(answers[0], pending.Pending):
        return pending.together(answers, combine)
    return combine(answers)
