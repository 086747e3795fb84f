"""Channels between two processes: what goes through them, and what ends them."""

from __future__ import annotations

import gc
import queue
import threading
import time

import pytest

from dispycos.errors import PeerLost
from dispycos.gateways import DumpError, RemoteError
from tests.helpers import wait_until

ECHO = "for item in channel: channel.send(item)"
PLAIN = [
    None, True, -1, 2**100, 1.5, 3j, "text \N{SNOWMAN} \udc80", b"bytes", bytearray(b"array"),
    [1, [2]], (), {"a": (1, 2)}, {1, 2}, frozenset("ab"), b"x" * 100_000,
    {"deep": [{"deeper": [b"y" * 5000]}]},
]  # fmt: skip


@pytest.mark.row("EX-09")
def test_plain_values_come_back_as_they_went(gateway):
    channel = gateway.remote_exec(ECHO)
    for item in PLAIN:
        channel.send(item)
        back = channel.receive(10)
        assert back == item and type(back) is type(item)


@pytest.mark.row("EX-09")
@pytest.mark.parametrize("item", [object(), [len], {"a": Exception()}, type("Mine", (int,), {})(3), range(3)])
def test_what_is_not_plain_is_refused_where_it_is_sent(gateway, item):
    channel = gateway.remote_exec(ECHO)
    with pytest.raises(DumpError, match="plain"):
        channel.send(item)
    channel.send("still open")
    assert channel.receive(10) == "still open"


@pytest.mark.row("EX-09")
def test_nothing_is_sent_through_a_closed_channel(gateway):
    channel = gateway.remote_exec("pass")
    channel.waitclose(10)
    with pytest.raises(OSError, match="closed"):
        channel.send(1)


@pytest.mark.row("EX-10")
def test_items_come_before_the_error_that_followed_them(gateway):
    channel = gateway.remote_exec("channel.send(1); channel.send(2); raise ValueError('planted')")
    assert [channel.receive(10), channel.receive(10)] == [1, 2]
    with pytest.raises(channel.RemoteError, match="planted") as caught:
        channel.receive(10)
    assert "ValueError" in caught.value.formatted
    with pytest.raises(EOFError):
        channel.receive(10)


@pytest.mark.row("EX-10")
def test_receive_gives_up_after_its_timeout_and_takes_nothing(gateway):
    channel = gateway.remote_exec("channel.receive(); channel.send('late')")
    began = time.monotonic()
    with pytest.raises(channel.TimeoutError, match=r"waited 0\.05 s for an item"):
        channel.receive(0.05)
    assert time.monotonic() - began >= 0.05
    channel.send(None)
    assert channel.receive(10) == "late"


@pytest.mark.row("EX-10")
def test_threads_that_wait_on_one_channel_get_an_item_each(gateway):
    channel = gateway.remote_exec("for number in channel.receive(): channel.send(number)")
    got: queue.Queue[object] = queue.Queue()

    def take() -> None:
        for _ in range(50):
            try:
                got.put(channel.receive(20))
            except BaseException as exc:
                got.put(exc)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    channel.send(list(range(200)))
    for thread in threads:
        thread.join(30)
    assert sorted(got.get(timeout=1) for _ in range(200)) == list(range(200))


@pytest.mark.row("EX-11")
def test_waitclose_waits_and_leaves_the_items(gateway):
    channel = gateway.remote_exec("channel.send(1); channel.receive()")
    with pytest.raises(channel.TimeoutError, match="for the end"):
        channel.waitclose(0.05)
    channel.send(None)
    channel.waitclose(10)
    assert channel.receive(10) == 1


@pytest.mark.row("EX-11")
def test_waitclose_raises_what_the_remote_code_raised(gateway):
    channel = gateway.remote_exec("channel.send(1); raise ValueError('planted')")
    with pytest.raises(RemoteError, match="planted"):
        channel.waitclose(10)
    assert channel.receive(10) == 1


@pytest.mark.row("EX-12")
def test_close_wakes_the_remote_receive_with_the_end(gateway):
    told = gateway.newchannel()
    channel = gateway.remote_exec(
        """
        told = channel.receive()
        try:
            channel.receive()
        except EOFError as exc:
            told.send(type(exc).__name__)
        """
    )
    channel.send(told)
    channel.close()
    channel.close()
    assert told.receive(10) == "EOFError"
    assert channel.isclosed()
    with pytest.raises(EOFError):
        channel.receive(10)


@pytest.mark.row("EX-12")
def test_close_with_an_error_raises_it_at_the_other_end(gateway):
    told = gateway.newchannel()
    channel = gateway.remote_exec(
        """
        told = channel.receive()
        try:
            channel.receive()
        except channel.RemoteError as exc:
            told.send(str(exc))
        """
    )
    channel.send(told)
    channel.close("planted here")
    assert told.receive(10) == "planted here"


@pytest.mark.row("EX-12")
def test_remote_code_can_not_close_the_channel_it_was_given(gateway):
    channel = gateway.remote_exec(
        """
        try:
            channel.close()
        except OSError as exc:
            channel.send(str(exc))
        """
    )
    assert "its end closes it" in channel.receive(10)


@pytest.mark.row("EX-14")
def test_a_channel_is_iterated_until_it_is_closed(gateway):
    channel = gateway.remote_exec("for number in range(100): channel.send(number)")
    assert list(channel) == list(range(100))
    assert list(channel) == []


@pytest.mark.row("EX-14", "EX-17")
@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_items_of_a_far_end_that_dies_are_not_taken_for_all(group, end):
    gateway = group.makegateway("popen")
    channel = gateway.remote_exec(f"import os; channel.send('a\\n'); channel.send(2); {end}")
    file = channel.makefile("r")
    assert file.readline() == "a\n" and next(channel) == 2
    for read in (lambda: next(channel), file.readline, lambda: list(channel)):
        with pytest.raises(PeerLost, match="is at its end"):
            read()


@pytest.mark.row("EX-25")
def test_a_callback_gets_what_waits_and_then_what_comes(gateway):
    channel = gateway.remote_exec(
        """
        for number in range(50): channel.send(number)
        channel.receive()
        for number in range(50, 100): channel.send(number)
        """
    )
    got: queue.Queue[object] = queue.Queue()
    wait_until(lambda: len(channel._items) == 50, what="fifty items that wait")
    channel.setcallback(got.put, endmarker="end")
    with pytest.raises(OSError, match="callback"):
        channel.receive()
    with pytest.raises(OSError, match="callback already"):
        channel.setcallback(print)
    channel.send(None)
    assert [got.get(timeout=10) for _ in range(101)] == [*range(100), "end"]
    assert got.empty()


@pytest.mark.row("EX-25")
def test_a_callback_outlives_the_channel_it_was_set_on(gateway):
    got: queue.Queue[object] = queue.Queue()
    channel = gateway.remote_exec("other = channel.receive()\nfor n in range(9): other.send(n)\n")
    other = gateway.newchannel()
    other.setcallback(got.put, endmarker=None)
    channel.send(other)
    del other
    gc.collect()
    assert [got.get(timeout=10) for _ in range(10)] == [*range(9), None]


@pytest.mark.row("EX-25")
def test_a_callback_that_fails_closes_the_channel_and_the_other_end_is_told(gateway, caplog):
    def fails(item):
        raise ValueError(f"can't take {item}")

    told = gateway.newchannel()
    channel = gateway.remote_exec(
        """
        told = channel.receive()
        channel.send(7)
        try:
            channel.waitclose()
        except channel.RemoteError as exc:
            told.send(str(exc))
        """
    )
    channel.setcallback(fails)
    channel.send(told)
    assert "can't take 7" in told.receive(10)
    assert "callback of a channel failed" in caplog.text


@pytest.mark.row("EX-25")
def test_items_that_come_while_a_callback_is_set_are_not_lost(gateway):
    for _ in range(20):
        channel = gateway.remote_exec("for number in range(200): channel.send(number)")
        got: list[object] = []
        ended = threading.Event()
        channel.receive(10)
        channel.setcallback(
            lambda item, got=got, ended=ended: ended.set() if item is None else got.append(item), None
        )
        assert ended.wait(10)
        assert got == list(range(1, 200))


@pytest.mark.row("EX-26")
def test_a_channel_that_is_sent_arrives_as_the_live_channel(gateway):
    channel = gateway.remote_exec(
        """
        ours = channel.gateway.newchannel()
        channel.send({"made": [ours]})
        same = channel.receive()["back"]
        channel.send(same is ours)
        ours.send("through it")
        """
    )
    (theirs,) = channel.receive(10)["made"]
    channel.send({"back": theirs})
    assert channel.receive(10) is True
    assert theirs.receive(10) == "through it"
    assert theirs.gateway is gateway and theirs == theirs and theirs != channel


@pytest.mark.row("EX-26")
def test_a_channel_of_another_gateway_is_not_plain(gateway, group):
    other = group.makegateway("popen").newchannel()
    with pytest.raises(DumpError, match="Channel"):
        gateway.remote_exec(ECHO).send(other)


@pytest.mark.row("EX-26")
def test_a_channel_is_a_file_for_print_and_for_reading(gateway):
    channel = gateway.remote_exec(
        """
        file = channel.makefile("w")
        print("first", 1, file=file)
        file.writelines(["second\\n", "third"])
        """
    )
    reader = channel.makefile("r")
    assert reader.readline() == "first 1\n"
    assert reader.read(3) == "sec"
    assert list(reader) == ["ond\n", "third"]
    assert reader.read() == ""

    channel = gateway.remote_exec("channel.send(channel.makefile('r').read(5))")
    with pytest.raises(ValueError, match="'r' or 'w'"):
        channel.makefile("rw")
    channel.makefile("w").write("12345678")
    assert channel.receive(10) == "12345"


@pytest.mark.row("EX-26")
def test_a_file_closes_its_channel_if_it_was_made_to(gateway):
    channel = gateway.newchannel()
    channel.makefile("w").close()
    assert not channel.isclosed()
    channel.makefile("w", proxyclose=True).close()
    assert channel.isclosed()


def test_a_dropped_channel_is_closed_at_the_other_end(gateway):
    channel = gateway.remote_exec(
        """
        other = channel.receive()
        other.waitclose(10)
        channel.send("closed")
        """
    )
    other = gateway.newchannel()
    channel.send(other)
    del other
    gc.collect()
    assert channel.receive(10) == "closed"


@pytest.mark.row("EX-20")
def test_files_of_any_size_are_served(gateway, tmp_path):
    sizes = [0, 1, 4095, 4096, 100_000, 20_000_000]
    for number, size in enumerate(sizes):
        (tmp_path / str(number)).write_bytes(bytes([number]) * size)
    channel = gateway.remote_exec(
        """
        for fn in channel:
            f = open(fn, 'rb')
            channel.send(f.read())
            f.close()
        """
    )
    for number, size in enumerate(sizes):
        channel.send(str(tmp_path / str(number)))
        assert channel.receive(30) == bytes([number]) * size
