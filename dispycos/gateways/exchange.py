"""Exchange: the channels of one gateway's link, at either end.

Channels live as long as somebody holds them. The end that opened the gateway makes those with
odd numbers, the other end the even ones. What arrives is handed to its channel by whoever reads
the link, in order.
"""

from __future__ import annotations

import itertools
import logging
import weakref
from collections.abc import Callable
from typing import Any

from dispycos.errors import LoadError, PeerLost
from dispycos.gateways import plain, wire
from dispycos.gateways.callback import Taker
from dispycos.gateways.channel import Channel, Left
from dispycos.model import Buffer
from dispycos.net.link import Link
from dispycos.net.proof import Meeting
from dispycos.net.stream import Stream

log = logging.getLogger("dispycos")


class Exchange:
    """See the module's docstring.

    gateway  what channels show as theirs; it has this exchange.
    first    the first number for channels of this end: 1 or 2.
    asked    called for EXECUTE and STATUS: kind, the channel, the tail.
    lost     called once when the other end is gone, with why.
    """

    def __init__(
        self,
        gateway: Any,
        stream: Stream,
        meeting: Meeting,
        *,
        first: int,
        asked: Callable[[int, Channel, Buffer], None],
        lost: Callable[[str], None],
    ) -> None:
        self._gateway = gateway
        self._asked = asked
        self._lost = lost
        self._numbers = itertools.count(first, 2)
        self._channels: weakref.WeakValueDictionary[int, Channel] = weakref.WeakValueDictionary()
        self._takers: dict[int, Taker] = {}  # they outlive the channels that they were set on
        self._crowded: set[Channel] = set()  # their senders wait for room in the link
        # By number, channels that nobody holds any more, and of which the other end was not told. A
        # finalizer may add to it, for it takes no lock.
        self._dropped: dict[int, Left] = {}
        # Whether the end of the link is an ordinary one: the near end leaves, the far end is left.
        self.may_end = first == 2
        self.link = Link(stream, meeting, self._deliver, self._tell_dropped, self._end)
        self.link.watch_room(self)
        self.link.disowned = self._disown

    # Channels.

    def channel(self) -> Channel:
        """A new channel."""
        return self.known(next(self._numbers))

    def channels(self) -> list[int]:
        """Numbers of the channels that are open."""
        return sorted({*self._channels.keys(), *self._takers})

    @property
    def unread(self) -> bool:
        """Whether items wait for somebody to receive them."""
        channels = (known() for known in self._channels.valuerefs())
        return any(channel is not None and channel.unread for channel in channels)

    def known(self, number: int) -> Channel:
        """The channel of this number; a new one if nobody holds it."""
        channel = self._channels.get(number)
        if channel is None:
            channel = Channel(self._gateway, self, number)
            self._channels[number] = channel
            left = self._dropped.pop(number, None)
            if left is not None:
                channel.take_up(left)  # it came again before the other end was told
            if self.link.told:
                channel.lost(self.link.over)
        return channel

    def number(self, value: Any) -> int | None:
        """The number of a channel of this gateway; None if it is none."""
        if type(value) is Channel and value.exchange is self:
            return value.id
        return None

    def listen(self, taker: Taker) -> None:
        """Items of its channel go to it, also when nobody holds the channel any more."""
        self._takers[taker.number] = taker

    def silence(self, number: int) -> None:
        """Nothing comes for this channel's taker any more."""
        self._takers.pop(number, None)

    def forget(self, channel: Channel) -> None:
        """A channel is closed: nothing more is delivered to it."""
        if self._channels.get(channel.id) is channel:  # and not one that came after it
            self._channels.pop(channel.id, None)
            self._takers.pop(channel.id, None)

    def crowded(self, channel: Channel) -> bool:
        """Tell a channel as soon as the link has room; False if it has."""
        self._crowded.add(channel)
        if self.link.writable:
            self._crowded.discard(channel)
            return False
        return True

    def wake(self) -> None:
        """The link has room."""
        while self._crowded:
            self._crowded.pop().changed()

    def drop(self, number: int, left: Left) -> None:
        """Nobody holds a channel any more: tell the other end. For finalizers."""
        self._dropped[number] = left
        self.link.stir()

    def _tell_dropped(self) -> None:
        while self._dropped:
            try:
                number, left = self._dropped.popitem()
            except KeyError:
                return  # it came again
            try:
                self.link.post(wire.head(left.kind, number))
            except PeerLost:
                self._dropped.clear()

    def exit(self, patience: float) -> None:
        """Leave the other end, behind all that was sent; `patience` as for `Link.close`."""
        self.may_end = True
        self.link.close("the gateway was told to exit", patience)

    # What arrives.

    def _deliver(self, head: Buffer, tail: Buffer) -> None:
        kind, number, amount = wire.read(head)
        if kind == wire.ITEM or kind == wire.BYTES:
            self._item(number, kind, tail)
        elif kind == wire.CREDIT:
            channel = self._channels.get(number)
            if channel is not None:
                channel.granted(amount)
        elif kind == wire.CLOSE or kind == wire.LAST:
            self._closed(number, str(tail, "utf-8", "replace"), whole=kind == wire.CLOSE)
        else:
            self._asked(kind, self.known(number), tail)

    def _item(self, number: int, kind: int, tail: Buffer) -> None:
        taker = self._takers.get(number)
        channel = self._channels.get(number)
        if taker is None and channel is None:
            return  # dropped here; the other end will hear of it
        size = len(tail)
        try:
            value = bytes(tail) if kind == wire.BYTES else plain.unpack(tail, self.known)
        except LoadError as exc:
            self.refuse(number, f"an item could not be read: {exc}")
            return
        if taker is not None:
            taker.take(value, size)
        elif channel is not None:
            channel.put(value, size)

    def took(self, number: int, size: int) -> None:
        """Somebody took an item of this size: the other end may send as much again."""
        channel = self._channels.get(number)
        if channel is not None:
            channel.taken(size, held=False)
        else:
            self.grant(number, size + wire.PER_ITEM)

    def grant(self, number: int, amount: int) -> None:
        """Tell the other end that items of so many bytes were taken."""
        try:
            self.link.post(wire.head(wire.CREDIT, number, amount))
        except PeerLost:
            pass  # nobody is left to be told

    def refuse(self, number: int, text: str) -> None:
        """Close a channel at both ends, for an error of this end."""
        try:
            self.link.post(wire.head(wire.CLOSE, number), (text.encode(errors="replace"),))
        except PeerLost:
            pass
        self._closed(number, "", whole=True)

    def _closed(self, number: int, text: str, *, whole: bool) -> None:
        channel = self._channels.get(number)
        if channel is not None:
            channel.ended(text, whole=whole)
        elif text:
            log.warning("remote code failed, and nobody holds its channel any more:\n%s", text)
        taker = self._takers.pop(number, None)
        if whole:
            self._channels.pop(number, None)
        if taker is not None:
            taker.end()

    def _end(self, reason: str) -> None:
        for number in self.channels():
            channel = self._channels.get(number)
            if channel is not None:
                channel.lost(reason)
            taker = self._takers.pop(number, None)
            if taker is not None:
                taker.end()
        self._crowded.clear()
        self._lost(reason)

    def _disown(self, reason: str) -> None:
        # In a forked child.
        for channel in list(self._channels.values()):
            channel.disown(reason)
        self._dropped.clear()
