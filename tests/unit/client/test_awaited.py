"""Waiting for servers: when there are enough, when there never will be, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from dispycos import messages as m
from dispycos.client import orders as o
from dispycos.errors import Closed, PeerLost, TaskRejected, Timeout
from dispycos.events import Note, PeerSuspect
from dispycos.model import Location
from tests.unit.bench import who
from tests.unit.test_fleet import LIMITS, N2, OUR, RESERVATION, S1, S2, SCHEDULER, Bench, facts, running


def there(bench: Bench) -> dict[int, tuple[Location, ...]]:
    return {answer.ticket: answer.servers for answer in bench.found(o.ServersThere)}


def missing(bench: Bench) -> tuple[Any, str]:
    (answer,) = bench.found(o.ServersMissing)
    return answer.error, answer.reason


@pytest.mark.row("DC-60")
def test_who_waits_is_answered_once_when_there_are_enough() -> None:
    bench = Bench().schedule()
    one, two, three = (bench.order(o.AwaitServers, count) for count in (1, 2, 3))
    bench.prepared().ready("s1", 1)
    assert there(bench) == {one: (S1,)}
    bench.start("s2", 2)
    assert not there(bench)
    bench.hear(who("s2"), m.ServerReady(1, "s2"))
    assert there(bench) == {two: (S1, S2)}
    # Where there are enough already the answer is at once, and all that are there are in it.
    ticket = bench.order(o.AwaitServers, 1)
    assert there(bench) == {ticket: (S1, S2)}
    assert bench.fleet.prospects.awaited.most == 3
    bench.feed(o.AwaitNoMore(three))
    assert bench.fleet.prospects.awaited.most == 0
    bench.grant("n2", N2).reach("n2", N2)
    bench.hear(who("n2"), m.Prepared(RESERVATION, 1))
    bench.ready("s3", 1, "n2", N2)
    assert not there(bench)


@pytest.mark.row("DC-60")
def test_a_server_counts_while_it_would_get_a_task() -> None:
    bench = running()
    bench.order(o.Suspend, S1, False)
    bench.feed(PeerSuspect(who("s2")))
    ticket = bench.order(o.AwaitServers, 1)
    assert not there(bench)
    bench.order(o.Resume, S1, False)
    assert there(bench) == {ticket: (S1,)}


@pytest.mark.row("DC-60")
@pytest.mark.rule("S6")
def test_who_has_waited_for_long_enough_is_told_how_many_there_are_and_why_no_more() -> None:
    bench = Bench(silence=0.0).schedule()
    bench.order(o.AwaitServers, 4, 5.0)
    bench.order(o.AwaitServers, 4, 20.0)
    bench.wait(5.0)
    call = r"client.wait_for_servers(4) was not done in"
    assert missing(bench) == (Timeout, f"{call} 5 s: there is none: no node was granted")
    bench.prepared().ready("s1", 1).start("s2", 2)
    bench.wait(15.0)
    setting_up = "node n1 at 10.0.0.1:9706 has 1 of 2: server 10.0.0.1:9708 is setting up"
    assert missing(bench) == (Timeout, f"{call} 20 s: there is 1: {setting_up}")
    bench.hear(who("s2"), m.ServerReady(1, "s2"))
    bench.order(o.AwaitServers, 4, 0.0)
    bench.wait(0.0)
    assert missing(bench)[1] == f"{call} 0 s: there are 2: no node was granted but n1"
    bench.hear(SCHEDULER, m.NodeIgnored(RESERVATION, facts("n2", N2), "no rule takes it"))
    assert "the last one ignored: node n2: no rule takes it" in bench.fleet.prospects.why_no_more(bench.now)


@pytest.mark.row("DC-60", "R-33")
def test_the_log_says_what_is_waited_for_also_where_some_are_there() -> None:
    bench = running(silence=0.0)
    bench.wait(LIMITS.visible_wait)
    assert not bench.found(Note)
    ticket = bench.order(o.AwaitServers, 4)
    bench.wait(LIMITS.visible_wait)
    (note,) = bench.found(Note)
    assert "waits: 4 servers are wanted; there are 2: no node was granted but n1" in note.text
    bench.feed(o.AwaitNoMore(ticket))
    bench.wait(LIMITS.visible_wait_again)
    assert not bench.found(Note)


@pytest.mark.row("DC-60")
def test_the_end_of_the_turn_ends_the_wait() -> None:
    bench = running()
    bench.order(o.AwaitServers, 4)
    bench.order(o.CloseAll, False)
    assert missing(bench) == (Closed, "client.wait_for_servers(4): the client closes")
    bench.order(o.AwaitServers, 1)
    assert missing(bench)[0] is Closed
    bench = running()
    bench.order(o.AwaitServers, 4)
    bench.hear(SCHEDULER, m.ClientEnded(RESERVATION, "it ran nothing for too long"))
    assert missing(bench)[0] is PeerLost and "it ran nothing for too long" in missing(bench)[1]
    bench.order(o.AwaitServers, 1)
    assert missing(bench)[0] is Closed


@pytest.mark.row("DC-60", "R-99")
@pytest.mark.parametrize("lasting", [True, False])
def test_where_no_node_comes_from_this_program_nobody_waits_for_servers(lasting: bool) -> None:
    bench = Bench().schedule_ourselves()
    bench.order(o.AwaitServers, 1)
    bench.feed(o.NoNodes("h1: unknown option", lasting))
    assert missing(bench) == (TaskRejected, "client.wait_for_servers(1): h1: unknown option")
    ticket = bench.order(o.AwaitServers, 1)
    assert [answer.ticket for answer in bench.found(o.ServersMissing)] == [ticket] * lasting
    bench.feed(o.NoNodes(""))
    bench.order(o.AwaitServers, 1)
    bench.hear(OUR, m.NodeGranted(RESERVATION, 1, facts(), 2, 1.0))
    assert not bench.found(o.ServersMissing)
