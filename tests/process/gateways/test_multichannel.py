"""Several channels and gateways as one."""

from __future__ import annotations

import os
import signal

import pytest

from dispycos.errors import PeerLost
from dispycos.gateways import Group, MultiChannel, PopenGateway, RemoteError
from tests.helpers import alive, wait_until


@pytest.fixture(scope="module")
def pair():
    made = Group(["popen//id=first", "popen//id=second"])
    yield made
    made.terminate(5)


@pytest.mark.row("EX-18")
def test_each_gets_an_item_and_each_answers(pair):
    channels = pair.remote_exec("channel.send(channel.receive() + 1); import os; channel.send(os.getpid())")
    channels.send_each(41)
    assert channels.receive_each() == [42, 42]
    told = channels.receive_each(withchannel=True)
    assert [channel for channel, _ in told] == list(channels)
    assert told[0][1] != told[1][1]
    channels.waitclose()


@pytest.mark.row("EX-18")
def test_a_multichannel_is_a_container_in_the_order_given(pair):
    channels = [gateway.newchannel() for gateway in pair]
    multi = MultiChannel(channels)
    assert len(multi) == 2 and list(multi) == channels
    assert multi[1] is channels[1] and channels[0] in multi and pair[0].newchannel() not in multi


@pytest.mark.row("EX-18")
def test_waitclose_waits_for_all_and_raises_the_first_error(pair):
    first = pair[0].remote_exec("channel.receive(); raise ValueError('first')")
    second = pair[1].remote_exec("raise ValueError('second')")
    third = pair[0].remote_exec("channel.receive()")
    with pytest.raises(TimeoutError):
        second.gateway.remote_exec("channel.receive()").waitclose(0.01)
    first.send(None)
    third.send(None)
    with pytest.raises(RemoteError, match="first"):
        MultiChannel([first, second, third]).waitclose()
    assert all(channel.isclosed() for channel in (first, second, third))


@pytest.mark.row("EX-19")
def test_a_queue_tells_which_channel_an_item_came_from(pair):
    one = pair[0].remote_exec("channel.send(1)")
    other = pair[1].remote_exec("channel.send(2); channel.send(3)")
    queue = MultiChannel([one, other]).make_receive_queue(endmarker="end")
    got = [queue.get(timeout=10) for _ in range(5)]
    assert [item for channel, item in got if channel is one] == [1, "end"]
    assert [item for channel, item in got if channel is other] == [2, 3, "end"]
    assert queue.empty()
    with pytest.raises(OSError, match="callback"):
        one.receive()


@pytest.mark.row("EX-19")
def test_without_an_end_marker_nothing_but_items_comes(pair):
    channels = pair.remote_exec("channel.send(1)")
    queue = channels.make_receive_queue()
    channels.waitclose()
    assert [queue.get(timeout=10)[1] for _ in range(2)] == [1, 1]
    assert queue.empty()


@pytest.mark.row("EX-19")
def test_what_nobody_gets_from_a_queue_makes_the_sender_wait(pair):
    channel = pair[0].remote_exec(
        """
        done = channel.receive()
        for number in range(300):
            channel.send(b"x" * 100_000)
            done.send(number)
        """
    )
    done = pair[0].newchannel()
    channel.send(done)
    queue = MultiChannel([channel]).make_receive_queue(endmarker=None)
    for _ in range(30):
        done.receive(10)
    with pytest.raises(TimeoutError):
        while True:
            done.receive(0.3)
    assert queue.qsize() < 100
    pieces = 0
    while queue.get(timeout=10)[1] is not None:
        pieces += 1
    assert pieces == 300


@pytest.mark.row("EX-23")
def test_a_group_knows_its_gateways_by_number_and_id(pair):
    assert [gateway.id for gateway in pair] == ["first", "second"]
    assert pair[1] is pair["second"] and len(pair) == 2
    assert "first" in pair and pair[0] in pair and "third" not in pair
    with pytest.raises(KeyError):
        pair["third"]
    with pytest.raises(IndexError):
        pair[2]
    with pytest.raises(ValueError, match="'first' already"):
        pair.makegateway("popen//id=first")
    assert repr(pair) == "<Group ['first', 'second']>"


@pytest.mark.row("EX-23")
def test_a_gateway_that_exits_leaves_its_group(group):
    kept, gone = group.makegateway("popen"), group.makegateway("popen")
    gone.exit()
    assert list(group) == [kept]
    with pytest.raises(KeyError):
        group[gone.id]
    assert gone.join(10) and not gone.hasreceiver()
    assert group.makegateway(f"popen//id={gone.id}").remote_exec("channel.send(1)").receive(10) == 1


@pytest.mark.row("EX-16")
def test_a_specification_says_which_kind_of_gateway(group):
    group.defaultspec = "popen//id=default"
    gateway = group.makegateway()
    assert type(gateway) is PopenGateway and gateway.id == "default"
    for spec in ("nowhere", "id=3", "popen//ssh=host", "popen//execmodel=gevent"):
        with pytest.raises(ValueError):
            group.makegateway(spec)
    assert len(group) == 1


@pytest.mark.row("EX-23")
def test_terminate_ends_who_does_not_listen_after_the_timeout(group):
    specs = ["popen"] * 3
    for spec in specs:
        group.makegateway(spec)
    stubborn = """
        import os, signal, threading, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        channel.send(os.getpid())
        while True:
            try:
                time.sleep(100)
            except BaseException:
                pass
        """
    pids = group.remote_exec(stubborn).receive_each()
    assert all(map(alive, pids))
    group.terminate(0.3)
    assert not any(map(alive, pids))
    assert len(group) == 0


@pytest.mark.row("EX-23")
def test_terminate_finds_far_ends_that_are_gone_or_stopped(group):
    gateways = [group.makegateway("popen") for _ in range(2)]
    pids = [gateway._rinfo().pid for gateway in gateways]
    os.kill(pids[0], signal.SIGKILL)
    os.kill(pids[1], signal.SIGSTOP)
    wait_until(lambda: not gateways[0].hasreceiver(), what="the killed far end to be noticed")
    with pytest.raises(PeerLost):
        gateways[0].remote_exec("pass").waitclose(10)
    group.terminate(0.3)
    assert not any(map(alive, pids))
