"""The node daemon's machine: whose node it is, which processes live, who is told what."""

from __future__ import annotations

from typing import Any

import pytest

from dispycos import messages as m
from dispycos.config import Limits
from dispycos.events import Note, PeerBack, PeerGone, PeerSuspect, PeerUp, Say
from dispycos.model import Location, Payload, Role
from dispycos.node import events as f
from dispycos.node.machine import NodeMachine, NodeState
from dispycos.node.places import PlaceState
from tests.unit.bench import MachineBench, who

LIMITS = Limits()


SCHEDULER, CLIENT, STRANGER = who("scheduler"), who("client"), who("stranger")
CODE, SETUP = Payload(b"code"), Payload(b"setup")


class Bench(MachineBench[NodeMachine]):
    """A node machine, and what it answered last."""

    def __init__(self, **options: Any) -> None:
        described = m.NodeFacts(who("node"), Location("10.0.0.1", 9706), "n1", "Linux", "3.11", 2, m.Avail())
        super().__init__(NodeMachine(described, LIMITS, min_pulse=0.1, **options))

    @property
    def states(self) -> list[PlaceState]:
        assert self.machine._tenancy is not None
        return [place.state for place in self.machine._tenancy.places.values()]

    # Stages.

    def meet(self, *, private: bool = False) -> Bench:
        if not private:
            self.feed(PeerUp(SCHEDULER, Role.SCHEDULER, None))
        self.feed(PeerUp(CLIENT, Role.CLIENT | Role.SCHEDULER if private else Role.CLIENT, None))
        return self

    def reserve(self, number: int = 5, lease: int = 1, **values: Any) -> Bench:
        reserve = {
            "lease_time": 5.0,
            "client": CLIENT,
            "servers": 2,
            "pulse_interval": 1.0,
            "zombie_period": 0.0,
            "hold": 30.0,
            **values,
        }
        self.hear(SCHEDULER, m.Reserve(number, lease, **reserve))
        return self

    def prepare(self, number: int = 5) -> Bench:
        self.hear(CLIENT, m.Prepare(number, CODE, SETUP, 2, False))
        return self

    def up(self, index: int, name: str) -> Bench:
        self.feed(f.ServerUp(index, 1, who(name), Location("10.0.0.1", 9706 + index)))
        return self

    def exited(self, index: int, name: str, begun: int = 1) -> Bench:
        self.feed(f.ServerExited(index, who(name), "killed by signal 9 (SIGKILL)", begun, 0))
        return self

    def serve(self, **values: Any) -> Bench:
        """Two servers up."""
        self.meet().reserve(**values).prepare()
        self.feed(f.ZygoteReady(1))
        return self.up(1, "s1").up(2, "s2")

    def released(self, zygote: int = 1) -> Bench:
        """Servers and zygote have ended, the files are gone."""
        for place in list(self.machine._tenancy.places.values()) if self.machine._tenancy else []:
            if place.incarnation is not None:
                self.feed(f.ServerExited(place.index, place.incarnation, "exit code 0", 1, 0))
        self.feed(f.ZygoteExited(zygote, "exit code 0", False))
        self.feed(f.CleanedUp(self.machine.status()["reservation"]))
        return self


@pytest.mark.row("R-36", "DS-22")
@pytest.mark.rule("S3")
def test_a_scheduler_is_told_what_the_node_is_and_holds() -> None:
    bench = Bench().meet()
    bench.feed(PeerUp(who("other"), Role.SCHEDULER, None))
    (here,) = bench.said_to(who("other"), m.NodeHere)
    assert (here.reservation, here.open, here.scheduler) == (0, True, None)
    bench.serve()
    bench.feed(PeerUp(who("third"), Role.SCHEDULER, None))
    (here,) = bench.said_to(who("third"), m.NodeHere)
    assert (here.reservation, here.lease, here.scheduler) == (5, 1, SCHEDULER)
    assert [server.incarnation for server in here.servers] == [who("s1"), who("s2")]


@pytest.mark.row("R-35")
def test_a_free_node_tells_the_highest_lease_that_it_ever_had() -> None:
    bench = Bench().serve(lease=9)
    for lease in (9, 4):
        bench.hear(SCHEDULER, m.Release(5, True, "over"))
        bench.released()
        (here,) = bench.said_to(SCHEDULER, m.NodeHere)
        assert (here.reservation, here.lease) == (0, 9)
        bench.reserve(lease=lease)


@pytest.mark.row("R-78")
def test_a_node_that_was_granted_anew_before_it_heard_so_is_released_by_the_new_number() -> None:
    bench = Bench().meet().reserve(lease=12)
    bench.reserve(lease=13)
    assert bench.said_to(SCHEDULER, m.Reserved)[-1].lease == 13
    bench.hear(SCHEDULER, m.Release(5, True, "its client closed it", 12))
    assert bench.machine.state is NodeState.RESERVED, "a word about the earlier grant"
    bench.hear(SCHEDULER, m.Release(5, True, "its client closed it", 13))
    assert bench.machine.state is not NodeState.RESERVED


@pytest.mark.row("R-54", "R-17")
@pytest.mark.rule("S3")
def test_who_listens_where_the_scheduler_did_is_its_successor() -> None:
    place = Location("10.0.0.9", 9705)
    bench = Bench().meet()
    bench.feed(PeerUp(SCHEDULER, Role.SCHEDULER, place))
    bench.reserve()
    bench.feed(PeerUp(who("elsewhere"), Role.SCHEDULER, Location("10.0.0.8", 9705)))
    assert bench.said_to(who("elsewhere"), m.NodeHere)[0].scheduler == SCHEDULER
    bench.feed(PeerUp(who("next"), Role.SCHEDULER, place))
    assert bench.said_to(who("next"), m.NodeHere)[0].scheduler == who("next")
    bench.hear(who("next"), m.Release(5, True, "that turn is over"))
    assert bench.found(f.CleanWorkspace)


@pytest.mark.row("R-37", "R-74")
def test_a_scheduler_that_forgot_the_node_is_told_again() -> None:
    bench = Bench().meet()
    bench.hear(SCHEDULER, m.RegisterAgain("who are you?"))
    assert bench.said_to(SCHEDULER, m.NodeHere)
    bench.hear(STRANGER, m.RegisterAgain("who are you?"))
    assert bench.out == []


@pytest.mark.row("DN-35")
def test_a_reservation_ends_in_two_servers_under_a_lease() -> None:
    bench = Bench().meet().reserve()
    assert bench.said_to(SCHEDULER, m.Reserved) == [m.Reserved(5, 1.0, 1)]
    assert bench.found(f.OpenReservationKey) == [f.OpenReservationKey(5)]
    bench.prepare()
    assert bench.found(f.StartZygote) == [f.StartZygote(1, 5, CODE, SETUP)]
    bench.feed(f.ZygoteReady(1))
    assert bench.said_to(CLIENT, m.Prepared) == [m.Prepared(5, 1)]
    assert [fork.index for fork in bench.found(f.ForkServer)] == [1, 2]
    bench.now += 2.0
    bench.up(1, "s1")
    (given,) = bench.found(f.GiveLease)
    assert (given.number, given.seconds) == (1, pytest.approx(3.0))
    (started,) = bench.said_to(CLIENT, m.ServerStarted)
    assert (started.server.index, started.lease) == (1, 1)


@pytest.mark.row("DN-35", "DS-20")
def test_a_node_that_has_a_client_refuses_another() -> None:
    bench = Bench().serve()
    bench.reserve(number=6, lease=2)
    (refused,) = bench.said_to(SCHEDULER, m.ReserveRefused)
    assert refused.reservation == 6
    assert bench.machine.status()["reservation"] == 5


@pytest.mark.row("DN-12", "DN-13")
def test_a_pulse_interval_out_of_bounds_is_brought_within_and_told() -> None:
    bench = Bench(max_pulse=10.0).meet().reserve(pulse_interval=0.01)
    assert bench.said_to(SCHEDULER, m.Reserved) == [m.Reserved(5, 0.1, 1)]
    assert bench.found(Note)


@pytest.mark.row("DN-12")
def test_the_first_pulses_come_sooner_than_the_later_ones() -> None:
    bench = Bench(max_pulse=100.0).meet().reserve(pulse_interval=10.0, lease_time=100.0, hold=100.0)
    for gap in (2.0, 4.0, 8.0, 10.0, 10.0):
        assert f.Measure not in map(type, bench.wait(gap - 0.01))
        assert f.Measure() in bench.wait(0.01)
        bench.feed(f.AvailMeasured(m.Avail(), ()))
        assert bench.said_to(SCHEDULER, m.Pulse)


@pytest.mark.row("R-34")
@pytest.mark.rule("S2")
def test_a_renewal_is_handed_to_the_servers_and_a_lower_one_is_not() -> None:
    bench = Bench().serve(lease=4)
    bench.hear(SCHEDULER, m.Renew(5, 4, 5.0))
    assert [(given.index, given.number) for given in bench.found(f.GiveLease)] == [(1, 4), (2, 4)]
    bench.hear(SCHEDULER, m.Renew(5, 3, 5.0))
    assert bench.out == []
    bench.hear(SCHEDULER, m.Renew(6, 9, 5.0))
    assert bench.out == []


@pytest.mark.row("SE-22")
@pytest.mark.parametrize(
    "message",
    [
        m.Release(5, True, "mine"),
        m.Renew(5, 9, 1e6),
        m.CloseServer(5, who("s1"), False, 0.0, "mine"),
        m.RestartNode(5, None),
        m.Prepare(5, CODE, None, 2, False),
    ],
)
def test_control_by_a_stranger_is_refused(message: Any) -> None:
    bench = Bench().serve()
    bench.feed(PeerUp(STRANGER, Role.CLIENT | Role.SCHEDULER, None))
    bench.hear(STRANGER, message)
    assert bench.machine.state is NodeState.SERVING
    assert not bench.found(f.GiveLease)
    assert not bench.found(f.AskServerToEnd)
    assert bench.states == [PlaceState.UP] * 2


@pytest.mark.row("R-17")
@pytest.mark.rule("S3", "S4")
def test_a_successor_of_a_lost_scheduler_may_speak_for_it() -> None:
    bench = Bench().serve()
    bench.feed(PeerUp(who("next"), Role.SCHEDULER, None))
    bench.hear(who("next"), m.Renew(5, 1, 9.0))
    assert not bench.found(f.GiveLease), "its former scheduler is here and well"
    bench.feed(PeerGone(SCHEDULER, "refused"))
    bench.hear(who("next"), m.Renew(5, 1, 9.0))
    assert len(bench.found(f.GiveLease)) == 2
    bench.hear(who("next"), m.Release(5, True, "over"))
    assert bench.machine.state is NodeState.RELEASING


@pytest.mark.row("R-67")
@pytest.mark.rule("S2")
def test_words_about_an_earlier_grant_are_not_acted_on() -> None:
    bench = Bench().serve(lease=4)
    bench.hear(SCHEDULER, m.Release(5, True, "late", lease=3))
    bench.hear(CLIENT, m.RestartNode(5, None, lease=3))
    assert bench.machine.state is NodeState.SERVING
    bench.hear(SCHEDULER, m.Release(5, True, "now", lease=4))
    assert bench.machine.state is NodeState.RELEASING


@pytest.mark.row("R-05", "DN-34")
def test_a_dead_server_is_proved_with_its_counters_and_replaced() -> None:
    bench = Bench().serve()
    bench.feed(f.ServerExited(1, who("s1"), "killed by signal 11 (SIGSEGV)", 7, 3))
    (ended,) = bench.said_to(CLIENT, m.ServerEnded)
    assert (ended.server, ended.asked, ended.restarts) == (who("s1"), False, True)
    assert (ended.begun, ended.begun_io) == (7, 3)
    assert "SIGSEGV" in ended.reason
    assert bench.found(f.ForkServer) == [f.ForkServer(1, 1)]


@pytest.mark.row("R-28")
def test_servers_that_end_before_any_task_began_come_back_slower_and_slower() -> None:
    bench = Bench().serve()
    gaps = []
    for number in range(6):
        bench.exited(1, f"s{'1' if not number else number * 100}", begun=0)
        start = bench.now
        while not bench.found(f.ForkServer):
            due = bench.machine.next_deadline()
            assert due is not None
            bench.wait(due - bench.now)
        gaps.append(bench.now - start)
        bench.up(1, f"s{(number + 1) * 100}")
    assert gaps == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.row("R-28")
def test_a_failed_fork_is_told_and_tried_again_after_1_2_4_to_30_seconds() -> None:
    bench = Bench().meet().reserve().prepare()
    bench.feed(f.ZygoteReady(1))
    bench.up(2, "s2")
    waits = []
    for _ in range(8):
        bench.feed(f.ServerStartFailed(1, "can't start: EAGAIN"))
        (delayed,) = bench.said_to(CLIENT, m.ServerDelayed)
        assert delayed == m.ServerDelayed(5, 1, "can't start: EAGAIN")
        start = bench.now
        while not bench.found(f.ForkServer):
            due = bench.machine.next_deadline()
            assert due is not None
            bench.wait(due - bench.now)
        waits.append(bench.now - start)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    bench.up(1, "s1")
    assert bench.said_to(CLIENT, m.ServerStarted)


@pytest.mark.row("R-70")
def test_a_server_that_never_listens_is_killed_and_started_again() -> None:
    bench = Bench().meet().reserve().prepare()
    bench.feed(f.ZygoteReady(1))
    bench.up(2, "s2")
    bench.wait(31)
    assert f.KillServer(1) in bench.out
    bench.feed(f.ServerStartFailed(1, "killed"))
    bench.wait(1)
    assert f.ForkServer(1, 1) in bench.out


@pytest.mark.row("R-10")
def test_a_dead_zygote_is_named_in_its_servers_ends_and_replaced() -> None:
    bench = Bench().serve()
    bench.feed(f.ZygoteExited(1, "killed by signal 9", True))
    assert not bench.found(f.StartZygote), "its servers live yet"
    bench.exited(1, "s1")
    (ended,) = bench.said_to(CLIENT, m.ServerEnded)
    assert "its zygote was killed by signal 9" in ended.reason
    assert ended.restarts
    bench.exited(2, "s2")
    assert bench.found(f.StartZygote) == [f.StartZygote(2, 5, CODE, SETUP)]
    bench.feed(f.ZygoteReady(2))
    assert [fork.zygote for fork in bench.found(f.ForkServer)] == [2, 2]


@pytest.mark.row("R-10", "R-11")
def test_servers_that_survive_their_zygote_are_killed() -> None:
    bench = Bench().serve()
    bench.feed(f.ZygoteExited(1, "killed by signal 9", True))
    assert f.KillServer(1) in bench.wait(1.0)


@pytest.mark.row("R-10", "R-28")
def test_a_zygote_that_dies_again_and_again_is_started_slower() -> None:
    bench = Bench().meet().reserve().prepare()
    gaps = []
    for number in range(1, 5):
        bench.feed(f.ZygoteReady(number))
        bench.feed(f.ZygoteExited(number, "killed by signal 9", True))
        for index in (1, 2):
            bench.feed(f.ServerStartFailed(index, "its zygote ended"))
        start = bench.now
        while not bench.found(f.StartZygote):
            due = bench.machine.next_deadline()
            assert due is not None
            bench.wait(due - bench.now)
        gaps.append(bench.now - start)
    assert gaps == [0, 1, 2, 4]


@pytest.mark.row("R-28", "R-27")
def test_a_zygote_that_can_t_start_now_is_told_and_tried_again() -> None:
    bench = Bench().meet().reserve().prepare()
    waits = []
    for number in range(1, 9):
        bench.feed(f.ZygoteDelayed(number, "too many open files"))
        assert [delayed.index for delayed in bench.said_to(CLIENT, m.ServerDelayed)] == [1, 2]
        assert not bench.said_to(CLIENT, m.PrepareFailed)
        start = bench.now
        while not bench.found(f.StartZygote):
            due = bench.machine.next_deadline()
            assert due is not None
            bench.wait(due - bench.now)
        waits.append(bench.now - start)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    bench.feed(f.ZygoteReady(9))
    assert bench.said_to(CLIENT, m.Prepared)


@pytest.mark.row("R-09", "DC-07")
def test_a_setup_that_fails_is_told_and_may_be_tried_again() -> None:
    bench = Bench().meet().reserve().prepare()
    bench.feed(f.ZygoteFailed(1, "node_setup returned 3"))
    assert bench.said_to(CLIENT, m.PrepareFailed) == [m.PrepareFailed(5, "node_setup returned 3", 1)]
    assert bench.found(f.EndZygote) == [f.EndZygote(1, False)]
    bench.prepare()
    assert not bench.found(f.StartZygote), "the former process lives yet"
    bench.feed(f.ZygoteExited(1, "exit code 0", False))
    assert bench.found(f.StartZygote) == [f.StartZygote(2, 5, CODE, SETUP)]


@pytest.mark.row("R-09")
def test_a_setup_killed_by_a_signal_is_tried_three_times() -> None:
    bench = Bench().meet().reserve().prepare()
    for number in (1, 2):
        bench.feed(f.ZygoteExited(number, "killed by signal 11", True))
        assert len(bench.found(f.StartZygote)) == 1
        assert not bench.said_to(CLIENT, m.PrepareFailed)
    bench.feed(f.ZygoteExited(3, "killed by signal 11", True))
    (failed,) = bench.said_to(CLIENT, m.PrepareFailed)
    assert "killed by signal 11, 3 times" in failed.reason


@pytest.mark.row("R-09")
def test_a_setup_that_exits_is_not_tried_again() -> None:
    bench = Bench().meet().reserve().prepare()
    bench.feed(f.ZygoteExited(1, "exit code 3", False))
    (failed,) = bench.said_to(CLIENT, m.PrepareFailed)
    assert "exit code 3" in failed.reason
    assert not bench.found(f.StartZygote)


@pytest.mark.row("R-33")
def test_a_long_setup_shows_what_is_waited_for() -> None:
    bench = Bench().meet().reserve(hold=1e6).prepare()
    notes = [action for action in bench.wait(75) if isinstance(action, Note)]
    assert len(notes) == 2
    assert "node_setup" in notes[0].text


@pytest.mark.row("DC-26", "DC-12", "R-47")
@pytest.mark.parametrize("restart", [True, False])
def test_a_server_is_asked_then_killed_and_comes_back_only_if_wanted(restart: bool) -> None:
    bench = Bench().serve()
    bench.hear(CLIENT, m.CloseServer(5, who("s1"), restart, 5.0, "the client closed it"))
    (asked,) = bench.found(f.AskServerToEnd)
    assert (asked.server, asked.grace) == (who("s1"), 5.0)
    assert not [action for action in bench.wait(5.0) if isinstance(action, f.KillServer)]
    assert f.KillServer(1) in bench.wait(1.0)
    bench.exited(1, "s1")
    (ended,) = bench.said_to(CLIENT, m.ServerEnded)
    assert (ended.asked, ended.restarts) == (True, restart)
    assert "the client closed it" in ended.reason
    assert bool(bench.found(f.ForkServer)) == restart


@pytest.mark.row("DC-26", "R-05")
@pytest.mark.parametrize(("clean", "reason"), [(True, "it is enough"), (False, "it is enough; exit code 1")])
def test_how_a_server_ended_is_told_unless_it_did_as_it_was_asked(clean: bool, reason: str) -> None:
    bench = Bench().serve()
    bench.hear(CLIENT, m.CloseServer(5, who("s1"), False, 5.0, "it is enough"))
    bench.feed(f.ServerExited(1, who("s1"), "exit code 0" if clean else "exit code 1", 0, 0, clean))
    (ended,) = bench.said_to(CLIENT, m.ServerEnded)
    assert ended.reason == reason


@pytest.mark.row("R-79")
def test_a_server_that_can_not_be_killed_keeps_its_place_and_says_so() -> None:
    bench = Bench().serve()
    bench.hear(CLIENT, m.CloseServer(5, who("s1"), True, 0.0, "stuck"))
    answers = bench.wait(12)
    assert answers.count(f.KillServer(1)) >= 2
    assert any(
        isinstance(message, m.ServerDelayed) and "R-79" in message.reason
        for message in bench.found(m.ServerDelayed)
    )
    bench.exited(1, "s1")
    assert bench.found(f.ForkServer) == [f.ForkServer(1, 1)]


@pytest.mark.row("DC-31")
def test_a_restarted_node_ends_everything_and_begins_anew_with_the_new_setup() -> None:
    bench = Bench().serve()
    bench.hear(CLIENT, m.CloseServer(5, who("s2"), False, 0.0, "closed"))
    bench.exited(2, "s2")
    bench.hear(CLIENT, m.RestartNode(5, Payload(b"new")))
    assert [asked.server for asked in bench.found(f.AskServerToEnd)] == [who("s1")]
    bench.exited(1, "s1")
    assert bench.found(f.EndZygote) == [f.EndZygote(1, False)]
    bench.feed(f.ZygoteExited(1, "exit code 0", False))
    assert bench.found(f.StartZygote) == [f.StartZygote(2, 5, CODE, Payload(b"new"))]
    bench.feed(f.ZygoteReady(2))
    assert [fork.index for fork in bench.found(f.ForkServer)] == [1, 2]


@pytest.mark.row("R-73", "ST-08")
def test_a_pulse_waits_a_moment_for_figures_and_goes_without_them() -> None:
    bench = Bench().serve()
    assert f.Measure() in bench.wait(1.0)
    assert not bench.found(m.Pulse)
    bench.feed(f.AvailMeasured(m.Avail(42.0), (f.ServerSample(1, 3, 0, 1, 2.5, 2),)))
    (pulse,) = bench.said_to(SCHEDULER, m.Pulse)
    (report,) = bench.said_to(CLIENT, m.NodeReport)
    assert pulse.avail == report.avail == m.Avail(42.0)
    assert [(s.running, s.ended) for s in pulse.servers] == [(1, 2), (0, 0)]
    assert [(s.begun, s.unresponsive) for s in report.servers] == [(3, 2.5), (0, 0.0)]
    assert (report.lease, report.lease_left) == (1, pytest.approx(4.0))
    bench.wait(1.0)
    bench.wait(0.25)
    assert bench.said_to(SCHEDULER, m.Pulse), "no figures came"


@pytest.mark.row("R-18")
def test_a_report_says_when_the_lease_lapsed() -> None:
    bench = Bench().serve()
    bench.wait(6.5)
    assert bench.found(m.NodeReport)[-1].lease_left == 0.0


@pytest.mark.row("DN-37")
def test_a_free_node_tells_its_figures_now_and_then() -> None:
    bench = Bench().meet()
    bench.wait(LIMITS.reconcile_interval)
    assert bench.said_to(SCHEDULER, m.Pulse) == [m.Pulse(0, m.Avail(), [])]


@pytest.mark.row("R-19", "R-78", "R-48", "DN-36")
def test_a_client_proved_dead_loses_the_node_at_once() -> None:
    bench = Bench().serve()
    bench.feed(PeerGone(CLIENT, "refused three dials"))
    assert [asked.grace for asked in bench.found(f.AskServerToEnd)] == [LIMITS.grace] * 2
    bench.exited(1, "s1")
    assert not bench.found(f.ForkServer)
    bench.exited(2, "s2")
    assert bench.found(f.EndZygote)
    bench.feed(f.ZygoteExited(1, "exit code 0", False))
    assert bench.found(f.CleanWorkspace) == [f.CleanWorkspace(5)]
    bench.feed(f.CleanedUp(5))
    assert bench.found(f.CloseReservationKey)
    kinds = [
        type(action.message) for action in bench.out if isinstance(action, Say) and action.peer == SCHEDULER
    ]
    assert kinds == [m.Released, m.NodeHere]
    (released,) = bench.said_to(SCHEDULER, m.Released)
    assert (released.lease, released.again) == (1, True)
    assert bench.machine.state is NodeState.FREE
    assert bench.machine.next_deadline() is not None


@pytest.mark.row("R-19")
def test_a_silent_client_is_kept_for_hold_seconds() -> None:
    bench = Bench().serve(hold=30.0)
    bench.feed(PeerSuspect(CLIENT))
    bench.wait(29.0)
    assert bench.machine.state is NodeState.SERVING
    bench.feed(PeerBack(CLIENT))
    bench.wait(60.0)
    assert bench.machine.state is NodeState.SERVING
    bench.feed(PeerSuspect(CLIENT))
    bench.wait(30.0)
    assert bench.machine.state is NodeState.RELEASING


@pytest.mark.row("R-19")
def test_a_client_that_never_comes_does_not_keep_the_node() -> None:
    bench = Bench()
    bench.feed(PeerUp(SCHEDULER, Role.SCHEDULER, None))
    bench.reserve(hold=30.0)
    bench.wait(30.0)
    assert bench.machine.state is NodeState.RELEASING


@pytest.mark.row("R-46")
def test_a_gap_in_our_own_clock_is_no_evidence_against_the_client() -> None:
    bench = Bench().serve(hold=30.0)
    bench.feed(PeerSuspect(CLIENT))
    bench.now += 60.0
    bench.machine.tick(bench.now)
    assert bench.machine.state is NodeState.SERVING
    bench.wait(30.0)
    assert bench.machine.state is NodeState.RELEASING


@pytest.mark.row("DN-14", "DS-14")
def test_an_idle_client_is_closed_here_and_a_busy_one_is_not() -> None:
    bench = Bench(zombie_period=10.0).serve(zombie_period=60.0)
    for _ in range(20):
        bench.wait(1.0)
        bench.feed(
            f.AvailMeasured(m.Avail(), (f.ServerSample(1, 0, 1, 1, 0.0), f.ServerSample(2, 0, 0, 0, 0.0)))
        )
    assert bench.machine.state is NodeState.SERVING
    for _ in range(11):
        bench.wait(1.0)
        bench.feed(
            f.AvailMeasured(m.Avail(), (f.ServerSample(1, 0, 1, 0, 0.0), f.ServerSample(2, 0, 0, 0, 0.0)))
        )
    assert bench.machine.state is NodeState.RELEASING
    bench.released()
    (released,) = bench.said_to(SCHEDULER, m.Released)
    assert (released.idle, released.again) == (True, False)
    assert bench.said_to(CLIENT, m.Released)


@pytest.mark.row("DN-14", "DS-14")
def test_the_time_in_which_servers_start_is_not_idle() -> None:
    bench = Bench().meet().reserve(zombie_period=10.0).prepare()
    bench.feed(f.ZygoteReady(1))
    bench.wait(9.0)
    bench.up(1, "s1")
    bench.wait(9.0)
    bench.up(2, "s2")
    bench.wait(9.0)
    assert bench.machine.state is NodeState.SERVING
    bench.wait(3.0)
    assert bench.machine.state is NodeState.RELEASING


@pytest.mark.row("DN-18")
def test_a_node_that_serves_one_client_exits_when_it_is_closed() -> None:
    bench = Bench(serve=1).serve()
    bench.hear(SCHEDULER, m.Release(5, True, "over"))
    bench.released()
    (left,) = bench.found(f.Exit)
    assert left.code == 0
    assert bench.machine.status()["served"] == 1
    assert bench.feed(PeerUp(who("x"), Role.SCHEDULER, None)) == []


@pytest.mark.row("DN-18")
def test_a_client_that_never_prepared_the_node_is_not_counted() -> None:
    bench = Bench(serve=1).meet().reserve()
    bench.hear(SCHEDULER, m.Release(5, True, "over"))
    bench.feed(f.CleanedUp(5))
    assert not bench.found(f.Exit)
    assert bench.machine.status()["served"] == 0


@pytest.mark.row("DN-21")
def test_close_ends_the_clients_work_and_keeps_the_node_from_it() -> None:
    bench = Bench().serve()
    bench.feed(f.Ordered(f.Order.CLOSE))
    assert bench.machine.state is NodeState.RELEASING
    bench.released()
    (released,) = bench.said_to(SCHEDULER, m.Released)
    assert not released.again
    assert "operator" in released.reason
    assert bench.said_to(SCHEDULER, m.NodeHere)[0].open


@pytest.mark.row("DN-22")
def test_quit_lets_the_client_finish_and_exits_when_it_is_released() -> None:
    bench = Bench().serve()
    bench.feed(f.Ordered(f.Order.QUIT))
    (closing,) = bench.said_to(CLIENT, m.NodeOpen)
    assert (closing.open, closing.leaving) == (False, True)
    assert bench.said_to(SCHEDULER, m.NodeHere)[0].open is False
    assert bench.machine.state is NodeState.SERVING
    bench.hear(SCHEDULER, m.Release(5, True, "given back"))
    bench.released()
    assert bench.found(f.Exit)


@pytest.mark.row("DN-22", "DN-23")
@pytest.mark.parametrize("order", [f.Order.QUIT, f.Order.TERMINATE])
def test_a_free_node_exits_at_once(order: f.Order) -> None:
    bench = Bench().meet()
    bench.feed(f.Ordered(order))
    assert bench.found(f.Exit)
    assert bench.machine.state is NodeState.ENDED
    assert bench.machine.next_deadline() is None


@pytest.mark.row("DN-23", "R-53")
def test_terminate_ends_with_grace_and_a_second_one_without() -> None:
    bench = Bench().serve()
    bench.feed(f.Ordered(f.Order.TERMINATE))
    assert len(bench.found(f.AskServerToEnd)) == 2
    assert not bench.found(f.KillServer)
    bench.feed(f.Ordered(f.Order.TERMINATE))
    assert bench.found(f.KillServer) == [f.KillServer(1), f.KillServer(2)]
    assert bench.found(f.EndZygote) == [f.EndZygote(1, True)]


@pytest.mark.row("DN-24")
def test_hours_of_service_suspend_then_end_then_open() -> None:
    bench = Bench().serve()
    bench.feed(f.ServiceHours(f.Hours.CLOSED))
    (closed,) = bench.said_to(CLIENT, m.NodeOpen)
    assert (closed.open, closed.leaving) == (False, False)
    assert bench.said_to(SCHEDULER, m.NodeHere)[0].open is False
    assert bench.states == [PlaceState.UP] * 2, "running tasks go on"
    bench.feed(f.ServiceHours(f.Hours.ENDED))
    assert len(bench.found(f.AskServerToEnd)) == 2
    bench.released()
    bench.reserve(number=6, lease=2)
    assert bench.said_to(SCHEDULER, m.ReserveRefused)
    bench.feed(f.ServiceHours(f.Hours.OPEN))
    assert bench.said_to(SCHEDULER, m.NodeHere)[0].open
    bench.reserve(number=6, lease=3)
    assert bench.said_to(SCHEDULER, m.Reserved)


@pytest.mark.row("R-48")
def test_a_release_while_a_server_starts_ends_it_too() -> None:
    bench = Bench().meet().reserve().prepare()
    bench.feed(f.ZygoteReady(1))
    bench.up(2, "s2")
    bench.hear(SCHEDULER, m.Release(5, True, "over"))
    assert f.KillServer(1) in bench.out
    bench.up(1, "s1")
    assert [asked.server for asked in bench.found(f.AskServerToEnd)] == [who("s1")]
    assert not bench.said_to(CLIENT, m.ServerStarted)
    bench.exited(1, "s1").exited(2, "s2")
    assert bench.found(f.EndZygote)


@pytest.mark.row("R-48")
def test_a_zygote_that_does_not_end_is_killed() -> None:
    bench = Bench().meet().reserve().prepare()
    bench.hear(SCHEDULER, m.Release(5, True, "over"))
    assert bench.found(f.EndZygote) == [f.EndZygote(1, False)]
    assert f.EndZygote(1, True) in bench.wait(LIMITS.grace)


@pytest.mark.rule("S3")
def test_a_release_of_what_the_node_does_not_hold_is_answered() -> None:
    bench = Bench().meet()
    bench.hear(SCHEDULER, m.Release(77, True, "over", 8))
    kinds = [type(action.message) for action in bench.out if isinstance(action, Say)]
    assert kinds == [m.Released, m.NodeHere]


@pytest.mark.row("DN-20")
def test_status_names_servers_and_their_tasks() -> None:
    bench = Bench().serve()
    bench.feed(f.AvailMeasured(m.Avail(), (f.ServerSample(2, 3, 0, 1, 0.0),)))
    status = bench.machine.status()
    assert [(s["name"], s["running"]) for s in status["servers"]] == [("n1_server-1", 0), ("n1_server-2", 1)]
    assert status["client"] == CLIENT


def test_a_story_tells_what_happened_to_a_server_and_a_reservation() -> None:
    bench = Bench().serve().exited(1, "s1")
    assert "killed by signal 9" in bench.machine.story(who("s1"))
    assert "prepare: preparing" in bench.machine.story(5)
    assert bench.machine.story(99) == "nothing is known of it"
