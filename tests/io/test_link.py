"""Two ends of a link in one process, over pairs of sockets and pipes."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dispycos import keyfile
from dispycos.config import Limits
from dispycos.errors import AuthenticationError, PeerLost, Timeout
from dispycos.net.link import Link
from dispycos.net.patience import Patience
from dispycos.net.proof import Meeting, prove
from dispycos.net.stream import Stream
from dispycos.net.waiting import Waiting
from tests.helpers import wait_until

MIB = 1024 * 1024


class Impatient(Patience):
    """Looks for long before it polls, so it never does where somebody answers."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = 10.0

    def slept(self, seconds: float) -> None:
        pass

    def put_aside(self) -> None:
        pass


class End:
    """One end, and what it heard."""

    def __init__(self, stream: Stream, meeting: Meeting) -> None:
        self.stream = stream
        self.heard: deque[tuple[bytes, bytes]] = deque()
        self.waiting: list[Waiting] = []
        self.lost: list[str] = []
        self.stirred = 0
        self.answer: Callable[[bytes, bytes], None] = lambda head, tail: None
        self.link = Link(stream, meeting, self.hear, self.stir, self.lost.append)
        self.link.start("a link under test")

    def hear(self, head, tail) -> None:
        self.heard.append((bytes(head), bytes(tail)))
        self.answer(bytes(head), bytes(tail))
        for waiting in list(self.waiting):
            waiting.wake()

    def stir(self) -> None:
        self.stirred += 1

    def receive(self, timeout: float | None = 10) -> tuple[bytes, bytes]:
        waiting = Waiting()
        self.waiting.append(waiting)
        try:
            if not self.link.wait(waiting, lambda: bool(self.heard), timeout):
                raise TimeoutError(self.link.over)
        finally:
            self.waiting.remove(waiting)
        return self.heard.popleft()


def meet(one: Stream, other: Stream) -> tuple[Meeting, Meeting]:
    """Both prove, at once."""
    keyring = keyfile.throwaway()
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(prove, other, keyring, Limits(), dialer=False, timeout=10)
        return prove(one, keyring, Limits(), dialer=True, timeout=10), listening.result(10)


def sockets() -> tuple[Stream, Stream]:
    one, other = socket.socketpair()
    return Stream.of_socket(one, private=True), Stream.of_socket(other, private=True)


def pipes() -> tuple[Stream, Stream]:
    (r1, w1), (r2, w2) = os.pipe(), os.pipe()

    def closing(*numbers: int) -> Callable[[], None]:
        return lambda: [os.close(number) for number in numbers] and None

    return Stream(r1, w2, closing(r1, w2), private=True), Stream(r2, w1, closing(r2, w1), private=True)


@pytest.fixture
def streams() -> Iterator[tuple[Stream, Stream]]:
    both = sockets()
    yield both
    for stream in both:
        stream.close()


@pytest.fixture(params=[sockets, pipes])
def ends(request) -> Iterator[tuple[End, End]]:
    streams = request.param()
    one, other = map(End, streams, meet(*streams))
    yield one, other
    for end in (one, other):
        end.link.close("the test is over")
        assert end.link.join(10), "a link's thread did not end"


def echo(end: End) -> None:
    end.answer = lambda head, tail: end.link.post(head, (tail,) if tail else ())


def test_messages_arrive_in_order_and_whole(ends):
    one, other = ends
    sizes = [0, 1, 100, 70_000, 3 * MIB, 5]
    for number, size in enumerate(sizes):
        one.link.send(b"%d" % number, (os.urandom(size),) if size else ())
    assert [(head, len(tail)) for head, tail in (other.receive() for _ in sizes)] == [
        (b"%d" % number, size) for number, size in enumerate(sizes)
    ]


def test_who_waits_is_answered(ends):
    one, other = ends
    echo(other)
    for number in range(500):
        one.link.send(b"x%d" % number)
        assert one.receive() == (b"x%d" % number, b"")


def test_nobody_need_wait_for_things_to_be_delivered(ends):
    one, other = ends
    one.link.wait(Waiting(), lambda: False, 0.01)
    other.link.send(b"while nobody reads")
    wait_until(lambda: one.heard, what="the link's own thread to deliver")


def test_who_is_always_answered_at_once_is_stirred_all_the_same(ends):
    one, other = ends
    echo(other)
    one.link._patience = Impatient()
    stirred = one.stirred
    one.link.stir()
    for number in range(20):
        one.link.send(b"x%d" % number)
        assert one.receive() == (b"x%d" % number, b"")
    assert one.stirred > stirred


def test_many_threads_wait_each_for_its_own(ends):
    one, other = ends
    echo(other)
    heard: dict[bytes, int] = {}
    waiting: dict[bytes, Waiting] = {}

    def mine(head: bytes, tail: bytes) -> None:
        heard[head] = heard.get(head, 0) + 1
        waiting[head].wake()

    one.answer = mine
    failures: list[str] = []

    def ask(name: bytes) -> None:
        waiting[name] = Waiting()
        for number in range(1, 201):
            one.link.send(name)
            if not one.link.wait(waiting[name], lambda number=number: heard.get(name, 0) >= number, 20):
                failures.append(f"{name!r} was not answered {number} times")
                return

    threads = [threading.Thread(target=ask, args=(b"t%d" % number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert heard == {b"t%d" % number: 200 for number in range(6)}


def test_both_ends_may_send_more_than_fits_before_either_reads(ends):
    """No deadlock: neither a pipe that is full nor acknowledgements that can't go out stop the reader."""
    one, other = ends
    threads = [
        threading.Thread(target=lambda end=end: [end.link.send(b"much", (bytes(MIB),)) for _ in range(24)])
        for end in (one, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for end in (one, other):
        wait_until(lambda end=end: len(end.heard) == 24, 60, what="all to arrive")


def test_a_delivery_may_wait_for_an_answer(ends):
    """Nested, both ways, as calls with callbacks are."""
    one, other = ends
    depth = 20

    def ask_back(end: End) -> Callable[[bytes, bytes], None]:
        def answer(head: bytes, tail: bytes) -> None:
            number = int(head)
            if number < depth:
                end.link.post(b"%d" % (number + 1))
                reached = Waiting()
                end.waiting.append(reached)
                assert end.link.wait(reached, lambda: (b"%d" % depth, b"") in [*one.heard, *other.heard], 20)

        return answer

    one.answer, other.answer = ask_back(one), ask_back(other)
    one.link.send(b"0")
    wait_until(lambda: (b"%d" % depth, b"") in [*one.heard, *other.heard], 20, what="the deepest")


def test_a_wait_ends_in_time(ends):
    one, _ = ends
    began = time.monotonic()
    assert not one.link.wait(Waiting(), lambda: False, 0.05)
    assert 0.05 <= time.monotonic() - began < 5


def test_who_is_stirred_says_so(ends):
    one, _ = ends
    one.link.stir()
    wait_until(lambda: one.stirred, what="the reader to notice")


def test_what_was_sent_before_the_end_arrives(ends):
    one, other = ends
    for number in range(50):
        one.link.send(b"%d" % number, (bytes(10_000),))
    one.link.close("enough")
    wait_until(lambda: other.lost, what="the other end to hear of it")
    assert len(other.heard) == 50
    assert other.lost == ["the peer closed the connection"]
    with pytest.raises(PeerLost, match="closed"):
        other.link.send(b"too late")


@pytest.mark.parametrize("parts", [(), (b"alone",)], ids=["queued", "alone"])
def test_who_closes_waits_for_who_writes(ends, monkeypatch, parts):
    one, other = ends
    writes, goes_on = threading.Event(), threading.Event()
    write = os.write

    def held(descriptor: int, data: bytes) -> int:
        monkeypatch.undo()
        writes.set()
        assert goes_on.wait(20)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", held)
    sending = threading.Thread(target=one.link.send, args=(b"last", parts))
    sending.start()
    assert writes.wait(20)
    closing = threading.Thread(target=one.link.close, args=("enough", 60))
    closing.start()
    wait_until(lambda: one.link._writer._successors, what="the close to wait")
    goes_on.set()
    closing.join(20)
    assert not closing.is_alive(), "nobody woke it"
    wait_until(lambda: other.lost, what="the other end to hear of it")
    assert list(other.heard) == [(b"last", b"".join(parts))]
    sending.join(20)


def test_the_stream_is_closed_when_nobody_writes_to_it_any_more(streams, monkeypatch):
    one = End(streams[0], meet(*streams)[0])
    wrote, goes_on = threading.Event(), threading.Event()
    write = os.write

    def held(descriptor: int, data: bytes) -> int:
        count = write(descriptor, data)
        wrote.set()
        assert goes_on.wait(20)
        return count

    monkeypatch.setattr(os, "write", held)
    monkeypatch.setattr("dispycos.net.link._LAST_WRITE", 60)
    sending = threading.Thread(target=one.link.send, args=(b"last", (b"alone",)))
    sending.start()
    assert wrote.wait(20)
    streams[1].close()
    wait_until(lambda: one.link._writer._successors, what="the link to wait for who writes")
    assert os.fstat(streams[0].writer)
    goes_on.set()
    sending.join(20)
    assert one.link.join(20), "nobody woke it"


def test_who_closes_waits_for_room(streams):
    one = End(streams[0], meet(*streams)[0])
    one.link.post(b"much", (bytes(8 * MIB),))
    assert one.link._writer.behind
    closing = threading.Thread(target=one.link.close, args=("enough", 60))
    closing.start()
    came = 0
    while came < 8 * MIB:
        came += len(streams[1].read(MIB, time.monotonic() + 20))
    closing.join(20)
    assert not closing.is_alive()
    assert one.link.join(10)


def test_a_broken_stream_ends_every_wait(streams):
    meetings = meet(*streams)
    one = End(streams[0], meetings[0])
    ended: list[bool] = []
    threads = [
        threading.Thread(target=lambda: ended.append(one.link.wait(Waiting(), lambda: False, None)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    streams[1].close()  # as a killed process does
    for thread in threads:
        thread.join(10)
    assert ended == [False] * 4
    assert one.lost == ["the peer ended the stream"]
    assert one.link.join(10)


def test_a_peer_that_breaks_the_rules_is_lost(streams):
    meetings = meet(*streams)
    one = End(streams[0], meetings[0])
    os.write(streams[1].writer, b"\xff" * 100)
    wait_until(lambda: one.lost, what="the end")
    assert "broke the wire's rules" in one.lost[0]


def test_an_error_in_a_delivery_ends_the_link_and_says_so(ends):
    one, other = ends

    def fail(head: bytes, tail: bytes) -> None:
        raise ZeroDivisionError("of a delivery")

    other.answer = fail
    one.link.send(b"x")
    wait_until(lambda: other.lost and one.lost, what="both ends to hear of it")
    assert "ZeroDivisionError('of a delivery')" in other.lost[0]
    assert other.link.join(10)


def test_an_error_of_who_is_told_of_the_end_closes_the_stream_all_the_same(streams):
    meetings = meet(*streams)

    def fail(reason: str) -> None:
        raise ZeroDivisionError(reason)

    link = Link(streams[0], meetings[0], lambda head, tail: None, lambda: None, fail)
    link.start("a link under test")
    streams[1].close()
    assert link.join(10)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(streams[0].reader)


def test_who_is_interrupted_in_a_delivery_ends_the_link(ends):
    one, other = ends

    def interrupt(head: bytes, tail: bytes) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    one.answer = interrupt
    echo(other)
    with pytest.raises(KeyboardInterrupt):
        while one.link.over == "":
            one.link.send(b"x")
            one.link.wait(Waiting(), lambda: False, 0.2)
    wait_until(lambda: one.lost, what="the end")
    assert one.lost == ["interrupted in the middle of a message that was delivered: KeyboardInterrupt"]


@pytest.mark.rule("N7")
def test_what_is_sent_while_another_thread_writes_goes_out_with_it(ends, monkeypatch):
    one, other = ends
    write = os.write

    def slowly(descriptor: int, data: bytes) -> int:
        monkeypatch.undo()
        second = threading.Thread(target=one.link.send, args=(b"second", (b"2",)))
        second.start()
        second.join(20)
        assert not second.is_alive(), "it waits for who writes"
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", slowly)
    one.link.send(b"first", (b"1",))
    assert other.receive() == (b"first", b"1")
    assert other.receive() == (b"second", b"2")


def test_who_is_interrupted_while_it_writes_ends_the_link(ends, monkeypatch):
    one, other = ends

    def interrupted(descriptor: int, data: bytes) -> int:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.link.send(b"x", (b"1",))
    wait_until(lambda: one.lost and other.lost, what="the end of both")
    assert one.lost == ["interrupted in the middle of a message that was sent: KeyboardInterrupt"]
    with pytest.raises(PeerLost, match="interrupted"):
        one.link.send(b"y", (b"1",))


def test_who_is_interrupted_while_there_is_no_room_leaves_the_rest_to_the_reader(ends, monkeypatch):
    one, other = ends
    delivering, go = threading.Event(), threading.Event()

    def hold(head: bytes, tail: bytes) -> None:
        if head == b"hold":
            delivering.set()
            assert go.wait(20)

    # Who is in a delivery reads nothing, so there is no room in the end.
    other.answer = hold
    one.link.send(b"hold")
    assert delivering.wait(20)
    real = one.link._writer._wait_to_write

    def interrupt() -> None:
        monkeypatch.setattr(one.link._writer, "_wait_to_write", real)
        raise KeyboardInterrupt

    monkeypatch.setattr(one.link._writer, "_wait_to_write", interrupt)
    big = bytes(4 * MIB)
    with pytest.raises(KeyboardInterrupt):
        one.link.send(b"big", (big,))
    go.set()
    one.link.send(b"next")
    assert other.receive() == (b"hold", b"")
    assert other.receive() == (b"big", big)
    assert other.receive() == (b"next", b"")


def test_who_waits_for_a_month_waits(ends):
    one, other = ends
    echo(other)
    one.link.post(b"x")
    assert one.receive(30 * 86400) == (b"x", b"")


def test_another_key_is_refused_by_both(streams):
    one, other = streams
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(prove, other, keyfile.throwaway(), Limits(), dialer=False, timeout=10)
        with pytest.raises(AuthenticationError, match="does not know our key"):
            prove(one, keyfile.throwaway(), Limits(), dialer=True, timeout=10)
        with pytest.raises(AuthenticationError, match="not among ours"):
            listening.result(10)


def test_who_is_silent_is_not_waited_for(streams):
    with pytest.raises(Timeout, match=r"0\.1 s"):
        prove(streams[0], keyfile.throwaway(), Limits(), dialer=True, timeout=0.1)
