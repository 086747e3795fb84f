"""What nobody takes: it makes the sender wait, and never fills the memory of either end."""

from __future__ import annotations

import gc
import os
import threading
import time

import psutil
import pytest

from dispycos.gateways import MultiChannel, wire
from tests.helpers import wait_until

pytestmark = pytest.mark.row("EX-09")

MIB = 1024 * 1024
PIECE = 100_000
MANY = 2000  # pieces: 200 MB
ROOM = 60 * MIB  # that either end may take for a window, its frames and its pickles

# Sends what it is told, and tells through another channel how far it got.
SENDS = """
size, count, told = channel.receive()
for number in range(count):
    channel.send(b"x" * size if size else number)
    told.append(number)
"""


def memory(pid: int) -> int:
    """Bytes that a process has in memory."""
    return psutil.Process(pid).memory_info().rss


def settled(progress) -> int:
    """What `progress()` is once it stays the same for half a second."""
    last, since = progress(), time.monotonic()

    def stays() -> bool:
        nonlocal last, since
        now = progress()
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 0.5

    wait_until(stays, timeout=60, what="a sender that waits")
    return last


class Sender(threading.Thread):
    """Sends pieces through a channel, from a plain thread."""

    def __init__(self, channel, item, count=MANY) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.error = None
        self._channel, self._item, self._count = channel, item, count
        self.start()

    def run(self) -> None:
        try:
            for _ in range(self._count):
                self._channel.send(self._item)
                self.sent += 1
        except OSError as exc:
            self.error = exc


def test_a_reader_that_does_not_read_bounds_both_ends(gateway):
    pid = gateway._rinfo().pid
    channel = gateway.remote_exec(
        """
        total = 0
        for item in channel:
            if item == "end":
                break
            total += len(item)
        channel.send(total)
        """
    )
    stuck = gateway.remote_exec("keep = channel.receive(); channel.receive(); keep.waitclose()")
    kept = gateway.newchannel()
    stuck.send(kept)
    before = memory(pid), memory(os.getpid())
    sender = Sender(kept, b"x" * PIECE)
    count = settled(lambda: sender.sent)
    assert wire.ENOUGH < count * PIECE <= wire.WINDOW + PIECE
    grown = memory(pid) - before[0], memory(os.getpid()) - before[1]
    assert max(grown) < ROOM, grown
    # Others are not held up by it.
    for _ in range(100):
        channel.send(b"x" * PIECE)
    channel.send("end")
    assert channel.receive(20) == 100 * PIECE
    kept.close()
    sender.join(10)
    assert isinstance(sender.error, OSError)


def test_what_nobody_receives_here_makes_the_far_end_wait(gateway):
    pid = gateway._rinfo().pid
    before = memory(pid), memory(os.getpid())
    channel = gateway.remote_exec(SENDS.replace("told.append(number)", "told.send(number)"))
    told = gateway.newchannel()
    progress: list[int] = []
    told.setcallback(progress.append)
    channel.send((PIECE, MANY, told))
    count = settled(lambda: len(progress))
    assert wire.ENOUGH < count * PIECE <= wire.WINDOW + PIECE
    assert memory(pid) - before[0] < ROOM and memory(os.getpid()) - before[1] < ROOM
    assert sum(len(item) for item in channel) == MANY * PIECE
    assert memory(pid) - before[0] < ROOM and memory(os.getpid()) - before[1] < ROOM


def test_small_items_are_bounded_too(gateway):
    channel = gateway.remote_exec(SENDS.replace("told.append(number)", "told[0] += 1"))
    most = wire.WINDOW // wire.PER_ITEM
    channel.send((0, most + most // 4, [0]))
    count = settled(lambda: len(channel._items))
    assert count < most
    assert list(channel) == list(range(most + most // 4))


def test_a_slow_callback_makes_the_far_end_wait(gateway):
    pid = gateway._rinfo().pid
    before = memory(pid), memory(os.getpid())
    channel = gateway.remote_exec(SENDS)
    go, ended = threading.Event(), threading.Event()
    taken = []

    def slow(item):
        if item is None:
            ended.set()
        else:
            go.wait(60)
            taken.append(len(item))

    channel.setcallback(slow, endmarker=None)
    channel.send((PIECE, MANY, []))
    grown = settled(lambda: memory(pid) // MIB), memory(os.getpid())
    assert grown[0] * MIB - before[0] < ROOM and grown[1] - before[1] < ROOM
    assert not taken
    go.set()
    assert ended.wait(60)
    assert taken == [PIECE] * MANY


def test_a_dropped_channel_takes_nothing_and_its_sender_hears_of_it(gateway):
    control = gateway.remote_exec(
        """
        target = channel.receive()
        sent = 0
        try:
            while True:
                target.send(b"x" * 100_000)
                sent += 1
        except OSError as exc:
            channel.send(str(exc))
        """
    )
    before = memory(os.getpid())
    dropped = gateway.newchannel()
    control.send(dropped)
    dropped.receive(10)
    del dropped
    gc.collect()
    assert "closed" in control.receive(20)
    assert memory(os.getpid()) - before < ROOM


@pytest.mark.parametrize("queued", [False, True])
def test_a_sender_that_ignores_its_credit_is_lost(group, queued):
    gateway = group.makegateway()
    before = memory(os.getpid())
    channel = gateway.remote_exec(
        """
        channel._window.credit = 1 << 60
        for _ in range(2000): channel.send(b"x" * 100_000)
        """
    )
    queue = MultiChannel([channel]).make_receive_queue() if queued else None
    assert gateway.join(20)
    assert f"the peer broke the rules: an item for channel {channel.id}" in repr(gateway)
    assert memory(os.getpid()) - before < ROOM
    # What came before is there.
    item = queue.get(timeout=10)[1] if queue else channel.receive(10)
    assert item == bytes(b"x" * 100_000)


def test_a_channel_that_comes_again_before_its_drop_is_told_goes_on(gateway):
    """It is the same for the other end: what it may send, and what may be sent to it."""
    far = gateway.remote_exec(
        """
        target = channel.receive()
        for _ in range(3): target.send(b"x" * 1_000_000)
        channel.send("sent")
        channel.receive()
        channel.send(target)
        for _ in range(20): target.send(b"y" * 1_000_000)
        channel.send(target.receive())
        """
    )
    exchange = gateway._exchange
    told, exchange.link._stirred = exchange.link._stirred, lambda: None  # nobody tells it
    target = gateway.newchannel()
    number = target.id
    far.send(target)
    assert far.receive(10) == "sent"
    del target
    gc.collect()
    assert number in exchange._dropped
    far.send("again")
    again = far.receive(10)
    assert number not in exchange._dropped
    exchange.link._stirred = told
    exchange.link.stir()
    assert again.id == number
    assert [len(again.receive(10)) for _ in range(20)] == [1_000_000] * 20
    again.send("heard")
    assert far.receive(10) == "heard"


def test_an_item_larger_than_the_window_goes_whenever_the_rest_is_taken(gateway):
    channel = gateway.remote_exec("for item in channel: channel.send(item)")
    for size in (wire.WINDOW // 5, wire.ENOUGH, wire.WINDOW - 1, wire.WINDOW, 5 * wire.WINDOW, 1):
        for _ in range(3):
            channel.send(b"y" * size)
            assert len(channel.receive(30)) == size
