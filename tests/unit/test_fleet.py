"""The fleet: a client's nodes and servers, from granted to closed, with statuses in order."""

from __future__ import annotations

from typing import Any

import pytest

from dispycos import messages as m
from dispycos.client import events as e
from dispycos.client import orders as o
from dispycos.client.fleet import Fleet
from dispycos.client.members import NodeState, ServerState
from dispycos.client.submission import NodeGone
from dispycos.client.turn import TurnState
from dispycos.config import Limits
from dispycos.errors import InternalError
from dispycos.events import (
    Dial,
    DialFailed,
    Note,
    PeerBack,
    PeerGone,
    PeerSuspect,
    PeerUp,
    Say,
    StopDialling,
)
from dispycos.model import (
    DispycosNodeAvailInfo,
    DispycosStatus,
    End,
    Location,
    Payload,
    Role,
    Status,
)
from tests.unit.bench import MachineBench, who

LIMITS = Limits()
CODE, SETUP = Payload(b"code"), Payload(b"setup")
RESERVATION = 7
Z = 5.0


OUR, SCHEDULER = who("client"), who("scheduler")
AT_SCHEDULER = Location("10.0.0.9", 9705)
N1, N2 = Location("10.0.0.1", 9706), Location("10.0.0.2", 9706)


def facts(name: str = "n1", location: Location = N1) -> m.NodeFacts:
    return m.NodeFacts(who(name), location, name, "Linux", "3.11", 2, m.Avail(50.0))


def server(name: str, index: int = 1, location: Location = N1) -> m.ServerFacts:
    return m.ServerFacts(who(name), Location(location.addr, 9706 + index), index, 10 + index, 0, 0)


class Bench(MachineBench[Fleet]):
    """A fleet, what it answered last, and all statuses that it told."""

    def __init__(self, **options: Any) -> None:
        options = {"node_setup": SETUP, "pulse_interval": 1.0, **options}
        here = Location("10.0.0.5", 1)
        super().__init__(Fleet(OUR, LIMITS, name="c1", location=here, code=CODE, **options))
        self.fleet = self.machine
        self.statuses: list[DispycosStatus] = []
        self.tickets = 100

    def note(self, actions: list[Any]) -> list[Any]:
        for action in actions:
            if isinstance(action, o.Notify) and isinstance(action.message, DispycosStatus):
                self.statuses.append(action.message)
        return super().note(actions)

    def order(self, kind: Any, *values: Any) -> int:
        """Give an order that carries a ticket; its ticket."""
        self.tickets += 1
        self.feed(kind(self.tickets, *values))
        return self.tickets

    def answered(self, ticket: int) -> tuple[int, str] | None:
        answers = [(a.code, a.reason) for a in self.found(o.Answered) if a.ticket == ticket]
        assert len(answers) <= 1
        return answers[0] if answers else None

    def told(self, place: Location | None = None) -> list[str]:
        """Names of the statuses, of one place or of all."""
        return [
            status.status.name
            for status in self.statuses
            if place is None or place in (status.info, getattr(status.info, "location", None))
        ]

    # Stages.

    def schedule_ourselves(self, name: str = "") -> Bench:
        """With the private scheduler of this process."""
        self.feed(o.BeginSchedule(1, OUR, None, name=name))
        self.hear(OUR, m.Scheduled(1, RESERVATION))
        return self

    def schedule(self) -> Bench:
        self.feed(PeerUp(SCHEDULER, Role.SCHEDULER, AT_SCHEDULER))
        self.feed(o.BeginSchedule(1, SCHEDULER, AT_SCHEDULER))
        self.hear(SCHEDULER, m.Scheduled(1, RESERVATION))
        return self

    def grant(self, name: str = "n1", location: Location = N1, lease: int = 1) -> Bench:
        self.hear(SCHEDULER, m.NodeGranted(RESERVATION, lease, facts(name, location), 2, 1.0))
        return self

    def reach(self, name: str = "n1", location: Location = N1) -> Bench:
        self.feed(PeerUp(who(name), Role.NODE, location))
        return self

    def prepared(self, name: str = "n1", location: Location = N1, lease: int = 1) -> Bench:
        self.grant(name, location, lease).reach(name, location)
        self.hear(who(name), m.Prepared(RESERVATION, lease))
        return self

    def start(self, name: str = "s1", index: int = 1, node: str = "n1", location: Location = N1) -> Bench:
        self.hear(who(node), m.ServerStarted(RESERVATION, server(name, index, location), 0))
        self.feed(PeerUp(who(name), Role.SERVER, Location(location.addr, 9706 + index)))
        return self

    def ready(self, name: str = "s1", index: int = 1, node: str = "n1", location: Location = N1) -> Bench:
        self.start(name, index, node, location)
        self.hear(who(name), m.ServerReady(1, name))
        return self

    def ended(
        self, name: str = "s1", *, index: int = 1, asked: bool = False, restarts: bool = True, begun: int = 3
    ) -> Bench:
        location = Location("10.0.0.1", 9706 + index)
        message = m.ServerEnded(RESERVATION, who(name), location, asked, restarts, "exit code 9", begun, 0)
        self.hear(who("n1"), message)
        return self

    def report(self, *servers: m.ServerFacts, left: float = 5.0) -> Bench:
        self.hear(who("n1"), m.NodeReport(RESERVATION, m.Avail(1.0), list(servers), 1, left))
        return self


def running(**options: Any) -> Bench:
    """One node with two usable servers."""
    return Bench(**options).schedule().prepared().ready("s1", 1).ready("s2", 2)


S1, S2 = Location("10.0.0.1", 9707), Location("10.0.0.1", 9708)


# The turn.


@pytest.mark.row("DC-15", "ST-07")
def test_a_turn_is_asked_for_and_answered_when_it_comes() -> None:
    bench = Bench(rules=[m.Rule("*", 1, "", 0, 0, 0)])
    bench.feed(PeerUp(SCHEDULER, Role.SCHEDULER, AT_SCHEDULER))
    bench.feed(o.BeginSchedule(1, SCHEDULER, AT_SCHEDULER))
    (schedule,) = bench.said_to(SCHEDULER, m.Schedule)
    assert (schedule.ticket, schedule.reservation, len(schedule.rules)) == (1, 0, 1)
    bench.hear(SCHEDULER, m.Queued(1, 2, "client c0 holds the cluster"))
    assert ["at place 2 of the queue: client c0" in note.text for note in bench.found(Note)] == [True]
    bench.hear(SCHEDULER, m.Queued(1, 2, "client c0 closes"))
    assert not bench.found(Note)
    bench.hear(SCHEDULER, m.Queued(1, 2, "client c0 holds the cluster"))
    assert "place 2: client c0" in bench.fleet.why(bench.now)
    bench.hear(SCHEDULER, m.Scheduled(1, RESERVATION))
    assert bench.answered(1) == (0, "")
    assert bench.statuses == [DispycosStatus(Status.ClientScheduled, AT_SCHEDULER)]


@pytest.mark.row("MO-37")
def test_what_the_scheduler_wants_hidden_is_known_with_the_turn_and_renewed_with_a_claim() -> None:
    bench = Bench()
    bench.feed(o.BeginSchedule(1, SCHEDULER, AT_SCHEDULER))
    bench.hear(SCHEDULER, m.Scheduled(1, RESERVATION, ["pass*"]))
    assert bench.fleet.turn.redact == ("pass*",)
    bench.hear(SCHEDULER, m.Scheduled(7, RESERVATION, []))  # of another request
    assert bench.fleet.turn.redact == ("pass*",)
    bench.hear(SCHEDULER, m.Scheduled(1, RESERVATION, ["pass*", "token"]))
    assert bench.fleet.turn.redact == ("pass*", "token")
    assert bench.statuses == [DispycosStatus(Status.ClientScheduled, AT_SCHEDULER)]


@pytest.mark.row("DC-15")
def test_giving_up_leaves_the_queue_and_a_late_turn_is_not_taken() -> None:
    bench = Bench()
    bench.feed(o.BeginSchedule(1, SCHEDULER, AT_SCHEDULER))
    bench.hear(SCHEDULER, m.Queued(1, 2, "client c0 holds the cluster"))
    bench.feed(o.GiveUpSchedule(1))
    assert bench.said_to(SCHEDULER, m.Unschedule) == [m.Unschedule(1)]
    answer = bench.answered(1)
    assert answer is not None
    assert answer[0] == -1
    assert "c0" in answer[1]
    bench.hear(SCHEDULER, m.Scheduled(1, RESERVATION))
    # Else it would hold the cluster for nobody as long as this program lives.
    assert bench.out == [Say(SCHEDULER, m.Unschedule(1))]
    bench.feed(o.BeginSchedule(2, SCHEDULER, AT_SCHEDULER))
    bench.hear(SCHEDULER, m.Scheduled(2, 8))
    assert bench.answered(2) == (0, "")


@pytest.mark.row("DC-15")
def test_a_refusal_is_the_answer() -> None:
    bench = Bench()
    bench.feed(o.BeginSchedule(1, SCHEDULER, None))
    bench.hear(SCHEDULER, m.ScheduleRefused(1, "the operator quits"))
    assert bench.answered(1) == (-1, "the operator quits")


@pytest.mark.row("R-17", "R-18", "DS-21")
def test_a_lost_scheduler_is_dialled_and_its_successor_told_of_the_turn() -> None:
    bench = running()
    bench.feed(PeerGone(SCHEDULER, "refused"))
    assert bench.found(Dial) == [Dial(AT_SCHEDULER)]
    bench.now += 12
    assert "not reachable since 12 s" in bench.fleet.why(bench.now)
    bench.feed(PeerUp(who("next"), Role.SCHEDULER, AT_SCHEDULER))
    (claim,) = bench.said_to(who("next"), m.Schedule)
    assert (claim.ticket, claim.reservation) == (1, RESERVATION)
    bench.hear(who("next"), m.Scheduled(1, RESERVATION))
    bench.hear(who("next"), m.NodeGranted(RESERVATION, 1, facts(), 2, 1.0))
    assert bench.told().count("NodeDiscovered") == 1
    assert bench.fleet.crew.usable == 2


def test_a_successor_that_comes_before_the_loss_is_noticed_is_taken() -> None:
    bench = running()
    bench.feed(PeerUp(who("next"), Role.SCHEDULER, AT_SCHEDULER))
    assert bench.said_to(who("next"), m.Schedule)
    bench.feed(PeerGone(SCHEDULER, "another incarnation answers there"))
    assert not bench.found(Dial)


@pytest.mark.row("R-37")
def test_a_scheduler_that_forgot_us_is_told_again() -> None:
    bench = running()
    bench.hear(SCHEDULER, m.RegisterAgain("who are you?"))
    assert bench.said_to(SCHEDULER, m.Schedule)[0].reservation == RESERVATION
    bench.hear(SCHEDULER, m.ScheduleRefused(1, "that turn is over"))
    assert bench.found(o.TurnEnded)
    assert bench.told()[-1] == "ClientClosed"


@pytest.mark.row("SE-22")
def test_only_our_scheduler_speaks_as_one() -> None:
    bench = running()
    bench.hear(who("stranger"), m.NodeWithdrawn(RESERVATION, who("n1"), "mine"))
    bench.hear(who("stranger"), m.ClientEnded(RESERVATION, "mine"))
    assert bench.fleet.crew.usable == 2


# Nodes.


@pytest.mark.row("ST-01", "ST-02", "DC-07")
def test_a_node_is_discovered_dialled_prepared_and_initialized() -> None:
    bench = Bench().schedule().grant()
    assert bench.told(N1) == ["NodeDiscovered"]
    assert bench.found(Dial) == [Dial(N1)]
    bench.reach()
    assert bench.said_to(who("n1"), m.Prepare) == [m.Prepare(RESERVATION, CODE, SETUP, 2, False, 1)]
    bench.hear(who("n1"), m.Prepared(RESERVATION, 1))
    assert bench.told(N1) == ["NodeDiscovered", "NodeInitialized"]
    info = bench.statuses[-1].info
    assert isinstance(info, DispycosNodeAvailInfo)
    assert (info.name, info.cpus, info.cpu) == ("n1", 2, 50.0)


def test_a_node_with_a_session_already_needs_no_dial() -> None:
    bench = Bench().schedule().reach().grant()
    assert not bench.found(Dial)
    assert bench.said_to(who("n1"), m.Prepare)


@pytest.mark.row("DC-03")
def test_files_go_before_prepare_and_a_failure_closes_the_node() -> None:
    bench = Bench(files=True).schedule().grant().reach()
    assert bench.found(o.SendFiles) == [o.SendFiles(who("n1"))]
    assert not bench.said_to(who("n1"), m.Prepare)
    bench.feed(o.FilesSent(who("n1")))
    assert bench.said_to(who("n1"), m.Prepare)
    bench.grant("n2", N2, 2).reach("n2", N2)
    bench.feed(o.FilesSent(who("n2"), "data.bin is too large"))
    assert bench.told(N2) == ["NodeDiscovered", "NodeClosed"]
    assert bench.statuses[-1].info.reason == "data.bin is too large"


@pytest.mark.row("DC-10", "DC-37")
def test_a_disabled_node_waits_to_be_enabled_with_its_arguments() -> None:
    bench = Bench(disable_nodes=True).schedule().grant().reach()
    assert not bench.said_to(who("n1"), m.Prepare)
    assert "waits for enable_node" in bench.fleet.why(bench.now)
    assert bench.answered(bench.order(o.EnableNode, N2, None)) is not None
    ticket = bench.order(o.EnableNode, "10.0.0.1", Payload(b"with arguments"))
    assert bench.answered(ticket) == (0, "")
    assert bench.said_to(who("n1"), m.Prepare)[0].setup == Payload(b"with arguments")
    again = bench.answered(bench.order(o.EnableNode, N1, None))
    assert again is not None
    assert again[0] == -1


@pytest.mark.row("R-09", "DC-07")
def test_a_node_whose_setup_fails_is_closed_with_the_reason_and_may_be_enabled_again() -> None:
    bench = Bench().schedule().grant().reach()
    bench.hear(who("n1"), m.PrepareFailed(RESERVATION, "node_setup returned 3", 1))
    assert bench.told(N1) == ["NodeDiscovered", "NodeClosed"]
    assert bench.statuses[-1].reason == "node_setup returned 3"
    assert "node_setup returned 3" in bench.fleet.why(bench.now)
    assert not bench.said_to(SCHEDULER, m.ReturnNode)
    bench.order(o.EnableNode, N1, SETUP)
    bench.hear(who("n1"), m.Prepared(RESERVATION, 1))
    assert bench.told(N1)[2:] == ["NodeDiscovered", "NodeInitialized"]


@pytest.mark.row("ST-03")
def test_an_ignored_node_is_told_with_its_reason() -> None:
    bench = Bench().schedule()
    bench.hear(SCHEDULER, m.NodeIgnored(RESERVATION, facts(), "its platform does not match"))
    assert bench.told() == ["ClientScheduled", "NodeIgnore"]
    assert "platform" in bench.fleet.why(bench.now)


@pytest.mark.row("R-99")
def test_that_no_node_comes_is_told_to_dispatch_in_the_turn_and_as_long_as_there_is_none() -> None:
    bench = Bench()
    bench.feed(o.NoNodes("every host refuses"))
    assert not bench.found(e.NoServers)
    bench.schedule_ourselves()
    assert bench.found(e.NoServers) == [e.NoServers("every host refuses")]
    bench.feed(o.NoNodes("every host refuses"))
    assert not bench.found(e.NoServers)  # it is known
    granted = m.NodeGranted(RESERVATION, 1, facts(), 2, 1.0)
    bench.hear(OUR, granted)
    assert bench.found(e.NoServers) == [e.NoServers("")]
    bench.reach()
    bench.feed(PeerGone(who("n1"), "it died"))
    assert bench.found(e.NoServers) == [e.NoServers("every host refuses")]
    bench.feed(o.NoNodes(""))
    assert bench.found(e.NoServers) == [e.NoServers("")]


@pytest.mark.row("R-99")
def test_a_refusal_that_does_not_last_is_told_each_time_and_ends_one_that_did() -> None:
    bench = Bench()
    passing = o.NoNodes("every host refuses", lasting=False)
    bench.feed(passing)
    bench.schedule_ourselves()
    assert not bench.found(e.NoServers)  # it was of what waited then
    for _ in range(2):
        bench.feed(passing)
        assert bench.found(e.NoServers) == [e.NoServers("every host refuses", lasting=False)]
    bench.feed(o.NoNodes("no such partition"))
    bench.feed(passing)
    assert bench.found(e.NoServers) == [e.NoServers("every host refuses", lasting=False)]
    bench.feed(o.NoNodes(""))
    assert not bench.found(e.NoServers)  # nothing lasts that was to be taken back
    bench.hear(OUR, m.NodeGranted(RESERVATION, 1, facts(), 2, 1.0))
    bench.feed(passing)
    assert not bench.found(e.NoServers)  # it has a node


@pytest.mark.row("R-99")
def test_that_this_program_starts_no_node_says_nothing_of_those_of_a_shared_scheduler() -> None:
    bench = Bench().schedule()
    bench.feed(o.NoNodes("every host refuses"))
    assert not bench.found(e.NoServers)


@pytest.mark.row("DC-15")
def test_a_scheduler_is_asked_under_the_name_that_the_order_has() -> None:
    assert Bench().schedule_ourselves("c1 #2").fleet.turn.name == "c1 #2"
    assert Bench().schedule_ourselves().fleet.turn.name == "c1"


@pytest.mark.row("DC-59")
def test_the_scheduler_hears_of_the_work_as_often_as_it_asks_and_while_it_does() -> None:
    bench = Bench().schedule()
    bench.hear(SCHEDULER, m.TellDemand(RESERVATION + 1, 0.5))
    assert not bench.found(o.SayDemand) and not said(bench, 3)
    bench.hear(SCHEDULER, m.TellDemand(RESERVATION, 0.5))
    assert bench.found(o.SayDemand) == [o.SayDemand(anew=True)]
    assert said(bench, 2) == 4
    # No scheduler needs it more often than this.
    bench.hear(SCHEDULER, m.TellDemand(RESERVATION, 1e-9))
    assert said(bench, 2) == 20
    bench.hear(SCHEDULER, m.TellDemand(RESERVATION, 0.0))
    assert not bench.found(o.SayDemand) and not said(bench, 3)
    # Whoever the turn is claimed from may want none.
    bench.hear(SCHEDULER, m.TellDemand(RESERVATION, 0.5))
    bench.hear(SCHEDULER, m.Scheduled(1, RESERVATION))
    assert not said(bench, 3)
    bench.hear(SCHEDULER, m.TellDemand(RESERVATION, 0.5))
    bench.hear(SCHEDULER, m.ClientEnded(RESERVATION, "it ran nothing for too long"))
    bench.hear(SCHEDULER, m.TellDemand(RESERVATION, 0.5))
    assert not bench.found(o.SayDemand) and not said(bench, 3)


def said(bench: Bench, seconds: float) -> int:
    """How often the scheduler would have heard of the work in so many seconds."""
    bench.wait(seconds + 0.01)
    return bench.found(o.SayDemand).count(o.SayDemand(anew=False))


@pytest.mark.row("R-92")
def test_a_node_that_is_ignored_after_the_end_of_the_turn_is_not_told() -> None:
    bench = Bench().schedule()
    bench.hear(SCHEDULER, m.ClientEnded(RESERVATION, "its client closed it"))
    assert bench.told()[-1] == "ClientClosed"
    bench.hear(SCHEDULER, m.NodeIgnored(RESERVATION, facts(), "it did not answer in time"))
    assert "NodeIgnore" not in bench.told()


@pytest.mark.row("ST-08")
def test_availability_comes_bare_with_each_report() -> None:
    bench = running()
    bench.report(server("s1"), server("s2", 2))
    (notify,) = bench.found(o.Notify)
    assert isinstance(notify.message, DispycosNodeAvailInfo)
    assert notify.message.cpu == 1.0


# Servers.


@pytest.mark.row("ST-01", "ST-04")
def test_a_server_is_discovered_dialled_with_its_key_set_up_and_usable() -> None:
    bench = Bench(server_setup=Payload(b"ss")).schedule().prepared()
    bench.hear(who("n1"), m.ServerStarted(RESERVATION, server("s1"), 1))
    assert bench.told(S1) == ["ServerDiscovered"]
    assert bench.found(Dial) == [Dial(S1, RESERVATION)]
    bench.feed(PeerUp(who("s1"), Role.SERVER, S1))
    assert bench.said_to(who("s1"), m.SetUpServer) == [m.SetUpServer(RESERVATION, Payload(b"ss"))]
    bench.hear(who("s1"), m.ServerReady(1, "n1_server-1"))
    assert bench.told(S1) == ["ServerDiscovered", "ServerInitialized"]
    assert bench.found(e.ServerUsable) == [e.ServerUsable(who("s1"), who("n1"), 1)]
    assert bench.fleet.why(bench.now) == ""
    assert bench.fleet.servers() == [S1]
    assert bench.fleet.nodes() == ["10.0.0.1"]


@pytest.mark.row("DC-11", "DC-38", "DC-12")
def test_a_disabled_server_waits_and_its_successor_gets_the_same_arguments() -> None:
    bench = Bench(disable_servers=True).schedule().prepared().start()
    assert not bench.said_to(who("s1"), m.SetUpServer)
    assert bench.answered(bench.order(o.EnableServer, S1, Payload(b"args"))) == (0, "")
    assert bench.said_to(who("s1"), m.SetUpServer)[0].setup == Payload(b"args")
    bench.hear(who("s1"), m.ServerReady(1, "s1"))
    bench.ended("s1").start("s1b")
    assert bench.said_to(who("s1b"), m.SetUpServer)[0].setup == Payload(b"args")


@pytest.mark.row("DC-08", "R-09")
def test_a_server_whose_setup_fails_is_closed_with_the_reason_and_may_be_enabled_again() -> None:
    bench = Bench().schedule().prepared().start()
    bench.hear(who("s1"), m.SetUpFailed("server_setup returned 2"))
    assert bench.told(S1) == ["ServerDiscovered", "ServerClosed"]
    assert "returned 2" in bench.statuses[-1].reason
    assert not bench.found(e.ServerUsable)
    assert bench.answered(bench.order(o.EnableServer, S1, None)) == (0, "")
    bench.hear(who("s1"), m.ServerReady(1, "s1"))
    assert bench.told(S1)[2:] == ["ServerDiscovered", "ServerInitialized"]


@pytest.mark.row("R-09")
def test_a_setup_that_kills_three_processes_is_not_tried_a_fourth_time() -> None:
    bench = Bench().schedule().prepared()
    for number in range(3):
        bench.start(f"s{number}")
        assert bench.said_to(who(f"s{number}"), m.SetUpServer)
        bench.ended(f"s{number}", begun=0)
    bench.start("s9")
    assert not bench.said_to(who("s9"), m.SetUpServer)
    assert bench.told(S1) == ["ServerDiscovered", "ServerAbandoned", "ServerClosed"] * 3
    assert "3 times" in bench.fleet.why(bench.now)
    assert bench.answered(bench.order(o.EnableServer, S1, None)) == (0, "")
    assert bench.said_to(who("s9"), m.SetUpServer)


@pytest.mark.row("R-05", "DC-41")
def test_a_dead_server_is_told_with_its_counters_and_abandoned() -> None:
    bench = running()
    bench.ended("s1", begun=7)
    (gone,) = bench.found(e.ServerGone)
    assert (gone.server, gone.begun, gone.begun_io, gone.end) == (who("s1"), 7, 0, End.SERVER_LOST)
    assert "10.0.0.1:9707" in gone.reason
    assert "exit code 9" in gone.reason
    assert bench.told(S1)[2:] == ["ServerAbandoned", "ServerClosed"]
    assert bench.fleet.crew.usable == 1
    bench.ended("s1")
    assert bench.out == []


def test_a_dead_server_that_was_never_usable_is_not_mentioned_to_dispatch() -> None:
    bench = Bench().schedule().prepared().start()
    bench.ended("s1")
    assert not bench.found(e.ServerGone)
    assert bench.told(S1) == ["ServerDiscovered", "ServerAbandoned", "ServerClosed"]


def test_a_server_that_dies_before_it_is_reached_is_not_dialled_any_longer() -> None:
    bench = Bench().schedule().prepared()
    bench.hear(who("n1"), m.ServerStarted(RESERVATION, server("s1"), 1))
    bench.feed(DialFailed(S1, "connection refused"))
    assert "connection refused" in bench.fleet.why(bench.now)
    bench.ended("s1")
    assert bench.found(StopDialling) == [StopDialling(S1)]


@pytest.mark.row("R-36")
def test_a_server_that_its_node_does_not_list_any_more_is_gone() -> None:
    bench = running()
    bench.report(server("s2", 2))
    (gone,) = bench.found(e.ServerGone)
    assert (gone.server, gone.begun) == (who("s1"), -1)
    assert "no record" in gone.reason


@pytest.mark.row("R-08")
def test_an_unresponsive_server_is_shown_and_not_ended() -> None:
    bench = running()
    stuck = m.ServerFacts(who("s1"), S1, 1, 1, 0, 0, unresponsive=7.5)
    bench.report(stuck, server("s2", 2))
    shown = bench.fleet.status(bench.now)["nodes"][0]["servers"][0]
    assert shown["unresponsive"] == 7.5
    assert bench.fleet.crew.usable == 2


@pytest.mark.row("R-12")
def test_a_suspect_server_gets_no_tasks_until_it_is_back() -> None:
    bench = running()
    bench.feed(PeerSuspect(who("s1")))
    assert bench.found(e.ServerSuspect) == [e.ServerSuspect(who("s1"))]
    assert bench.fleet.crew.usable == 1
    bench.feed(PeerBack(who("s1")))
    assert bench.found(e.ServerBack) == [e.ServerBack(who("s1"))]
    assert bench.told(S1) == ["ServerDiscovered", "ServerInitialized"]


@pytest.mark.row("R-13", "ST-04")
def test_a_server_silent_for_z_is_shown_as_disconnected() -> None:
    bench = running()
    bench.feed(PeerSuspect(who("s1")))
    for _ in range(6):
        bench.wait(1.0)
        bench.report(server("s1"), server("s2", 2))
    bench.feed(PeerBack(who("s1")))
    assert bench.told(S1)[2:] == ["ServerDisconnected", "ServerResumed"]


@pytest.mark.row("R-05")
def test_a_server_whose_session_is_lost_is_ended_by_its_node_if_it_lives() -> None:
    bench = running()
    bench.feed(PeerGone(who("s1"), "refused three dials"))
    assert not bench.found(e.ServerGone), "its node has the proof and the counters"
    assert bench.found(e.ServerSuspect)
    closes: list[m.CloseServer] = []
    for _ in range(6):
        bench.report(server("s1"), server("s2", 2))
        bench.wait(1.0)
        closes += bench.said_to(who("n1"), m.CloseServer)
    assert [(c.server, c.restart, c.grace) for c in closes] == [(who("s1"), True, 0.0)]
    bench.ended("s1", asked=True)
    assert bench.found(e.ServerGone)


@pytest.mark.row("R-18")
def test_a_lapsed_lease_holds_the_servers_until_it_is_granted_again() -> None:
    bench = running()
    bench.report(server("s1"), server("s2", 2), left=0.0)
    assert len(bench.found(e.ServerSuspect)) == 2
    assert "lease" in bench.fleet.why(bench.now)
    bench.report(server("s1"), server("s2", 2), left=5.0)
    assert len(bench.found(e.ServerBack)) == 2
    assert bench.found(e.LeaseChanged) == [e.LeaseChanged(who("s1"), 1), e.LeaseChanged(who("s2"), 1)]


# Suspending.


@pytest.mark.row("DC-24", "DC-25")
def test_a_suspended_server_gets_no_tasks_until_it_is_resumed() -> None:
    bench = running()
    assert bench.answered(bench.order(o.Suspend, S1, False)) == (0, "")
    bench.order(o.Suspend, S1, False)
    assert not bench.found(e.ServerSuspended), "once is enough"
    assert bench.answered(bench.order(o.Resume, S1, False)) == (0, "")
    assert bench.found(e.ServerResumed) == [e.ServerResumed(who("s1"))]
    assert bench.answered(bench.order(o.Resume, S1, False)) == (0, "")
    assert bench.told(S1)[2:] == ["ServerSuspended", "ServerResumed"]
    unknown = bench.answered(bench.order(o.Suspend, N2, False))
    assert unknown is not None
    assert unknown[0] == -1


@pytest.mark.row("DC-28", "DC-29", "ST-03")
def test_a_suspended_node_suspends_all_its_servers_also_later_ones() -> None:
    bench = running()
    assert bench.answered(bench.order(o.Suspend, "10.0.0.1", True)) == (0, "")
    assert len(bench.found(e.ServerSuspended)) == 2
    assert bench.told(N1)[-1] == "NodeSuspended"
    bench.ended("s1").ready("s1b")
    assert bench.found(e.ServerSuspended) == [e.ServerSuspended(who("s1b"))]
    assert bench.fleet.crew.usable == 0
    assert "suspended" in bench.fleet.why(bench.now)
    bench.order(o.Resume, N1, True)
    assert len(bench.found(e.ServerResumed)) == 2
    assert bench.told(N1)[-1] == "NodeResumed"


@pytest.mark.row("DN-24", "DC-28")
def test_a_node_outside_its_hours_is_suspended() -> None:
    bench = running()
    bench.hear(who("n1"), m.NodeOpen(RESERVATION, False, False, "outside its hours of service"))
    assert len(bench.found(e.ServerSuspended)) == 2
    assert bench.statuses[-3].reason == "outside its hours of service"
    bench.hear(who("n1"), m.NodeOpen(RESERVATION, True, False, ""))
    assert len(bench.found(e.ServerResumed)) == 2


@pytest.mark.row("DN-22")
def test_a_node_that_leaves_is_closed_when_its_tasks_are_done() -> None:
    bench = running()
    bench.hear(who("n1"), m.NodeOpen(RESERVATION, False, True, "the operator said quit"))
    assert [closing.terminate for closing in bench.found(e.ServerClosing)] == [False, False]


# Closing servers.


@pytest.mark.row("DC-26", "R-47")
def test_a_server_is_closed_when_it_says_that_nothing_is_left() -> None:
    bench = running()
    ticket = bench.order(o.CloseOneServer, S1, False, False)
    assert bench.found(e.ServerClosing) == [e.ServerClosing(who("s1"), False)]
    assert bench.answered(ticket) is None
    bench.wait(100)
    assert not bench.said_to(who("n1"), m.CloseServer), "its tasks may take their time"


@pytest.mark.row("DC-26")
def test_a_finished_server_is_ended_by_its_node_and_the_order_answered() -> None:
    bench = running()
    ticket = bench.order(o.CloseOneServer, S1, False, False)
    bench.hear(who("s1"), m.Finished())
    assert bench.said_to(who("n1"), m.CloseServer)[0].restart is False
    bench.ended("s1", asked=True, restarts=False)
    assert bench.answered(ticket) == (0, "")
    assert bench.found(e.ServerGone)[0].end is End.CANCELLED
    assert bench.told(S1)[2:] == ["ServerClosed"]


@pytest.mark.row("DC-12", "DC-27")
@pytest.mark.parametrize(("always", "restart"), [(True, False), (False, True)])
def test_a_server_returns_if_the_client_or_the_order_says_so(always: bool, restart: bool) -> None:
    bench = running(restart_servers=always)
    bench.order(o.CloseOneServer, S1, False, restart)
    bench.hear(who("s1"), m.Finished())
    assert bench.said_to(who("n1"), m.CloseServer)[0].restart is True


@pytest.mark.row("DC-57", "R-47")
def test_a_terminated_server_is_ended_by_force_after_the_grace() -> None:
    bench = running()
    bench.order(o.CloseOneServer, S1, True, False)
    assert bench.found(e.ServerClosing) == [e.ServerClosing(who("s1"), True)]
    bench.wait(LIMITS.grace + 1.0)
    assert bench.said_to(who("n1"), m.CloseServer)[0].grace == 0.0


@pytest.mark.row("DC-57", "R-08")
def test_dispatch_may_have_a_server_ended_for_a_task_that_does_not_yield() -> None:
    bench = running()
    bench.feed(o.ForceServer(who("s1"), "compute#1 did not end"))
    (close,) = bench.said_to(who("n1"), m.CloseServer)
    assert (close.restart, close.grace) == (True, 0.0)


@pytest.mark.row("DC-54", "DC-55")
@pytest.mark.parametrize("node", [False, True])
def test_a_task_may_close_its_server_or_node(node: bool) -> None:
    bench = running()
    bench.hear(who("s1"), m.CloseRequest(node, True, False))
    assert len(bench.found(e.ServerClosing)) == 1 + node


@pytest.mark.row("R-47", "R-80", "R-93")
def test_a_server_of_a_silent_node_is_closed_at_once() -> None:
    bench = running()
    bench.feed(PeerSuspect(who("n1")))
    bench.wait(Z)
    assert bench.told(N1)[-1] == "NodeDisconnected"
    ticket = bench.order(o.CloseOneServer, S1, False, True)
    assert bench.answered(ticket) == (0, "")
    (gone,) = bench.found(e.ServerGone)
    assert (gone.begun, gone.end) == (-1, End.ABANDONED)
    assert bench.said_to(who("n1"), m.CloseServer), "it hears of it when it is back"


@pytest.mark.row("R-47", "R-80")
def test_a_server_whose_node_falls_silent_during_the_close_is_given_up() -> None:
    bench = running()
    ticket = bench.order(o.CloseOneServer, S1, True, False)
    bench.feed(PeerSuspect(who("n1")))
    bench.wait(LIMITS.grace + 3.0)
    assert bench.answered(ticket) == (0, "")


# Closing and restarting nodes.


@pytest.mark.row("DC-30")
def test_a_closed_node_is_given_back_after_its_servers() -> None:
    bench = running()
    ticket = bench.order(o.CloseNode, N1, False)
    assert len(bench.found(e.ServerClosing)) == 2
    for name, index in (("s1", 1), ("s2", 2)):
        bench.hear(who(name), m.Finished())
        bench.ended(name, index=index, asked=True, restarts=False)
    assert bench.answered(ticket) == (0, "")
    assert bench.said_to(SCHEDULER, m.ReturnNode) == [m.ReturnNode(RESERVATION, who("n1"), False, 1)]
    assert bench.found(NodeGone)
    assert bench.told(N1)[-1] == "NodeClosed"
    assert bench.told()[-2:] == ["ServerClosed", "NodeClosed"]


@pytest.mark.row("DC-30")
def test_a_node_that_was_given_back_is_refused_when_it_is_granted_again() -> None:
    bench = Bench().schedule().prepared()
    bench.order(o.CloseNode, N1, False)
    bench.hear(SCHEDULER, m.NodeGranted(RESERVATION, 5, facts(), 2, 1.0))
    assert bench.said_to(SCHEDULER, m.ReturnNode) == [m.ReturnNode(RESERVATION, who("n1"), False, 5)]
    assert bench.told(N1).count("NodeDiscovered") == 1


@pytest.mark.row("R-78")
def test_a_node_given_back_while_the_scheduler_is_away_is_told_directly() -> None:
    bench = Bench().schedule().prepared()
    bench.feed(PeerGone(SCHEDULER, "refused"))
    bench.order(o.CloseNode, N1, False)
    (release,) = bench.said_to(who("n1"), m.Release)
    assert (release.reservation, release.lease) == (RESERVATION, 1)


@pytest.mark.row("DC-31")
def test_a_restarted_node_closes_its_servers_and_is_prepared_without_statuses() -> None:
    bench = running()
    ticket = bench.order(o.RestartOneNode, N1, False, Payload(b"new"))
    for name, index in (("s1", 1), ("s2", 2)):
        bench.hear(who(name), m.Finished())
        assert bench.said_to(who("n1"), m.CloseServer)[0].restart is False
        bench.ended(name, index=index, asked=True, restarts=False)
    assert bench.said_to(who("n1"), m.RestartNode) == [m.RestartNode(RESERVATION, Payload(b"new"), 1)]
    bench.hear(who("n1"), m.Prepared(RESERVATION, 1))
    assert bench.answered(ticket) == (0, "")
    assert bench.told(N1) == ["NodeDiscovered", "NodeInitialized"]
    bench.ready("s3")
    bench.order(o.RestartOneNode, N1, True, None)
    bench.hear(who("s3"), m.Finished())
    bench.ended("s3", asked=True, restarts=False)
    assert bench.said_to(who("n1"), m.RestartNode)[0].setup is None, "the former one"
    bench.hear(who("n1"), m.PrepareFailed(RESERVATION, "node_setup returned 1", 1))
    assert bench.told(N1)[-1] == "NodeClosed"


# Silence and loss.


@pytest.mark.row("R-13", "R-81", "DC-14")
def test_a_kept_zombie_is_shown_and_taken_back() -> None:
    bench = running()
    bench.feed(PeerSuspect(who("n1")))
    assert len(bench.found(e.ServerSuspect)) == 2
    bench.wait(Z)
    assert bench.told(N1)[-1] == "NodeDisconnected"
    assert bench.told(S1)[-1] == "ServerDisconnected"
    assert not bench.found(e.ServerGone)
    bench.feed(PeerBack(who("n1")))
    assert len(bench.found(e.ServerBack)) == 2
    assert bench.told(N1)[-1] == "NodeResumed"
    assert bench.told(S1)[-1] == "ServerResumed"


@pytest.mark.row("DC-28", "R-92")
def test_a_suspended_zombie_that_is_back_is_still_suspended() -> None:
    bench = running()
    bench.order(o.Suspend, N1, True)
    bench.feed(PeerSuspect(who("n1")))
    bench.wait(Z)
    bench.feed(PeerBack(who("n1")))
    assert bench.told(N1)[2:] == ["NodeSuspended", "NodeDisconnected", "NodeSuspended"]


@pytest.mark.row("R-13", "DC-14")
def test_an_abandoned_zombie_ends_at_z_and_may_be_granted_anew() -> None:
    bench = running(abandon_zombies=True)
    bench.feed(PeerSuspect(who("n1")))
    bench.wait(Z)
    assert [gone.end for gone in bench.found(e.ServerGone)] == [End.ABANDONED] * 2
    assert bench.said_to(SCHEDULER, m.ReturnNode) == [m.ReturnNode(RESERVATION, who("n1"), True, 1)]
    assert bench.told(N1)[-2:] == ["NodeAbandoned", "NodeClosed"]
    assert bench.told(S1)[-2:] == ["ServerAbandoned", "ServerClosed"]
    bench.hear(who("n1"), m.NodeReport(RESERVATION, m.Avail(), [server("s1")], 1, 5.0))
    assert bench.out == [], "what is given up says nothing any more"
    bench.grant(lease=2)
    assert bench.told(N1)[-1] == "NodeDiscovered"
    assert bench.said_to(who("n1"), m.Prepare)[0].lease == 2


@pytest.mark.row("R-67")
@pytest.mark.rule("S2")
def test_words_of_an_earlier_grant_are_not_taken_for_the_present_one() -> None:
    bench = running(abandon_zombies=True)
    bench.feed(PeerSuspect(who("n1")))
    bench.wait(Z)
    bench.grant(lease=2)
    bench.hear(who("n1"), m.Prepared(RESERVATION, 1))
    bench.hear(who("n1"), m.PrepareFailed(RESERVATION, "late", 1))
    bench.hear(who("n1"), m.Released(RESERVATION, "late", 1))
    assert bench.fleet.nodes_held[who("n1")].state is NodeState.PREPARING
    bench.hear(who("n1"), m.Prepared(RESERVATION, 2))
    assert bench.fleet.nodes_held[who("n1")].state is NodeState.INITIALIZED


@pytest.mark.row("DC-32")
def test_abandon_zombie_acts_at_once_on_a_silent_node_and_later_on_others() -> None:
    bench = running()
    bench.feed(PeerSuspect(who("n1")))
    bench.wait(Z)
    assert bench.answered(bench.order(o.AbandonZombie, N1, True)) == (0, "")
    assert len(bench.found(e.ServerGone)) == 2
    unknown = bench.answered(bench.order(o.AbandonZombie, N1, True))
    assert unknown is not None
    assert unknown[0] == -1
    assert bench.answered(bench.order(o.AbandonZombie, None, True)) == (0, "")
    bench.prepared("n2", N2, 2)
    bench.wait(Z)
    assert bench.told(N2)[-1] == "NodeClosed"


@pytest.mark.row("DC-13")
def test_with_a_zombie_period_of_zero_silence_is_never_shown() -> None:
    bench = running(silence=0.0)
    bench.feed(PeerSuspect(who("n1")))
    bench.wait(1000)
    assert "NodeDisconnected" not in bench.told()


@pytest.mark.row("R-46")
def test_a_gap_in_our_own_clock_makes_nobody_silent() -> None:
    bench = running(abandon_zombies=True)
    bench.feed(PeerSuspect(who("s1")))
    bench.now += 60.0
    bench.note(bench.fleet.tick(bench.now))
    assert not bench.found(e.ServerGone)
    assert "ServerDisconnected" not in bench.told()
    bench.wait(Z + 0.1)
    assert len(bench.told(N1)) == 4


@pytest.mark.rule("S6")
def test_of_many_nodes_that_can_not_be_used_the_first_are_named_and_the_others_counted() -> None:
    bench = Bench().schedule()
    for number in range(5):
        bench.grant(f"n{number}", Location(f"10.0.0.{number}", 9706))
    assert bench.fleet.why(bench.now).endswith("; and 2 more nodes")


@pytest.mark.row("R-11", "DC-42")
def test_a_lost_node_takes_its_servers_along_whatever_the_flag_says() -> None:
    bench = running()
    bench.feed(PeerGone(who("n1"), "refused three dials"))
    assert [(g.begun, g.end) for g in bench.found(e.ServerGone)] == [(-1, End.NODE_LOST)] * 2
    assert all("refused three dials" in g.reason for g in bench.found(e.ServerGone))
    assert bench.told(N1)[-2:] == ["NodeAbandoned", "NodeClosed"]
    assert bench.fleet.nodes() == []
    lost = "no node is left: node n1 at 10.0.0.1:9706 is gone: refused three dials"
    assert bench.fleet.why(bench.now) == lost


@pytest.mark.row("R-67", "R-29")
def test_a_new_process_at_a_nodes_address_means_that_the_former_is_dead() -> None:
    bench = running()
    bench.hear(SCHEDULER, m.NodeGranted(RESERVATION, 2, facts("n1b"), 2, 1.0))
    assert len(bench.found(e.ServerGone)) == 2
    assert bench.told(N1)[2:] == ["NodeAbandoned", "NodeClosed", "NodeDiscovered"]


@pytest.mark.row("DN-21")
def test_a_node_that_ended_the_work_by_itself_is_closed() -> None:
    bench = running()
    bench.hear(who("n1"), m.Released(RESERVATION, "closed by the operator of the node", 1))
    assert [gone.end for gone in bench.found(e.ServerGone)] == [End.CANCELLED] * 2
    assert bench.told(N1)[-1] == "NodeClosed"
    assert "NodeAbandoned" not in bench.told()


@pytest.mark.parametrize(
    ("silent", "left", "end"),
    [(True, False, End.ABANDONED), (False, False, End.NODE_LOST), (False, True, End.CANCELLED)],
)
def test_a_withdrawn_node_says_how_its_tasks_ended(silent: bool, left: bool, end: End) -> None:
    bench = running()
    bench.hear(SCHEDULER, m.NodeWithdrawn(RESERVATION, who("n1"), "because", silent, left))
    assert [gone.end for gone in bench.found(e.ServerGone)] == [end] * 2
    assert ("NodeAbandoned" in bench.told()) == (not left)


@pytest.mark.row("DC-33")
def test_nodes_that_share_an_address_are_told_with_their_ports() -> None:
    bench = running().prepared("n2", Location("10.0.0.1", 9800), 2)
    assert bench.fleet.nodes() == ["10.0.0.1:9706", "10.0.0.1:9800"]
    assert len(bench.fleet.find_nodes("10.0.0.1")) == 2
    assert len(bench.fleet.find_nodes("10.0.0.1:9800")) == 1


# The end.


@pytest.mark.row("DC-39", "DC-40", "ST-01")
def test_closing_ends_servers_then_nodes_then_the_client_each_once() -> None:
    bench = running()
    ticket = bench.order(o.CloseAll, False)
    for name, index in (("s1", 1), ("s2", 2)):
        bench.hear(who(name), m.Finished())
        bench.ended(name, index=index, asked=True, restarts=False)
    assert bench.said_to(SCHEDULER, m.CloseClient) == [m.CloseClient(RESERVATION)]
    assert not bench.said_to(SCHEDULER, m.ReturnNode)
    bench.hear(SCHEDULER, m.ClientEnded(RESERVATION, "its client closed it"))
    assert bench.answered(ticket) == (0, "")
    assert bench.told()[-4:] == ["ServerClosed", "ServerClosed", "NodeClosed", "ClientClosed"]
    assert bench.out[-1] == o.TurnEnded("its client closed it")
    assert bench.answered(bench.order(o.CloseAll, False)) == (0, "")
    assert bench.told().count("ClientClosed") == 1
    assert bench.fleet.next_deadline() is None


@pytest.mark.row("DC-44", "R-47", "R-80")
def test_closing_does_not_wait_for_silent_nodes() -> None:
    bench = running()
    bench.feed(PeerSuspect(who("n1")))
    bench.wait(Z)
    bench.order(o.CloseAll, False)
    assert bench.said_to(SCHEDULER, m.CloseClient)


@pytest.mark.row("DC-39", "R-33", "R-78")
def test_closing_without_a_scheduler_tells_the_nodes_and_says_so() -> None:
    bench = Bench().schedule().prepared()
    bench.feed(PeerGone(SCHEDULER, "refused"))
    ticket = bench.order(o.CloseAll, False)
    bench.wait(LIMITS.request_timeout)
    assert bench.said_to(who("n1"), m.Release)[0].lease == 1
    answer = bench.answered(ticket)
    assert answer is not None
    assert answer[0] == -1
    assert "could not be told" in answer[1]
    assert bench.told()[-1] == "ClientClosed"


@pytest.mark.row("DC-39", "R-33")
def test_a_scheduler_that_ends_while_it_closes_a_turn_is_not_waited_for_as_one_that_lives() -> None:
    bench = Bench().schedule()
    ticket = bench.order(o.CloseAll, False)
    bench.feed(PeerGone(SCHEDULER, "refused"))
    bench.wait(LIMITS.request_timeout / 2)
    answer = bench.answered(ticket)
    assert answer is not None
    assert "could not be told" in answer[1]
    assert bench.told()[-1] == "ClientClosed"


@pytest.mark.row("R-17")
def test_a_close_in_progress_is_told_to_the_schedulers_successor() -> None:
    bench = Bench().schedule()
    bench.order(o.CloseAll, False)
    bench.feed(PeerGone(SCHEDULER, "refused"))
    bench.feed(PeerUp(who("next"), Role.SCHEDULER, AT_SCHEDULER))
    kinds = [type(action.message) for action in bench.found(Say)]
    assert kinds == [m.Schedule, m.CloseClient]


def test_a_node_granted_while_closing_is_not_used() -> None:
    bench = running()
    bench.order(o.CloseAll, False)
    bench.grant("n2", N2, 2)
    assert bench.told(N2) == []


@pytest.mark.row("DC-40")
def test_closing_before_or_while_queued_ends_without_statuses() -> None:
    bench = Bench()
    assert bench.answered(bench.order(o.CloseAll, False)) == (0, "")
    assert bench.statuses == []
    bench = Bench()
    bench.feed(o.BeginSchedule(1, SCHEDULER, None))
    bench.order(o.CloseAll, False)
    assert bench.said_to(SCHEDULER, m.Unschedule)
    assert bench.answered(1) == (-1, "the client was closed")
    assert bench.statuses == []


@pytest.mark.row("DS-14", "DS-19")
def test_a_turn_that_the_scheduler_ends_leaves_nothing() -> None:
    bench = running()
    bench.hear(SCHEDULER, m.ClientEnded(RESERVATION, "it ran nothing for too long"))
    assert [gone.end for gone in bench.found(e.ServerGone)] == [End.CANCELLED] * 2
    assert bench.found(o.TurnEnded)
    assert bench.told()[-1] == "ClientClosed"
    assert not bench.fleet.nodes_held
    assert bench.fleet.turn.state is TurnState.CLOSED


@pytest.mark.row("DS-19")
def test_a_scheduler_that_quits_asks_the_client_to_close() -> None:
    bench = running()
    bench.hear(SCHEDULER, m.CloseAsked(RESERVATION, False, "the operator quits"))
    assert bench.found(o.PleaseClose) == [o.PleaseClose(False, "the operator quits")]


# Waiting.


@pytest.mark.row("R-33", "R-77")
@pytest.mark.rule("S6")
def test_no_usable_server_is_noted_after_v_and_each_minute() -> None:
    bench = Bench().schedule().grant()
    notes = [note for note in bench.wait(75) if isinstance(note, Note) and "waits" in note.text]
    assert len(notes) == 2
    assert "node n1 at 10.0.0.1:9706 is silent" in notes[0].text
    bench.prepared().ready()
    assert bench.fleet.next_deadline() is not None
    assert not [action for action in bench.wait(4) if isinstance(action, Note)]


@pytest.mark.row("R-33")
@pytest.mark.rule("S6")
def test_what_keeps_nodes_away_is_noted_once_in_the_schedulers_words() -> None:
    bench = Bench().schedule()
    assert not [action for action in bench.wait(75) if isinstance(action, Note)]
    bench.hear(SCHEDULER, m.Queued(1, 0, "no node is known"))
    assert [note.text for note in bench.found(Note)] == ["client c1 waits: no node is known"]
    assert bench.fleet.why(bench.now) == "no node was granted; no node is known"
    bench.wait(30)
    assert bench.fleet.why(bench.now) == "no node was granted; no node is known (as of 30 s ago)"
    bench.prepared().ready()
    bench.feed(PeerGone(who("n1"), "refused three dials"))
    lost = "no node is left: node n1 at 10.0.0.1:9706 is gone: refused three dials"
    assert bench.fleet.why(bench.now) == lost
    bench.hear(SCHEDULER, m.Queued(1, 0, "no node is known"))
    assert bench.fleet.why(bench.now) == f"{lost}; no node is known"


@pytest.mark.row("R-33")
@pytest.mark.rule("S6")
def test_a_scheduler_that_is_lost_says_nothing_so_the_client_does() -> None:
    bench = Bench().schedule()
    bench.feed(PeerSuspect(SCHEDULER))
    (note,) = [action for action in bench.wait(15) if isinstance(action, Note)]
    assert "is not reachable" in note.text


@pytest.mark.rule("S6")
def test_each_stage_has_its_reason() -> None:
    bench = Bench().schedule()
    bench.grant()
    assert "is being reached" in bench.fleet.why(bench.now)
    bench.feed(DialFailed(N1, "no route to host"))
    assert "can't be reached: no route to host" in bench.fleet.why(bench.now)
    bench.reach()
    assert "is preparing" in bench.fleet.why(bench.now)
    bench.hear(who("n1"), m.Prepared(RESERVATION, 1))
    assert "starts its servers" in bench.fleet.why(bench.now)
    bench.hear(who("n1"), m.ServerDelayed(RESERVATION, 1, "can't start: EAGAIN"))
    assert "EAGAIN" in bench.fleet.why(bench.now)
    bench.start()
    assert "setting up" in bench.fleet.why(bench.now)


def test_stories_tell_of_nodes_and_servers() -> None:
    bench = running().ended("s1")
    assert "granted under lease 1" in bench.fleet.story(who("n1"))
    assert "exit code 9" in bench.fleet.story(who("s1"))


@pytest.mark.rule("S1")
def test_what_the_tables_do_not_allow_is_our_bug() -> None:
    bench = running()
    with pytest.raises(InternalError, match="can't take 'prepare'"):
        bench.fleet.nodes_held[who("n1")].move("prepare")
    record = bench.fleet.crew.servers[who("s1")]
    assert record.state is ServerState.INITIALIZED
    with pytest.raises(InternalError, match="can't take 'ready'"):
        record.move("ready")


@pytest.mark.row("R-93")
@pytest.mark.parametrize("condition", ["busy", "suspended", "zombie", "lost server", "setting up"])
@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("second", range(6))
def test_any_two_orders_in_any_condition_end(condition: str, first: int, second: int) -> None:
    bench = running() if condition != "setting up" else Bench().schedule().prepared().start()
    if condition == "suspended":
        bench.order(o.Suspend, N1, True)
    elif condition == "zombie":
        bench.feed(PeerSuspect(who("n1")))
        bench.wait(Z)
    elif condition == "lost server":
        bench.feed(PeerGone(who("s1"), "refused"))
    orders: list[tuple[Any, ...]] = [
        (o.Suspend, S1, False),
        (o.CloseOneServer, S1, True, False),
        (o.CloseNode, N1, True),
        (o.RestartOneNode, N1, True, None),
        (o.AbandonZombie, N1, True),
        (o.CloseAll, True),
    ]
    for order in (orders[first], orders[second]):
        bench.order(*order)
    bench.order(o.CloseAll, True)
    # Servers that were told to end do so; nothing else answers any more.
    for _ in range(6):
        for incarnation, record in list(bench.fleet.crew.servers.items()):
            if record.state is ServerState.ENDING:
                bench.hear(
                    who("n1"),
                    m.ServerEnded(RESERVATION, incarnation, record.location, True, False, "x", 0, 0),
                )
        bench.wait(3.0)
    bench.hear(SCHEDULER, m.ClientEnded(RESERVATION, "closed"))
    assert bench.fleet.turn.state is TurnState.CLOSED
    assert bench.told()[-1] == "ClientClosed"


@pytest.mark.row("DN-43")
def test_what_a_node_warns_of_when_it_is_prepared_is_said_to_the_program():
    bench = Bench().schedule().grant().reach()
    bench.hear(who("n1"), m.Prepared(RESERVATION, 1, "node_setup was not run"))
    (note,) = bench.found(Note)
    assert note.level == "warning"
    assert note.text.startswith("node n1 at ") and note.text.endswith(": node_setup was not run")
