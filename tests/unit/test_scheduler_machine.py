"""The scheduler's machine: whose turn it is, who is granted what, who is told why it waits."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from typing import Any

import pytest

from dispycos import messages as m
from dispycos.config import Limits
from dispycos.errors import InternalError
from dispycos.events import (
    Dial,
    DialFailed,
    Heard,
    Note,
    PeerBack,
    PeerGone,
    PeerSuspect,
    PeerUp,
    Say,
    StopDialling,
)
from dispycos.model import Incarnation, Location, Role
from dispycos.scheduler import events as s
from dispycos.scheduler import survey
from dispycos.scheduler.machine import CHANGED, SchedulerMachine
from dispycos.scheduler.roster import ClientState, NodeState
from tests.unit.bench import MachineBench, who

LIMITS = Limits(max_queued_clients=3, max_client_rules=4)
OUR = Incarnation(b"scheduler.......")
PULSE = 1.0
Z = 5 * PULSE
HOLD = 100.0


def facts(number: int, **values: Any) -> m.NodeFacts:
    described = {"platform": "Linux", "python": "3.11", "cpus": 2, "avail": m.Avail(memory=1000), **values}
    return m.NodeFacts(who(f"n{number}"), Location(f"10.0.0.{number}", 9706), f"n{number}", **described)


def rule(node: str = "*", *, asks: bool = False, memory: int = 0, cpus: int = 0) -> m.Rule:
    return m.Rule(node, 9706, "", cpus, memory, 0, asks)


class Bench(MachineBench[SchedulerMachine]):
    """A scheduler, and what it answered last."""

    def __init__(self, **options: Any) -> None:
        numbers = itertools.count(1)
        super().__init__(SchedulerMachine(OUR, LIMITS, reservation_numbers=numbers, hold=HOLD, **options))

    # Parties.

    def node(self, number: int = 1, **values: Any) -> Bench:
        here = facts(number, **values)
        self.feed(PeerUp(here.incarnation, Role.NODE, here.location))
        self.hear(here.incarnation, m.NodeHere(here, 0, 0, [], True))
        return self

    def free(self, number: int = 1, *, open: bool = True) -> Bench:
        self.hear(who(f"n{number}"), m.NodeHere(facts(number), 0, 0, [], open))
        return self

    def client(self, name: str = "c1", ticket: int = 1, *rules: m.Rule, **values: Any) -> Bench:
        peer = who(name)
        if peer not in self.machine._clients.connected:
            self.feed(PeerUp(peer, Role.CLIENT, None))
        options = {"zombie_period": Z, "abandon_zombies": False, **values}
        self.hear(peer, m.Schedule(ticket, name, None, list(rules), PULSE, **options))
        return self

    def reserved(self, number: int = 1) -> Bench:
        self.hear(who(f"n{number}"), m.Reserved(self.turn, PULSE))
        return self

    def released(self, number: int = 1, reservation: int | None = None) -> Bench:
        node = self.machine.nodes[who(f"n{number}")]
        self.hear(node.incarnation, m.Released(reservation or self.turn, "", node.lease))
        out = self.out
        self.free(number)
        self.out = out + self.out
        return self

    def pulse(self, number: int = 1, reservation: int | None = None) -> Bench:
        self.hear(
            who(f"n{number}"), m.Pulse(self.turn if reservation is None else reservation, m.Avail(), [])
        )
        return self

    @property
    def turn(self) -> int:
        return self.machine.active.reservation if self.machine.active else 0

    def state(self, number: int = 1) -> NodeState:
        return self.machine.nodes[who(f"n{number}")].state


def granted(**options: Any) -> Bench:
    """One client with one node."""
    bench = Bench(**options).node().client()
    assert len(bench.said_to(who("n1"), m.Reserve)) == 1
    return bench.reserved()


# Turns.


@pytest.mark.row("MO-37")
def test_each_client_is_told_what_its_monitor_is_to_hide() -> None:
    bench = Bench(redact=("pass*", "token")).client("c1")
    assert bench.said_to(who("c1"), m.Scheduled) == [m.Scheduled(1, 1, ["pass*", "token"])]
    bench.client("c2").hear(who("c1"), m.CloseClient(1))
    assert bench.said_to(who("c2"), m.Scheduled) == [m.Scheduled(1, 2, ["pass*", "token"])]


@pytest.mark.row("DS-20", "DC-15")
def test_the_first_client_is_scheduled_at_once_and_the_others_wait_in_order() -> None:
    bench = Bench().client("c1")
    assert bench.said_to(who("c1"), m.Scheduled) == [m.Scheduled(1, 1)]
    bench.client("c2")
    (queued,) = bench.said_to(who("c2"), m.Queued)
    assert queued.place == 1
    assert "client c1 holds the cluster" in queued.reason
    bench.client("c3")
    assert bench.said_to(who("c3"), m.Queued)[0].place == 2
    bench.hear(who("c1"), m.CloseClient(1))
    assert bench.said_to(who("c1"), m.ClientEnded)
    assert bench.said_to(who("c2"), m.Scheduled) == [m.Scheduled(1, 2)]
    assert bench.said_to(who("c3"), m.Queued)[0].place == 1


@pytest.mark.row("DS-20", "R-78")
def test_a_queued_client_that_dies_leaves_the_queue() -> None:
    bench = Bench().client("c1").client("c2").client("c3")
    bench.feed(PeerGone(who("c2"), "refused"))
    assert bench.said_to(who("c3"), m.Queued)[0].place == 1
    bench.feed(PeerGone(who("c1"), "refused"))
    assert bench.said_to(who("c3"), m.Scheduled)


@pytest.mark.row("DC-15")
def test_a_client_may_leave_the_queue_or_its_turn_by_its_ticket() -> None:
    bench = Bench().client("c1").client("c2").client("c2", 2)
    bench.hear(who("c2"), m.Unschedule(1))
    assert len(bench.machine.queue) == 1
    bench.hear(who("c1"), m.Unschedule(1))
    assert bench.said_to(who("c2"), m.Scheduled) == [m.Scheduled(2, 3)]


def test_several_clients_of_one_process_take_turns() -> None:
    bench = Bench().client("c1", 1).client("c1", 2)
    assert bench.said_to(who("c1"), m.Queued)[0].ticket == 2
    bench.feed(PeerGone(who("c1"), "refused"))
    assert not bench.machine.queue
    assert bench.machine.active is None


@pytest.mark.rule("N4")
def test_a_full_queue_refuses_with_the_reason() -> None:
    bench = Bench()
    for number in range(1, 6):
        bench.client(f"c{number}")
    (refused,) = bench.said_to(who("c5"), m.ScheduleRefused)
    assert "3 clients wait already" in refused.reason


@pytest.mark.rule("N4")
def test_more_rules_than_allowed_are_ignored() -> None:
    bench = Bench().client("c1")
    for _ in range(6):
        bench.hear(who("c1"), m.AddRule(1, rule("1.*")))
    assert bench.machine.active is not None
    assert len(bench.machine.active.rules) == 4


# Grants.


@pytest.mark.row("DS-22", "R-76")
@pytest.mark.parametrize("first", ["node", "client"])
def test_a_node_is_granted_whichever_comes_first(first: str) -> None:
    bench = Bench().node().client() if first == "node" else Bench().client().node()
    (reserve,) = bench.said_to(who("n1"), m.Reserve)
    assert (reserve.client, reserve.servers, reserve.lease_time, reserve.hold) == (who("c1"), 2, Z, HOLD)
    kept = [type(action) for action in bench.out if isinstance(action, s.KeepLease | Say)]
    assert kept.index(s.KeepLease) < [
        getattr(a, "message", None) for a in bench.out if isinstance(a, s.KeepLease | Say)
    ].index(reserve)
    assert not bench.said_to(who("c1"), m.NodeGranted)
    bench.reserved()
    (grant,) = bench.said_to(who("c1"), m.NodeGranted)
    assert (grant.facts.incarnation, grant.lease, grant.servers) == (who("n1"), reserve.lease, 2)


@pytest.mark.row("R-35")
@pytest.mark.rule("S2")
def test_lease_numbers_only_rise_also_above_what_nodes_have_seen() -> None:
    bench = Bench()
    bench.feed(PeerUp(who("n1"), Role.NODE, None))
    bench.hear(who("n1"), m.NodeHere(facts(1), 0, 41, [], True))
    bench.client()
    assert bench.said_to(who("n1"), m.Reserve)[0].lease == 42
    bench.node(2)
    assert bench.said_to(who("n2"), m.Reserve)[0].lease == 43


@pytest.mark.row("R-78")
def test_a_released_node_goes_to_the_next_client_once_it_says_that_it_is_free() -> None:
    bench = granted().client("c2")
    bench.hear(who("c1"), m.CloseClient(1))
    (release,) = bench.said_to(who("n1"), m.Release)
    assert release.lease == 1
    assert not bench.said_to(who("c1"), m.ClientEnded), "the node has not let go"
    bench.hear(who("n1"), m.Released(1, "", 1))
    assert bench.said_to(who("c1"), m.ClientEnded)
    assert bench.said_to(who("c2"), m.Scheduled)
    assert not bench.said_to(who("n1"), m.Reserve)
    bench.free()
    assert bench.said_to(who("n1"), m.Reserve)[0].client == who("c2")


@pytest.mark.row("R-47")
def test_a_node_that_does_not_let_go_delays_the_end_only_so_long() -> None:
    bench = granted()
    bench.hear(who("c1"), m.CloseClient(1))
    bench.wait(LIMITS.grace + LIMITS.request_timeout)
    assert bench.said_to(who("c1"), m.ClientEnded)
    assert any("n1" in note.text for note in bench.found(Note))
    assert bench.state() is NodeState.RELEASING


@pytest.mark.row("R-47", "DC-44")
def test_a_silent_node_is_not_waited_for_at_the_end_of_a_turn() -> None:
    bench = granted()
    bench.feed(PeerSuspect(who("n1")))
    bench.hear(who("c1"), m.CloseClient(1))
    assert bench.said_to(who("c1"), m.ClientEnded)
    assert bench.said_to(who("n1"), m.Release), "it hears of it when it is back"


def test_a_refused_reservation_waits_for_the_node_to_say_that_it_is_free() -> None:
    bench = Bench().node().client()
    bench.hear(who("n1"), m.ReserveRefused(1, "it serves another client"))
    (ignored,) = bench.said_to(who("c1"), m.NodeIgnored)
    assert "another client" in ignored.reason
    assert bench.state() is NodeState.SUSPENDED
    bench.free()
    assert bench.said_to(who("n1"), m.Reserve)[0].lease == 2


@pytest.mark.row("R-70")
def test_a_node_that_never_answers_a_reservation_is_told_to_let_go() -> None:
    bench = Bench().node().client()
    bench.wait(LIMITS.request_timeout)
    assert bench.said_to(who("n1"), m.Release)
    assert bench.state() is NodeState.RELEASING
    bench.reserved()
    assert not bench.said_to(who("c1"), m.NodeGranted), "too late"


@pytest.mark.row("DN-24")
def test_a_closed_node_is_not_granted_until_it_opens() -> None:
    bench = Bench().node().free(open=False).client()
    assert not bench.said_to(who("n1"), m.Reserve)
    assert bench.state() is NodeState.SUSPENDED
    bench.free(open=True)
    assert bench.said_to(who("n1"), m.Reserve)


@pytest.mark.row("R-12")
def test_a_suspect_node_is_not_granted_until_it_is_back() -> None:
    bench = Bench().node()
    bench.feed(PeerSuspect(who("n1")))
    bench.client()
    assert not bench.said_to(who("n1"), m.Reserve)
    bench.feed(PeerBack(who("n1")))
    assert bench.said_to(who("n1"), m.Reserve)


# Rules.


@pytest.mark.row("ST-13", "ST-03")
def test_a_node_that_no_rule_takes_is_ignored_once_with_the_reason() -> None:
    bench = Bench().client("c1", 1, rule("10.9.*")).node()
    (ignored,) = bench.said_to(who("c1"), m.NodeIgnored)
    assert "10.9.*" in ignored.reason
    bench.free()
    assert not bench.said_to(who("c1"), m.NodeIgnored)


@pytest.mark.row("DC-36")
def test_an_added_rule_is_applied_to_nodes_ignored_before() -> None:
    bench = Bench().node().client("c1", 1, rule("10.9.*"))
    bench.hear(who("c1"), m.AddRule(1, rule("10.0.0.1")))
    assert bench.said_to(who("n1"), m.Reserve)
    assert bench.found(Dial) == [Dial(Location("10.0.0.1", 9706))]


def test_a_node_with_too_little_memory_is_taken_when_it_has_more() -> None:
    bench = Bench().node().client("c1", 1, rule(memory=2000))
    assert bench.said_to(who("c1"), m.NodeIgnored)
    bench.hear(who("n1"), m.Pulse(0, m.Avail(memory=3000), []))
    assert bench.said_to(who("n1"), m.Reserve)


@pytest.mark.row("ST-13")
@pytest.mark.rule("S5")
def test_a_clients_own_rule_is_asked_there() -> None:
    bench = Bench().node().client("c1", 1, rule("1.*"), rule(asks=True))
    (asked,) = bench.said_to(who("c1"), m.AskAllocate)
    assert (asked.rule, asked.facts.name) == (1, "n1")
    bench.hear(who("stranger"), m.Allocated(asked.question, 2))
    assert not bench.out
    bench.hear(who("c1"), m.Allocated(asked.question, 1))
    assert bench.said_to(who("n1"), m.Reserve)[0].servers == 1
    bench.hear(who("c1"), m.Allocated(asked.question, 1))
    assert not bench.out


@pytest.mark.row("ST-13")
@pytest.mark.rule("S5")
def test_no_answer_in_ten_seconds_counts_as_a_failed_rule() -> None:
    bench = Bench().node().client("c1", 1, rule(asks=True), rule(cpus=1))
    bench.wait(LIMITS.request_timeout)
    assert bench.said_to(who("n1"), m.Reserve)[0].servers == 1


def test_a_question_about_a_lost_node_is_forgotten() -> None:
    bench = Bench().node().client("c1", 1, rule(asks=True))
    (asked,) = bench.said_to(who("c1"), m.AskAllocate)
    bench.feed(PeerGone(who("n1"), "refused"))
    bench.hear(who("c1"), m.Allocated(asked.question, 2))
    assert not bench.out


@pytest.mark.row("DC-05")
def test_concrete_rules_are_dialled_while_the_turn_lasts_and_again_after_a_loss() -> None:
    bench = Bench().client("c1", 1, rule("10.0.0.1"), rule("10.*"))
    assert bench.found(Dial) == [Dial(Location("10.0.0.1", 9706))]
    bench.node().reserved()
    bench.feed(PeerGone(who("n1"), "refused"))
    assert bench.found(Dial) == [Dial(Location("10.0.0.1", 9706))]
    bench.hear(who("c1"), m.CloseClient(1))
    assert bench.found(StopDialling) == [StopDialling(Location("10.0.0.1", 9706))]


# Life of a grant.


@pytest.mark.rule("S2")
def test_each_pulse_is_answered_with_a_renewal() -> None:
    bench = granted()
    for _ in range(3):
        bench.pulse()
        assert bench.said_to(who("n1"), m.Renew) == [m.Renew(1, 1, Z)]
        bench.wait(PULSE)


@pytest.mark.row("R-37", "R-74")
@pytest.mark.parametrize(
    "message",
    [
        m.Pulse(99, m.Avail(), []),
        m.Reserved(99),
        m.ReserveRefused(99, "no"),
        m.Released(99),
        m.Allocated(99, 1),
        m.AddRule(99, rule()),
        m.ReturnNode(99, who("n1")),
        m.Counts(99, 1, 1),
        m.CloseClient(99),
        m.Unschedule(99),
        m.Goodbye("so long"),
    ],
)
def test_an_unknown_speaker_breaks_nothing(message: Any) -> None:
    bench = granted()
    bench.feed(PeerUp(who("stranger"), Role.NODE | Role.CLIENT, None))
    bench.hear(who("stranger"), message)
    if isinstance(message, m.Pulse | m.AddRule | m.ReturnNode | m.Counts):
        assert bench.said_to(who("stranger"), m.RegisterAgain)
    assert bench.state() is NodeState.INITIALIZED


@pytest.mark.row("R-13", "R-81", "DC-14")
def test_a_kept_zombie_is_taken_back_with_its_lease() -> None:
    bench = granted()
    bench.pulse()
    bench.wait(Z - 0.1)
    assert bench.state() is NodeState.INITIALIZED
    bench.wait(0.2)
    assert bench.state() is NodeState.ZOMBIE
    assert not bench.said_to(who("c1"), m.NodeWithdrawn)
    bench.pulse()
    assert bench.state() is NodeState.INITIALIZED
    assert m.Renew(1, 1, Z) in bench.said_to(who("n1"), m.Renew)
    assert bench.said_to(who("c1"), m.LeaseRenewed) == [m.LeaseRenewed(1, who("n1"), 1)]


@pytest.mark.row("R-13", "DC-14")
def test_an_abandoned_zombie_is_withdrawn_fenced_and_granted_anew() -> None:
    bench = Bench().node().client(abandon_zombies=True).reserved()
    bench.wait(Z)
    (withdrawn,) = bench.said_to(who("c1"), m.NodeWithdrawn)
    assert withdrawn.silent
    assert bench.said_to(who("n1"), m.Release)
    bench.pulse()
    assert not bench.said_to(who("n1"), m.Renew), "it is fenced"
    bench.released()
    (again,) = bench.said_to(who("n1"), m.Reserve)
    assert (again.reservation, again.lease) == (1, 2)


@pytest.mark.row("DC-13")
def test_without_a_zombie_period_silence_is_never_a_zombie() -> None:
    bench = Bench().node().client(zombie_period=0.0).reserved()
    bench.wait(1000)
    assert bench.state() is NodeState.INITIALIZED


@pytest.mark.row("R-46")
def test_a_gap_in_our_own_clock_makes_nobody_a_zombie() -> None:
    bench = granted()
    bench.pulse()
    bench.now += 60.0
    bench.out = bench.machine.tick(bench.now)
    assert bench.state() is NodeState.INITIALIZED
    bench.wait(Z)
    assert bench.state() is NodeState.ZOMBIE


@pytest.mark.row("R-11", "DC-42")
def test_a_lost_node_is_withdrawn_at_once() -> None:
    bench = granted()
    bench.feed(PeerGone(who("n1"), "refused three dials"))
    (withdrawn,) = bench.said_to(who("c1"), m.NodeWithdrawn)
    assert "refused three dials" in withdrawn.reason
    assert not withdrawn.silent
    assert not bench.machine.nodes


@pytest.mark.row("DC-30")
def test_a_returned_node_is_not_given_to_that_client_again_but_to_the_next() -> None:
    bench = granted()
    bench.hear(who("c1"), m.ReturnNode(1, who("n1"), False, 1))
    bench.released(reservation=1)
    assert not bench.said_to(who("n1"), m.Reserve)
    bench.client("c2")
    bench.hear(who("c1"), m.CloseClient(1))
    assert bench.said_to(who("n1"), m.Reserve)[0].client == who("c2")


@pytest.mark.row("R-13")
def test_a_node_given_up_for_its_silence_is_granted_again_when_it_is_back() -> None:
    bench = granted()
    bench.hear(who("c1"), m.ReturnNode(1, who("n1"), True, 1))
    bench.released(reservation=1)
    assert bench.said_to(who("n1"), m.Reserve)[0].lease == 2
    bench.hear(who("c1"), m.ReturnNode(1, who("n1"), True, 1))
    assert not bench.said_to(who("n1"), m.Release), "that was the former grant"


@pytest.mark.row("DN-21")
def test_a_node_that_ends_the_work_by_itself_is_withdrawn_and_not_granted_again() -> None:
    bench = granted()
    bench.hear(who("n1"), m.Released(1, "closed by the operator of the node", 1, again=False))
    (withdrawn,) = bench.said_to(who("c1"), m.NodeWithdrawn)
    assert withdrawn.left
    bench.free()
    assert not bench.said_to(who("n1"), m.Reserve)
    assert bench.state() is NodeState.DISCOVERED


@pytest.mark.row("DS-14")
def test_a_client_whose_nodes_all_closed_it_for_idleness_is_dropped() -> None:
    bench = Bench(idle_limit=50.0).node(1).node(2).client()
    assert bench.said_to(who("n1"), m.Reserve)[0].zombie_period == 50.0
    bench.reserved(1).reserved(2)
    bench.hear(who("n1"), m.Released(1, "idle", 1, again=False, idle=True))
    assert not bench.said_to(who("c1"), m.ClientEnded)
    bench.hear(who("n2"), m.Released(1, "idle", 2, again=False, idle=True))
    assert bench.said_to(who("c1"), m.ClientEnded)


# Silent and dead clients.


@pytest.mark.row("R-19", "DC-43", "R-78")
def test_a_dead_clients_nodes_are_released_and_the_next_one_runs() -> None:
    bench = granted().client("c2")
    bench.feed(PeerGone(who("c1"), "refused"))
    assert bench.said_to(who("n1"), m.Release)
    assert bench.said_to(who("c2"), m.Scheduled)
    bench.released(reservation=1)
    assert bench.said_to(who("n1"), m.Reserve)[0].client == who("c2")


@pytest.mark.row("R-19")
def test_a_silent_client_is_kept_for_hold_or_two_zombie_periods_if_another_waits() -> None:
    bench = granted()
    bench.feed(PeerSuspect(who("c1")))
    bench.wait(HOLD - 1)
    assert bench.turn == 1
    bench.wait(1)
    assert bench.turn == 0
    bench = granted()
    bench.feed(PeerSuspect(who("c1")))
    bench.wait(3.0)
    bench.client("c2")
    bench.wait(2 * Z - 3.1)
    assert bench.turn == 1
    bench.wait(0.2)
    assert bench.turn == 2


@pytest.mark.row("R-12")
def test_a_silent_client_gets_no_further_node_until_it_is_back() -> None:
    bench = granted()
    bench.feed(PeerSuspect(who("c1")))
    bench.node(2)
    assert not bench.said_to(who("n2"), m.Reserve)
    bench.feed(PeerBack(who("c1")))
    assert bench.said_to(who("n2"), m.Reserve)


def test_a_silent_client_in_the_queue_is_passed_over_and_keeps_its_place() -> None:
    bench = Bench().client("c1").client("c2").client("c3")
    bench.feed(PeerSuspect(who("c2")))
    bench.hear(who("c1"), m.CloseClient(1))
    assert bench.said_to(who("c3"), m.Scheduled)
    bench.feed(PeerBack(who("c2")))
    bench.hear(who("c3"), m.CloseClient(3))
    assert bench.said_to(who("c2"), m.Scheduled)


# Restarts.


def journal(bench: Bench) -> tuple[dict[int, s.KeepClient], int]:
    kept: dict[int, s.KeepClient] = {}
    lease = 0
    for action in bench.log:  # type: ignore[attr-defined]
        if isinstance(action, s.KeepClient):
            kept[action.reservation] = action
        elif isinstance(action, s.DropClient):
            kept.pop(action.reservation, None)
        elif isinstance(action, s.KeepLease):
            lease = action.lease
    return kept, lease


def restarted() -> Bench:
    """c1 runs on n1, c2 waits; then the scheduler is another process with the same journal."""
    bench = Bench()
    bench.log = []  # type: ignore[attr-defined]
    feed = bench.feed

    def logged(event: Any) -> list[Any]:
        bench.log.extend(feed(event))  # type: ignore[attr-defined]
        return bench.out

    bench.feed = logged  # type: ignore[method-assign]
    bench.node().client("c1").reserved().client("c2")
    kept, lease = journal(bench)
    again = Bench(restored=s.Restored(tuple(reversed(kept.values())), lease, frozenset({who("former")})))
    again.feed(PeerUp(who("n1"), Role.NODE, None))
    return again


@pytest.mark.row("R-17", "DS-21", "R-35")
@pytest.mark.rule("S3", "S4")
def test_a_restarted_scheduler_takes_up_client_queue_and_grants() -> None:
    bench = restarted()
    assert bench.turn == 1
    bench.hear(who("n1"), m.NodeHere(facts(1), 1, 1, [], True, who("former")))
    assert bench.said_to(who("n1"), m.Renew) == [m.Renew(1, 1, Z)]
    bench.feed(PeerUp(who("c1"), Role.CLIENT, None))
    bench.hear(who("c1"), m.Schedule(1, "c1", None, [], PULSE, Z, False, reservation=1))
    assert bench.said_to(who("c1"), m.Scheduled) == [m.Scheduled(1, 1)]
    assert bench.said_to(who("c1"), m.NodeGranted)[0].lease == 1
    bench.feed(PeerUp(who("c2"), Role.CLIENT, None))
    bench.client("c2")
    assert bench.said_to(who("c2"), m.Queued)[0].place == 1
    bench.node(2)
    assert bench.said_to(who("n2"), m.Reserve)[0].lease == 2


@pytest.mark.row("R-78")
def test_a_client_of_the_journal_that_does_not_come_loses_its_turn() -> None:
    bench = restarted()
    bench.feed(PeerUp(who("c2"), Role.CLIENT, None))
    bench.client("c2")
    bench.hear(who("n1"), m.NodeHere(facts(1), 1, 1, [], True, who("former")))
    bench.wait(2 * Z)
    assert bench.said_to(who("n1"), m.Release)
    assert bench.said_to(who("c2"), m.Scheduled)


@pytest.mark.row("R-36")
@pytest.mark.rule("S3")
def test_a_node_with_a_reservation_that_is_over_is_told_to_let_go() -> None:
    bench = restarted()
    bench.hear(who("n1"), m.NodeHere(facts(1), 77, 9, [], True, who("former")))
    assert bench.said_to(who("n1"), m.Release) == [m.Release(77, True, "that turn is over", 9)]
    bench.hear(who("n1"), m.Released(77, "", 9))
    bench.feed(PeerUp(who("c1"), Role.CLIENT, None))
    bench.hear(who("c1"), m.Schedule(1, "c1", None, [], PULSE, Z, False, reservation=1))
    bench.free()
    assert bench.said_to(who("n1"), m.Reserve)[0].lease == 10


@pytest.mark.rule("S3")
def test_a_node_of_another_scheduler_is_left_alone() -> None:
    bench = Bench().client()
    bench.feed(PeerUp(who("n1"), Role.NODE, None))
    bench.hear(who("n1"), m.NodeHere(facts(1), 77, 9, [], True, who("other scheduler")))
    assert not bench.said_to(who("n1"), m.Release)
    assert not bench.said_to(who("n1"), m.Reserve)
    bench.wait(LIMITS.visible_wait)
    assert any("another scheduler" in note.text for note in bench.found(Note))
    bench.free()
    assert bench.said_to(who("n1"), m.Reserve)


@pytest.mark.row("R-54", "R-36")
def test_without_a_journal_the_living_say_who_holds_what() -> None:
    bench = Bench()
    bench.feed(PeerUp(who("n1"), Role.NODE, None))
    bench.hear(who("n1"), m.NodeHere(facts(1), 77, 9, [], True, who("forgotten")))
    bench.feed(PeerUp(who("c1"), Role.CLIENT, None))
    bench.hear(who("c1"), m.Schedule(1, "c1", None, [], PULSE, Z, False, reservation=77))
    assert bench.said_to(who("c1"), m.Scheduled) == [m.Scheduled(1, 77)]
    assert bench.said_to(who("c1"), m.NodeGranted)[0].lease == 9
    assert bench.said_to(who("n1"), m.Renew) == [m.Renew(77, 9, Z)]
    bench.node(2)
    assert bench.said_to(who("n2"), m.Reserve)[0].lease == 10


def test_a_claim_of_a_turn_that_is_over_is_refused() -> None:
    bench = Bench().client("c1")
    bench.feed(PeerUp(who("c2"), Role.CLIENT, None))
    bench.hear(who("c2"), m.Schedule(1, "c2", None, [], PULSE, Z, False, reservation=55))
    assert bench.said_to(who("c2"), m.ScheduleRefused)


@pytest.mark.rule("S3")
def test_a_node_that_forgot_its_grant_is_withdrawn_and_granted_anew() -> None:
    bench = granted()
    bench.free()
    assert bench.said_to(who("c1"), m.NodeWithdrawn)[0].left
    assert bench.said_to(who("n1"), m.Reserve)[0].lease == 2


def kept(number: int, *, scheduled: bool = False, location: Location | None = None) -> s.KeepClient:
    name = f"c{number}"
    return s.KeepClient(number, number, scheduled, who(name), 1, name, location, (), PULSE, Z, False)


def claims(bench: Bench, number: int, reservation: int) -> None:
    peer = who(f"c{number}")
    bench.feed(PeerUp(peer, Role.CLIENT, None))
    bench.hear(peer, m.Schedule(1, f"c{number}", None, [], PULSE, Z, False, reservation=reservation))


C1, C2 = Location("10.0.1.1", 4001), Location("10.0.1.2", 4002)
N1 = Location("10.0.0.1", 9706)


@pytest.mark.row("R-17")
@pytest.mark.rule("S4")
def test_a_successor_reaches_for_the_clients_and_nodes_of_the_journal() -> None:
    clients = (kept(1, scheduled=True, location=C1), kept(2, location=C2))
    bench = Bench(restored=s.Restored(clients, nodes=(N1,)))
    bench.feed(s.Started())
    assert {dial.location for dial in bench.found(Dial)} == {C1, C2, N1}
    claims(bench, 1, 1)
    assert bench.found(StopDialling) == [StopDialling(C1)]
    bench.hear(who("c1"), m.CloseClient(1))
    assert bench.found(StopDialling) == [StopDialling(N1)]


@pytest.mark.row("R-17", "R-78")
@pytest.mark.parametrize("how", ["refused", "another process"])
def test_a_client_of_the_journal_whose_process_is_dead_is_not_waited_for(how: str) -> None:
    clients = (kept(1, scheduled=True, location=C1), kept(2, location=C2))
    bench = Bench(restored=s.Restored(clients))
    bench.feed(s.Started())
    bench.feed(PeerUp(who("c2"), Role.CLIENT, C2))
    bench.client("c2")
    bench.feed(DialFailed(C1, "timed out"))
    if how == "refused":
        for _ in range(LIMITS.refusals_until_lost):
            assert bench.turn == 1
            bench.feed(DialFailed(C1, "nobody listens there", refused=True))
    else:
        bench.feed(PeerUp(who("stranger"), Role.PEER, C1))
    assert bench.turn == 2
    assert bench.said_to(who("c2"), m.Scheduled)


def written(bench: Bench) -> None:
    """Until nothing is to be written any more; `out` has all answers."""
    out = list(bench.out)
    while any(isinstance(action, s.ENTRIES) for action in bench.out):
        bench.feed(s.Written())
        out += bench.out
    bench.out = out


@pytest.mark.row("R-54", "R-22")
def test_who_is_new_is_told_nothing_before_it_is_on_disk() -> None:
    bench = Bench(journalled=True).client("c1")
    assert [type(action) for action in bench.out] == [s.KeepClient]
    written(bench)
    assert bench.said_to(who("c1"), m.Scheduled)
    bench.client("c2")
    assert not bench.found(Say)
    # Asked again meanwhile, it still is told nothing.
    bench.client("c2")
    assert not bench.found(Say)
    bench.feed(s.Written())
    assert bench.said_to(who("c2"), m.Queued)[0].place == 1


@pytest.mark.row("R-22")
def test_without_a_journal_that_can_be_written_nobody_new_is_taken_and_the_running_client_goes_on() -> None:
    bench = Bench(journalled=True).node()
    bench.client("c1")
    written(bench)
    bench.reserved()
    bench.client("c2")
    written(bench)
    bench.client("c3")
    bench.feed(s.JournalFailed("no space left on device"))
    (refused,) = bench.said_to(who("c3"), m.ScheduleRefused)
    assert "no space left on device" in refused.reason
    bench.client("c4")
    assert "no space left on device" in bench.said_to(who("c4"), m.ScheduleRefused)[0].reason
    assert bench.machine.status(bench.now)["journal"] == "no space left on device"
    # The lease is renewed, nothing new is granted.
    bench.pulse()
    assert bench.said_to(who("n1"), m.Renew)
    bench.node(2)
    assert not bench.said_to(who("n2"), m.Reserve)
    # No turn begins that would be another's after a restart.
    bench.hear(who("c1"), m.CloseClient(1))
    bench.released(reservation=1)
    assert bench.machine.active is None
    assert "can't write down" in bench.machine.why(next(iter(bench.machine.queue.values())), bench.now)
    assert [entry.name for entry in bench.machine.entries() if isinstance(entry, s.KeepClient)] == ["c2"]
    bench.feed(s.Written())
    assert bench.said_to(who("c2"), m.Scheduled)
    assert bench.said_to(who("n2"), m.Reserve)


@pytest.mark.row("R-22", "R-17")
def test_a_turn_that_was_not_written_any_more_is_claimed_all_the_same() -> None:
    bench = Bench(restored=s.Restored((kept(1, scheduled=True), kept(2), kept(3))))
    bench.feed(s.Started())
    claims(bench, 3, 3)
    assert bench.said_to(who("c3"), m.Scheduled) == [m.Scheduled(1, 3)]
    assert bench.turn == 3
    # Who held it before c3, as the journal had it, is over.
    claims(bench, 1, 1)
    assert bench.said_to(who("c1"), m.ScheduleRefused)
    assert bench.turn == 3


@pytest.mark.row("R-22", "R-17")
@pytest.mark.parametrize("running", [True, False], ids=["another had its turn", "nobody had a turn"])
def test_who_holds_the_cluster_goes_on_though_the_journal_has_it_in_the_queue_and_takes_nothing(
    running: bool,
) -> None:
    bench = Bench(journalled=True, restored=s.Restored((kept(1, scheduled=running), kept(2), kept(3)), 5))
    bench.feed(s.Started())
    bench.feed(s.JournalFailed("no space left on device"))
    bench.feed(PeerUp(who("n1"), Role.NODE, None))
    bench.hear(who("n1"), m.NodeHere(facts(1), 3, 7, [], True, who("former")))
    assert not bench.said_to(who("n1"), m.Release)
    claims(bench, 3, 3)
    assert bench.said_to(who("c3"), m.Scheduled) == [m.Scheduled(1, 3)]
    assert bench.turn == 3
    # What it has is its own still, and nothing is granted that could not be written down.
    assert bench.said_to(who("n1"), m.Renew) == [m.Renew(3, 7, Z)]
    assert bench.said_to(who("c3"), m.NodeGranted)[0].lease == 7
    bench.node(2)
    assert not bench.said_to(who("n2"), m.Reserve)
    # Those who wait do so in their order, and the journal has it all when it can be written.
    assert list(bench.machine.queue) == ([2] if running else [1, 2])
    first, *_ = bench.machine.entries()
    assert isinstance(first, s.KeepClient) and (first.reservation, first.scheduled) == (3, True)
    bench.feed(s.Written())
    assert bench.turn == 3 and bench.said_to(who("n2"), m.Reserve)[0].lease == 8


@pytest.mark.row("R-36")
@pytest.mark.rule("S3")
@pytest.mark.parametrize("how", ["it only waits", "it left"])
def test_a_node_that_serves_who_waits_is_let_be_until_that_one_has_said_what_it_holds(how: str) -> None:
    bench = Bench(restored=s.Restored((kept(1, scheduled=True), kept(2)), 5, frozenset({who("former")})))
    bench.feed(PeerUp(who("n1"), Role.NODE, None))
    serves = m.NodeHere(facts(1), 2, 7, [], True, who("former"))
    bench.hear(who("n1"), serves)
    assert not bench.said_to(who("n1"), m.Release)
    if how == "it left":
        bench.feed(PeerGone(who("c2"), "refused"))
    else:
        bench.client("c2")
    assert bench.said_to(who("n1"), m.RegisterAgain)
    bench.hear(who("n1"), serves)
    assert bench.said_to(who("n1"), m.Release) == [m.Release(2, True, "that turn is over", 7)]


@pytest.mark.row("R-54")
def test_after_a_lost_journal_nobodys_turn_begins_before_the_living_could_claim_theirs() -> None:
    bench = Bench(restored=s.Restored(lost=True))
    bench.feed(s.Started())
    bench.client("c2")
    assert "lost its journal" in bench.said_to(who("c2"), m.Queued)[0].reason
    claims(bench, 1, 77)
    assert bench.said_to(who("c1"), m.Scheduled) == [m.Scheduled(1, 77)]
    assert bench.turn == 77


@pytest.mark.row("R-54", "R-33")
def test_after_a_lost_journal_the_wait_ends_and_what_nobody_claims_is_let_go() -> None:
    bench = Bench(restored=s.Restored(lost=True))
    bench.feed(s.Started())
    bench.feed(PeerUp(who("n1"), Role.NODE, None))
    # The node has seen that we listen where its scheduler did.
    bench.hear(who("n1"), m.NodeHere(facts(1), 77, 9, [], True, OUR))
    assert not bench.said_to(who("n1"), m.Release)
    bench.client("c2")
    bench.wait(LIMITS.request_timeout)
    assert bench.said_to(who("c2"), m.Scheduled)
    assert bench.said_to(who("n1"), m.RegisterAgain)
    bench.hear(who("n1"), m.NodeHere(facts(1), 77, 9, [], True, OUR))
    assert bench.said_to(who("n1"), m.Release) == [m.Release(77, True, "that turn is over", 9)]


@pytest.mark.row("R-36", "R-78")
def test_a_node_that_comes_with_a_turn_that_ended_here_is_told_to_let_go() -> None:
    bench = Bench()
    claims(bench, 1, 77)
    bench.hear(who("c1"), m.CloseClient(77))
    bench.feed(PeerUp(who("n1"), Role.NODE, None))
    bench.hear(who("n1"), m.NodeHere(facts(1), 77, 9, [], True, who("forgotten")))
    assert bench.said_to(who("n1"), m.Release)


@pytest.mark.row("DS-18", "DS-10")
def test_what_the_scheduler_allows_its_clients_is_told_to_nodes() -> None:
    bench = Bench(longest_pulse=0.5, max_file_bytes=1000).node().client()
    (reserve,) = bench.said_to(who("n1"), m.Reserve)
    assert (reserve.pulse_interval, reserve.max_file_bytes) == (0.5, 1000)
    assert reserve.lease_time == LIMITS.zombie_pulses * 0.5


# Private, stopping, waiting.


@pytest.mark.row("DS-01")
def test_a_private_schedulers_client_is_its_own_process() -> None:
    bench = Bench().node()
    bench.hear(OUR, m.Schedule(1, "me", None, [], PULSE, Z, False))
    assert bench.said_to(OUR, m.Scheduled)
    bench.reserved()
    assert bench.said_to(OUR, m.NodeGranted)


@pytest.mark.row("DS-19")
def test_stop_refuses_the_queue_and_lets_the_running_client_close() -> None:
    bench = granted().client("c2")
    bench.feed(s.Stop(False, "the operator quits"))
    assert bench.said_to(who("c2"), m.ScheduleRefused)[0].reason == "the operator quits"
    assert bench.said_to(who("c1"), m.CloseAsked)
    assert not bench.found(s.Stopped)
    bench.client("c3")
    assert bench.said_to(who("c3"), m.ScheduleRefused)
    bench.hear(who("c1"), m.CloseClient(1))
    bench.released(reservation=1)
    assert bench.found(s.Stopped)


@pytest.mark.row("DS-19")
def test_stop_with_terminate_ends_the_turn_and_an_idle_scheduler_stops_at_once() -> None:
    bench = granted()
    bench.feed(s.Stop(True, "terminated"))
    assert bench.said_to(who("n1"), m.Release)
    bench.released(reservation=1)
    assert bench.said_to(who("c1"), m.ClientEnded)
    assert bench.found(s.Stopped)
    assert Bench().feed(s.Stop(False, "quit")) == [s.Stopped("quit")]


@pytest.mark.row("R-33", "R-52", "R-84")
@pytest.mark.rule("S6")
def test_a_client_without_nodes_is_told_why_after_v_and_each_minute() -> None:
    bench = Bench(searching=lambda: "beacons go to 255.255.255.255:9706").client()
    said = []
    for _ in range(140):
        bench.wait(1.0)
        said += bench.said_to(who("c1"), m.Queued)
    assert len(said) == 3
    assert said[0].place == 0
    assert "no node is known" in said[0].reason
    assert "255.255.255.255" in said[0].reason


@pytest.mark.row("R-52")
@pytest.mark.rule("S6")
def test_nodes_that_were_named_and_cannot_be_reached_come_first_in_the_reason() -> None:
    failed = ["can't reach 10.0.0.7:9706: Connection refused"]
    bench = Bench(unreached=lambda: failed, searching=lambda: "beacons go nowhere").client()
    assert bench.machine.active is not None
    why = bench.machine.why(bench.machine.active, bench.now)
    assert why == f"no node is known; {failed[0]}; beacons go nowhere"
    bench.node(1)
    assert bench.machine.why(bench.machine.active, bench.now).startswith(f"{failed[0]}; node n1: ")
    failed += ["2", "3", "4", "5"]
    assert "; 2; 3; and 2 more can't be reached; node n1: " in bench.machine.why(
        bench.machine.active, bench.now
    )


@pytest.mark.row("R-52", "R-33")
@pytest.mark.rule("S6")
def test_who_lost_its_node_is_told_of_that_and_not_how_nodes_are_found() -> None:
    bench = Bench(searching=lambda: "is it the same key?").client().node(1)
    assert bench.machine.active is not None
    bench.feed(PeerGone(who("n1"), "refused"))
    bench.wait(10)
    why = bench.machine.why(bench.machine.active, bench.now)
    assert why == "no node is known; node n1 was lost 10 s ago"


@pytest.mark.rule("S6")
def test_a_client_of_the_schedulers_own_process_tells_its_reason_itself() -> None:
    own, other = Bench(), Bench().client()
    own.hear(own.machine.our, m.Schedule(1, "c0", None, [], PULSE, Z, False))
    for bench, notes in ((own, 0), (other, 1)):
        bench.wait(LIMITS.visible_wait)
        assert len([note for note in bench.found(Note) if "waits" in note.text]) == notes
    assert own.said_to(own.machine.our, m.Queued)


@pytest.mark.rule("S6")
def test_each_reason_of_each_node_can_be_asked_for() -> None:
    bench = Bench().client("c1", 1, rule("10.0.0.1"), rule("10.0.0.9", asks=True)).node(1).node(2)
    bench.node(3).free(3, open=False)
    assert bench.machine.active is not None
    why = bench.machine.why(bench.machine.active, bench.now)
    assert "n1: it has not answered yet" in why
    assert "n2: its address" in why
    assert "n3: it takes no new clients now" in why
    bench.reserved()
    assert bench.machine.why(bench.machine.active, bench.now) == ""


@pytest.mark.rule("S6")
def test_a_waiting_client_is_told_again_what_it_waits_for() -> None:
    bench = granted().client("c2")
    bench.wait(LIMITS.visible_wait)
    (queued,) = bench.said_to(who("c2"), m.Queued)
    assert queued.reason == "client c1 holds the cluster"


@pytest.mark.rule("S6")
def test_who_waits_for_its_turn_is_told_when_that_waits_for_something_else() -> None:
    bench = granted().client("c2").client("c3")
    bench.hear(who("c1"), m.CloseClient(1))
    for name, place in (("c2", 1), ("c3", 2)):
        assert bench.said_to(who(name), m.Queued) == [m.Queued(1, place, "client c1 closes")]
    bench.hear(who("c1"), m.CloseClient(1))
    assert not bench.said_to(who("c2"), m.Queued)  # it does so already
    bench.feed(s.JournalFailed("disk full"))
    assert bench.said_to(who("c2"), m.Queued)[0].reason.endswith("whose turn it is: disk full")
    bench.feed(s.JournalFailed("disk full"))
    assert not bench.said_to(who("c2"), m.Queued)
    bench.feed(s.Written())
    assert bench.said_to(who("c2"), m.Queued)[0].reason == "client c1 closes"


@pytest.mark.rule("S6")
def test_whose_turn_begins_when_the_journal_is_written_again_is_told_to_each_of_the_others_once() -> None:
    bench = Bench(journalled=True).client("c1").client("c2").client("c3")
    bench.feed(s.Written())
    for place, name in enumerate(("c2", "c3"), 1):
        assert bench.said_to(who(name), m.Queued) == [m.Queued(1, place, "client c1 holds the cluster")]
    bench.feed(s.JournalFailed("disk full"))
    bench.hear(who("c1"), m.CloseClient(1))
    bench.feed(s.Written())
    assert bench.said_to(who("c2"), m.Scheduled)
    assert bench.said_to(who("c3"), m.Queued) == [m.Queued(1, 1, "client c2 holds the cluster")]


@pytest.mark.rule("S6")
def test_what_this_process_learns_of_nodes_that_it_starts_is_told_to_who_waits_for_them() -> None:
    failed = ["sbatch: invalid partition"]
    bench = Bench(unreached=lambda: failed).client()
    bench.wait(LIMITS.visible_wait)
    assert bench.said_to(who("c1"), m.Queued)[0].reason == "no node is known; sbatch: invalid partition"
    failed[0] = "sbatch: invalid account"
    bench.feed(s.NodesAwaited())
    bench.wait(LIMITS.visible_wait)
    assert bench.said_to(who("c1"), m.Queued)[0].reason == "no node is known; sbatch: invalid account"


@pytest.mark.row("R-33", "R-52")
@pytest.mark.rule("S6")
def test_who_waits_for_nodes_is_told_anew_when_they_change_once_in_v() -> None:
    bench = Bench().client()
    for number in (1, 2):
        bench.feed(PeerUp(who(f"n{number}"), Role.NODE, None))
        bench.hear(who(f"n{number}"), m.NodeHere(facts(number), 4711, 1, [], True))

    def told(seconds: float) -> list[str]:
        said = []
        for _ in range(round(seconds / 0.5)):
            bench.wait(0.5)
            said += [queued.reason for queued in bench.said_to(who("c1"), m.Queued)]
        return said

    (first,) = told(LIMITS.visible_wait)
    assert first == "; ".join(f"node n{each}: it is in use through another scheduler" for each in (1, 2))
    assert not told(LIMITS.visible_wait)
    # What changes together is one word, and what changes soon after that is told after V.
    bench.feed(PeerSuspect(who("n1")))
    bench.feed(PeerGone(who("n1"), "refused"))
    assert told(CHANGED) == ["node n2: it is in use through another scheduler"]
    bench.feed(PeerGone(who("n2"), "refused"))
    assert not told(LIMITS.visible_wait - 0.5)
    assert told(0.5) == ["no node is known; node n2 was lost 10 s ago"]
    # Nothing else than was told is nothing to be told.
    bench.wait(LIMITS.visible_wait)
    bench.feed(PeerUp(who("n3"), Role.NODE, None))
    bench.hear(who("n3"), m.NodeHere(facts(3), 4711, 1, [], True))
    assert told(CHANGED) == ["node n3: it is in use through another scheduler"]
    bench.wait(LIMITS.visible_wait)
    bench.hear(who("n3"), m.NodeHere(facts(3), 4711, 1, [], True))
    assert not told(LIMITS.visible_wait)
    assert len(told(LIMITS.visible_wait_again)) == 1


@pytest.mark.row("DC-59")
def test_whose_turn_it_is_says_its_work_where_nodes_are_started_by_it() -> None:
    bench = Bench().client("c1").client("c2")
    bench.feed(s.FollowWork(0.5))
    assert bench.said_to(who("c1"), m.TellDemand) == [m.TellDemand(1, 0.5)]
    assert not bench.said_to(who("c2"), m.TellDemand)
    bench.feed(s.FollowWork(0.5))
    assert not bench.found(m.TellDemand)
    work = m.Demand(1, 5, 0, 2, 1.0, [], 0)
    bench.hear(who("c1"), work)
    assert bench.machine.active is not None and bench.machine.active.demand == work
    # It is no business of theirs whose turn it is not.
    bench.hear(who("c2"), replace(work, tasks=100))
    assert bench.said_to(who("c2"), m.RegisterAgain)
    assert bench.machine.active.demand == work
    # Who claims its turn has to be asked again, and whose turn comes at first.
    claims(bench, 1, 1)
    assert bench.said_to(who("c1"), m.TellDemand) == [m.TellDemand(1, 0.5)]
    bench.hear(who("c1"), m.CloseClient(1))
    assert bench.said_to(who("c2"), m.TellDemand) == [m.TellDemand(2, 0.5)]
    assert bench.machine.active.demand is None
    bench.feed(s.FollowWork(0.0))
    assert bench.said_to(who("c2"), m.TellDemand) == [m.TellDemand(2, 0.0)]
    # What clients of this process want is known here.
    bench.hear(who("c2"), m.CloseClient(2))
    bench.feed(s.FollowWork(0.5))
    bench.hear(OUR, m.Schedule(1, "ours", None, [], PULSE, Z, False))
    assert bench.said_to(OUR, m.Scheduled) and not bench.found(m.TellDemand)


@pytest.mark.rule("S6")
def test_programs_of_one_name_are_told_apart_by_their_processes() -> None:
    bench = granted()
    assert bench.machine.active is not None
    bench.machine.active.pid = 4711
    bench.client("c2")
    (queued,) = bench.said_to(who("c2"), m.Queued)
    assert queued.reason == "client c1 (process 4711) holds the cluster"
    told = survey.lines(bench.machine.status(bench.now))
    assert "lent to c1 (process 4711);" in told[2]
    # Also by a successor, before they have come to it.
    running, waiting = (replace(kept(number), name="host", pid=4710 + number) for number in (1, 2))
    bench = Bench(restored=s.Restored((replace(running, scheduled=True), waiting)))
    bench.client("c2")
    assert bench.said_to(who("c2"), m.Queued)[-1].reason == "client host (process 4711) holds the cluster"
    assert [entry.pid for entry in bench.machine.entries() if isinstance(entry, s.KeepClient)] == [4711, 4712]


@pytest.mark.row("DS-19")
def test_status_is_a_dict_of_clients_and_nodes() -> None:
    bench = granted().client("c2")
    bench.hear(who("c1"), m.Counts(1, 10, 5))
    status = bench.machine.status(bench.now)
    assert status["active"]["name"] == "c1"
    assert status["active"]["counts"].submitted == 10
    assert [client["name"] for client in status["queue"]] == ["c2"]
    assert status["nodes"][0]["state"] == "initialized"
    assert status["nodes"][0]["reservation"] == 1
    told = survey.lines(status)
    assert told[0].startswith("client c1 is scheduled since 0 s; 10 tasks, 5 done")
    assert told[2].endswith("is initialized; 0 of 2 servers run, lent to c1; tasks that run: 0")


def test_stories_tell_of_nodes_and_clients() -> None:
    bench = granted()
    assert "reserved: initialized" in bench.machine.story(who("n1"))
    assert "turn of client c1" in bench.machine.story(1)


@pytest.mark.rule("S1")
def test_what_the_table_does_not_allow_is_our_bug() -> None:
    bench = granted()
    node = bench.machine.nodes[who("n1")]
    with pytest.raises(InternalError, match="it can't take 'reserve'"):
        node.move("reserve")
    assert bench.machine.active is not None
    with pytest.raises(InternalError, match="it can't take 'schedule'"):
        bench.machine.active.move("schedule")
    assert bench.machine.active.state is ClientState.SCHEDULED


@pytest.mark.row("SE-22")
def test_who_speaks_is_known_from_its_proof_whatever_it_says() -> None:
    bench = Bench().node(1)
    bench.feed(PeerUp(who("n2"), Role.NODE, None))
    bench.hear(who("n2"), m.NodeHere(facts(1), 0, 0, [], True))
    assert bench.machine.nodes[who("n2")].facts.incarnation == who("n2")


@pytest.mark.row("R-75")
def test_many_nodes_cost_no_more_per_pulse() -> None:
    counts = []
    for size in (10, 1000):
        bench = Bench()
        for number in range(1, size + 1):
            described = m.NodeFacts(
                who(f"n{number}"), Location("10.0.0.1", number), f"n{number}", "L", "3", 8, m.Avail()
            )
            bench.machine.handle(PeerUp(who(f"n{number}"), Role.NODE, None), 0.0)
            bench.machine.handle(Heard(who(f"n{number}"), m.NodeHere(described, 0, 0, [], True)), 0.0)
        bench.client()
        for number in range(1, size + 1):
            bench.machine.handle(Heard(who(f"n{number}"), m.Reserved(1, PULSE)), 0.0)
        counts.append(_calls(bench))
    assert counts[1] <= counts[0] + 2


def _calls(bench: Bench) -> int:
    """Python calls that one pulse takes."""
    count = 0

    def count_calls(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event == "call"

    event = Heard(who("n7"), m.Pulse(1, m.Avail(1.0), []))
    sys.setprofile(count_calls)
    try:
        bench.machine.handle(event, bench.now)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.row("R-62")
def test_a_lease_that_two_nodes_hold_or_that_was_not_given_is_found_when_it_is_said():
    bench = Bench().client().node(1).reserved(1).node(2).reserved(2)
    first, second = (bench.machine.nodes[who(name)].lease for name in ("n1", "n2"))
    holds = m.NodeHere(facts(2), bench.turn, second, [], True, OUR)
    bench.machine.compare(who("n2"), holds)
    with pytest.raises(AssertionError, match=f"lease {first} of node n1 is held twice") as found:
        bench.machine.compare(who("n2"), replace(holds, lease=first))
    assert "reserved: initialized" in bench.machine.story(found.value.args[0].thing)
    with pytest.raises(AssertionError, match=f"n2 was given lease {second}, not {second + 1}"):
        bench.machine.compare(who("n2"), replace(holds, lease=second + 1))


@pytest.mark.row("R-78", "R-34")
def test_the_answer_to_an_earlier_question_grants_nothing() -> None:
    bench = Bench().node().client()
    (asked,) = bench.said_to(who("n1"), m.Reserve)
    bench.hear(who("n1"), m.Reserved(bench.turn, PULSE, asked.lease + 9))
    assert not bench.said_to(who("c1"), m.NodeGranted)
    bench.hear(who("n1"), m.Reserved(bench.turn, PULSE, asked.lease))
    assert [granted.lease for granted in bench.said_to(who("c1"), m.NodeGranted)] == [asked.lease]
