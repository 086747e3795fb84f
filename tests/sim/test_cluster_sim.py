"""Whole clusters under random faults: no rule breaks, and everybody gets an end (R-55).

`whole.run` makes a few clients with random wishes, lets servers, zygotes, nodes, clients and
the scheduler die, freeze and be cut off while an impatient user gives orders, then stops the
faults and waits: every client has its turn and ends with balanced books, every node is free.
"""

from __future__ import annotations

import pytest

from dispycos import messages as m
from dispycos.events import Dial
from dispycos.model import Status
from dispycos.node.events import Order, Ordered
from dispycos.node.machine import NodeState
from dispycos.scheduler.events import Stop
from dispycos.scheduler.roster import ClientState
from dispycos.testing import each_seed
from tests.sim.whole import HOLD, LIMITS, PULSE, Cluster, run

Z = LIMITS.zombie_pulses * PULSE


@pytest.mark.timeout(300)
@pytest.mark.row("R-55", "R-17", "R-31", "R-35", "R-36", "R-48", "R-78", "R-92", "R-93", "DS-20", "DS-21")
@pytest.mark.rule("S1", "S2", "S3", "S4", "S6")
def test_a_shared_scheduler_serves_its_clients_under_random_faults() -> None:
    each_seed(run, 25)


@pytest.mark.timeout(300)
@pytest.mark.row("R-55", "R-19", "R-48", "R-78", "R-92")
def test_a_private_scheduler_serves_its_client_under_random_faults() -> None:
    each_seed(lambda seed: run(seed, shared=False, clients=1), 40)


@pytest.mark.timeout(300)
@pytest.mark.row("R-76")
def test_any_order_of_starts_and_no_fault_ends_well() -> None:
    def scenario(seed: int) -> None:
        cluster = run(seed, faults=0)
        for client in cluster.clients:
            assert client.seen[-1] is Status.ClientClosed
            assert client.answers[client.ticket] == (0, "")

    each_seed(scenario, 20)


@pytest.mark.timeout(300)
@pytest.mark.row("R-76", "DS-22")
def test_private_schedulers_of_two_programs_share_the_nodes_without_harm() -> None:
    each_seed(lambda seed: run(seed, shared=False, clients=2), 25)


def steady(seed: int, **options: object) -> Cluster:
    """One client with work for minutes on two nodes; everything is up and ready."""
    cluster = Cluster(seed)
    cluster.add_client(1, work=300.0, tasks=60, wild=False, options=options)
    cluster.start()
    assert cluster.world.run(
        10, lambda: cluster.clients[0].alive and cluster.clients[0].fleet.crew.usable == 4
    )
    return cluster


@pytest.mark.row("R-05", "DN-34", "DC-41")
def test_a_killed_server_is_told_within_a_second_and_replaced_within_three() -> None:
    def scenario(seed: int) -> None:
        cluster = steady(seed)
        client = cluster.clients[0]
        victim = cluster.nodes[0].servers[0]
        victim.kill()
        assert cluster.world.run(1.0, lambda: victim.incarnation not in client.told)
        assert cluster.world.run(3.0, lambda: client.fleet.crew.usable == 4)

    each_seed(scenario, 20)


@pytest.mark.row("R-10")
def test_a_killed_zygote_takes_its_servers_along_and_is_replaced() -> None:
    def scenario(seed: int) -> None:
        cluster = steady(seed)
        client = cluster.clients[0]
        zygote = cluster.nodes[0].zygote
        assert zygote is not None
        zygote.kill()
        assert cluster.world.run(1.0, lambda: client.fleet.crew.usable == 2)
        assert cluster.world.run(3.0, lambda: client.fleet.crew.usable == 4)
        assert not any("C" in stream for stream in client.streams.open.values())

    each_seed(scenario, 20)


@pytest.mark.row("R-11", "DC-42", "R-67")
def test_a_killed_node_is_abandoned_and_its_successor_gets_work() -> None:
    def scenario(seed: int) -> None:
        cluster = steady(seed)
        client = cluster.clients[0]
        node = cluster.nodes[0]
        old = node.incarnation
        node.kill()
        cluster.world.plan(0.1, node.start)
        assert cluster.world.run(10.0, lambda: old not in client.fleet.nodes_held)
        assert cluster.world.run(10.0, lambda: client.fleet.crew.usable == 4)
        assert "DIAC" in client.streams.all

    each_seed(scenario, 20)


@pytest.mark.row("R-13", "R-14", "R-81", "DC-14")
def test_a_kept_zombie_is_taken_back_fifty_times() -> None:
    cluster = steady(1)
    client = cluster.clients[0]
    node = cluster.nodes[0]
    incarnations = {server.incarnation for server in node.servers}
    for _ in range(50):
        everybody = [node, node.zygote, *node.servers]
        for process in everybody:
            assert process is not None
            process.freeze()
        assert cluster.world.run(Z + 2, lambda: client.fleet.find_nodes(node.location)[0].silent)
        assert client.fleet.crew.usable == 2
        for process in everybody:
            assert process is not None
            process.thaw()
        assert cluster.world.run(5.0, lambda: client.fleet.crew.usable == 4)
    assert incarnations == {server.incarnation for server in node.servers}
    stream = next(
        s for (is_node, place), s in client.streams.open.items() if is_node and place == node.location
    )
    assert stream == "DI" + "XR" * 50


@pytest.mark.row("R-13")
def test_an_abandoned_zombie_ends_its_work_when_it_is_back_and_is_a_new_node() -> None:
    def scenario(seed: int) -> None:
        cluster = steady(seed, abandon_zombies=True)
        client = cluster.clients[0]
        node = cluster.nodes[0]
        everybody = [node, node.zygote, *node.servers]
        for process in everybody:
            assert process is not None
            process.freeze()
        assert cluster.world.run(Z + 2, lambda: not client.fleet.find_nodes(node.location))
        cluster.world.run(5.0)
        for process in everybody:
            assert process is not None
            process.thaw()
        assert cluster.world.run(15.0, lambda: client.fleet.crew.usable == 4)
        assert not any(process is not None and process.alive for process in everybody[1:])

    each_seed(scenario, 20)


@pytest.mark.row("R-17", "DS-21")
def test_work_goes_on_while_the_scheduler_is_restarted() -> None:
    def scenario(seed: int) -> None:
        cluster = steady(seed)
        client = cluster.clients[0]
        servers = {server.incarnation for node in cluster.nodes for server in node.servers}
        cluster.scheduler.kill()
        cluster.world.run(2.0)
        cluster.scheduler.start()
        machine = cluster.scheduler.machine

        def taken_up() -> bool:
            active = cluster.scheduler.machine.active
            return active is not None and active.claimed and active.granted == 2

        assert cluster.world.run(10.0, taken_up)
        assert machine.active is not None
        assert machine.active.reservation == client.fleet.turn.reservation
        assert not client.streams.all, "the scheduler's death is nobody else's"
        assert servers == {server.incarnation for node in cluster.nodes for server in node.servers}

    each_seed(scenario, 20)


@pytest.mark.row("R-18")
def test_without_a_scheduler_the_lease_lapses_and_comes_back_with_it() -> None:
    cluster = steady(3)
    client = cluster.clients[0]
    cluster.scheduler.kill()
    assert cluster.world.run(Z + 3, lambda: client.fleet.crew.usable == 0)
    assert "not reachable" in client.fleet.why(client.now)
    cluster.scheduler.start()
    assert cluster.world.run(10.0, lambda: client.fleet.crew.usable == 4)


@pytest.mark.row("R-19", "R-78", "DN-36", "DC-43")
def test_a_killed_client_makes_room_for_the_next_within_fifteen_seconds() -> None:
    def scenario(seed: int) -> None:
        cluster = Cluster(seed)
        for number in range(1, 7):
            cluster.add_client(number, work=1e6, tasks=3)
        cluster.start()
        for _ in range(6):
            running = None

            def somebody_runs() -> bool:
                nonlocal running
                runs = [c for c in cluster.clients if c.alive and c.fleet.crew.usable == 4]
                running = runs[0] if runs else None
                return running is not None

            assert cluster.world.run(15.0, somebody_runs), cluster.world.story()
            assert running is not None
            running.kill()
        cluster.world.run(15.0)
        assert all(node.machine.state is NodeState.FREE for node in cluster.nodes)

    each_seed(scenario, 15)


@pytest.mark.row("R-19", "R-78")
@pytest.mark.parametrize(("gone", "within"), [("killed", 15.0), ("without power", HOLD + 2 * Z)])
def test_a_client_that_dies_while_the_scheduler_is_away_keeps_no_node(gone: str, within: float) -> None:
    def scenario(seed: int) -> None:
        cluster = steady(seed)
        client, node = cluster.clients[0], cluster.nodes[0]
        # This node hears of nobody's death but the scheduler's.
        cluster.world.cut(client.host, node.host)
        cluster.scheduler.kill()
        if gone == "killed":
            client.kill()
        else:
            cluster.world.vanish(client.host)
        cluster.world.run(2.0)
        cluster.scheduler.start()
        assert cluster.world.run(within, lambda: node.machine.state is NodeState.FREE)
        assert cluster.world.run(2.0, lambda: cluster.scheduler.machine.active is None)

    each_seed(scenario, 5)


@pytest.mark.timeout(300)
@pytest.mark.row("R-78", "DC-43")
def test_a_hundred_clients_one_after_another_half_of_them_killed() -> None:
    cluster = Cluster(5, nodes=1, cpus=1)
    for number in range(1, 101):
        cluster.add_client(number, work=0.5, tasks=1)
    cluster.start(within=1.0)
    for client in cluster.clients[::2]:
        cluster.world.plan(cluster.random.uniform(1, 100), client.kill)
    assert cluster.world.run(100 * 15.0, lambda: all(client.done for client in cluster.clients))
    cluster.settle()


@pytest.mark.row("R-19")
def test_a_vanished_client_is_kept_for_two_zombie_periods_if_another_waits() -> None:
    cluster = steady(4)
    first = cluster.clients[0]
    second = cluster.add_client(2, work=100.0, tasks=1)
    second.start()
    cluster.world.run(2.0)
    cluster.world.vanish(first.host)
    gone_at = cluster.world.now
    assert cluster.world.run(4 * Z, lambda: second.fleet.turn.reservation > 0)
    assert cluster.world.now - gone_at >= 2 * Z
    assert cluster.world.run(15.0, lambda: second.fleet.crew.usable == 4)


@pytest.mark.row("R-54", "R-36")
def test_a_scheduler_without_its_journal_is_rebuilt_from_what_the_living_say() -> None:
    def scenario(seed: int) -> None:
        cluster = steady(seed)
        client = cluster.clients[0]
        cluster.scheduler.kill()
        cluster.scheduler.kept.clear()
        cluster.scheduler.last_lease = 0
        cluster.scheduler.former = frozenset()
        cluster.world.run(1.0)
        cluster.scheduler.start()

        def rebuilt() -> bool:
            active = cluster.scheduler.machine.active
            return active is not None and active.granted == 2

        assert cluster.world.run(15.0, rebuilt)
        assert client.fleet.turn.reservation == cluster.scheduler.machine.active.reservation  # type: ignore[union-attr]
        assert cluster.world.run(5.0, lambda: client.fleet.crew.usable == 4)

    each_seed(scenario, 30)


@pytest.mark.row("R-74", "R-37")
def test_words_of_strangers_break_nothing() -> None:
    cluster = steady(6)
    stranger = cluster.add_client(9, private=False)
    stranger.start()
    cluster.world.run(1.0)
    for node in cluster.nodes:
        assert node.location is not None
        cluster.world.dial(stranger, Dial(node.location))
    cluster.world.run(1.0)
    scheduler = cluster.scheduler.incarnation
    reservation = cluster.clients[0].fleet.turn.reservation
    victim = cluster.nodes[0].servers[0].incarnation
    for wrong in (reservation, 0, 12345):
        for message in (
            m.Pulse(wrong, m.Avail(), []),
            m.Reserved(wrong),
            m.ReserveRefused(wrong, "no"),
            m.Released(wrong),
            m.AddRule(wrong, m.Rule("*", 9706, "", 0, 0, 0)),
            m.Allocated(wrong, 3),
            m.ReturnNode(wrong, victim),
            m.CloseClient(wrong),
            m.Counts(wrong, 1, 1),
            m.Demand(wrong, 99, 0, 0, 9.0, [], 99),
        ):
            stranger.say(scheduler, message)
        for node in cluster.nodes:
            for message in (
                m.Release(wrong, True, "mine now"),
                m.CloseServer(wrong, victim, False, 0.0, "mine now"),
                m.RestartNode(wrong, None),
                m.Renew(wrong, 99, 1e6),
                m.RegisterAgain("who are you?"),
            ):
                stranger.say(node.incarnation, message)
    cluster.world.run(3.0)
    assert cluster.clients[0].fleet.crew.usable == 4
    assert victim in cluster.clients[0].told


@pytest.mark.row("DS-19")
def test_a_scheduler_that_stops_lets_its_client_close_and_refuses_the_others() -> None:
    cluster = steady(7)
    first = cluster.clients[0]
    second = cluster.add_client(2)
    second.start()
    cluster.world.run(2.0)
    cluster.scheduler.feed(cluster.scheduler.machine, Stop(False, "the operator quits"))
    assert cluster.world.run(30.0, lambda: first.done and bool(cluster.scheduler.stopped))
    assert second.answers[second.ticket][0] == -1
    assert "operator" in second.answers[second.ticket][1]
    assert all(node.machine.state is NodeState.FREE for node in cluster.nodes)


@pytest.mark.row("DN-22", "DN-23", "DN-21")
@pytest.mark.parametrize("order", ["close", "quit", "terminate"])
def test_the_operator_of_a_node_takes_it_from_its_client(order: str) -> None:
    cluster = steady(8)
    client = cluster.clients[0]
    node = cluster.nodes[0]
    node.feed(node.machine, Ordered(Order(order)))
    assert cluster.world.run(20.0, lambda: not client.fleet.find_nodes(node.location))
    assert cluster.world.run(5.0, lambda: not node.alive or node.machine.state is NodeState.FREE)
    assert node.alive == (order == "close")
    cluster.world.run(20.0)
    # The client does not get it again: the operator took it away.
    assert not client.fleet.find_nodes(node.location)
    assert cluster.scheduler.machine.active is not None
    assert cluster.scheduler.machine.active.state is ClientState.SCHEDULED


@pytest.mark.row("DC-40", "ST-01", "ST-07")
def test_statuses_of_an_untroubled_client_are_complete_and_in_order() -> None:
    cluster = Cluster(9)
    client = cluster.add_client(1, tasks=0, work=3.0)
    cluster.start()
    cluster.world.run(0.1)
    assert cluster.world.run(30.0, lambda: client.done)
    seen = client.seen
    assert seen[0] is Status.ClientScheduled
    assert seen[-1] is Status.ClientClosed
    for status, count in (
        (Status.NodeDiscovered, 2),
        (Status.NodeInitialized, 2),
        (Status.ServerDiscovered, 4),
        (Status.ServerInitialized, 4),
        (Status.ServerClosed, 4),
        (Status.NodeClosed, 2),
        (Status.ClientClosed, 1),
    ):
        assert seen.count(status) == count, status
    assert len(seen) == 20
