"""The shared scheduler's queue, black-box: turns in order, ends of all kinds, what each is told."""

from __future__ import annotations

import re
import signal
import time

import pytest

from tests.helpers import wait_until
from tests.process.schedulers import Place, close, result, run, schedule


@pytest.mark.row("DS-20", "DC-15", "DC-16")
def test_clients_have_their_turns_in_order_and_are_told_their_place(place: Place) -> None:
    """They have no node: a turn does not wait for one."""
    shared = place.scheduler()
    first, second, third = (place.client(name) for name in ("c1", "c2", "c3"))
    schedule(first, shared)
    second.write(f"schedule '{shared.where}'")
    shared.ask("status", "at place 1 of the queue")
    third.write(f"schedule '{shared.where}'")
    assert "client c3" in shared.ask("status", "at place 2 of the queue")
    close(first)
    closed = time.monotonic()
    assert second.wait_line("schedule ", 10) == "schedule 0"
    assert time.monotonic() - closed < 6.0  # 2 s are promised
    assert "client c3" in shared.ask("status", "at place 1 of the queue")
    close(second)
    assert third.wait_line("schedule ", 10) == "schedule 0"
    close(third)


@pytest.mark.row("R-33")
def test_a_client_that_waits_says_for_whom(place: Place) -> None:
    shared = place.scheduler()
    first, second = place.client("c1"), place.client("c2")
    schedule(first, shared)
    second.write(f"schedule '{shared.where}'")
    line = second.wait_line("waits", 30)
    assert re.search(r"place 1.*client c1 \(process \d+\) holds the cluster", line), line


@pytest.mark.row("DS-20", "R-19", "R-78", "DC-43")
def test_the_next_client_runs_when_the_running_one_was_killed(place: Place) -> None:
    shared = place.scheduler()
    node = place.node("--peer", shared.where)
    first, second = place.client("c1"), place.client("c2")
    schedule(first, shared)
    run(first, 1, 60.0)
    first.wait_line("began 1", 20)
    second.write(f"schedule '{shared.where}'")
    shared.ask("status", "at place 1 of the queue")
    first.kill()
    assert second.wait_line("schedule ", 45) == "schedule 0"  # 15 s are promised
    run(second, 2)
    result(second, 2)
    close(second)
    assert node.process.poll() is None


@pytest.mark.row("DS-20", "R-78")
def test_a_client_that_dies_in_the_queue_leaves_it(place: Place) -> None:
    shared = place.scheduler()
    first, second, third = (place.client(name) for name in ("c1", "c2", "c3"))
    schedule(first, shared)
    second.write(f"schedule '{shared.where}'")
    shared.ask("status", "client c2")
    third.write(f"schedule '{shared.where}'")
    shared.ask("status", "at place 2 of the queue")
    second.kill()
    wait_until(lambda: "client c3" in shared.ask("status", "at place 1 of the queue"), 45)
    close(first)
    assert third.wait_line("schedule ", 10) == "schedule 0"


@pytest.mark.row("DC-15")
def test_a_client_that_is_not_scheduled_in_time_gets_minus_one_and_leaves_the_queue(place: Place) -> None:
    shared = place.scheduler()
    first, second = place.client("c1"), place.client("c2")
    schedule(first, shared)
    second.write(f"schedule '{shared.where}' 1.0")
    assert second.wait_line("schedule ", 10) == "schedule -1"
    assert re.search(r"client c1 \(process \d+\) holds the cluster", second.output)
    shared.ask("status", "client c1")
    before = len(shared.program.lines)
    shared.ask("status", "client c1")
    assert not any("client c2" in line for line in shared.program.lines[before:])


@pytest.mark.row("DC-16")
def test_nobody_at_the_named_place_is_said_and_times_out(place: Place) -> None:
    shared = place.scheduler()
    shared.program.kill()
    client = place.client()
    client.write(f"schedule '{shared.where}' 1.0")
    assert client.wait_line("schedule ", 10) == "schedule -1"
    assert f"no scheduler was reached at {shared.where}" in client.output


@pytest.mark.row("DS-14")
def test_a_client_that_runs_nothing_for_too_long_makes_room_for_the_next(place: Place) -> None:
    shared = place.scheduler("--zombie_period", "4")
    place.node("--peer", shared.where)
    first, second = place.client("c1"), place.client("c2")
    schedule(first, shared)
    run(first, 1)
    result(first, 1)
    second.write(f"schedule '{shared.where}'")
    assert "ClientClosed" in first.wait_line("ClientClosed", 20)
    assert second.wait_line("schedule ", 20) == "schedule 0"
    run(second, 2)
    result(second, 2)


@pytest.mark.row("DS-19")
def test_quit_lets_the_running_client_finish_and_refuses_the_others(place: Place) -> None:
    shared = place.scheduler()
    place.node("--peer", shared.where)
    first, second = place.client("c1"), place.client("c2")
    schedule(first, shared)
    run(first, 1, 1.5)
    first.wait_line("began 1", 20)
    second.write(f"schedule '{shared.where}'")
    shared.ask("status", "at place 1 of the queue")
    shared.program.write("quit")
    assert second.wait_line("schedule ", 10) == "schedule -1"
    assert "somebody typed quit" in second.output
    result(first, 1)
    first.wait_line("ClientClosed", 20)
    assert shared.program.wait(20) == 0
    assert not (place.path / "scheduler").exists()


@pytest.mark.row("DS-19", "GN-06", "R-53")
@pytest.mark.parametrize("how", ["terminate", "SIGTERM", "after quit"])
def test_it_ends_without_waiting_for_the_running_client(place: Place, how: str) -> None:
    shared = place.scheduler()
    client = place.client()
    schedule(client, shared)
    # What it runs, or what waits for a node, would keep it for ever.
    if how == "after quit":
        place.node("--peer", shared.where)
    run(client, 1, 600.0)
    client.write("nodes")
    client.wait_line("began 1" if how == "after quit" else "nodes", 20)
    if how == "SIGTERM":
        shared.program.signal(signal.SIGTERM)
    elif how == "after quit":
        shared.program.write("quit")
        client.wait_line("is asked to close", 10)
        shared.program.write("terminate")
    else:
        shared.program.write("terminate")
    client.wait_line("ClientClosed", 20)
    assert shared.program.wait(20) == 0
    assert not (place.path / "scheduler").exists()


@pytest.mark.row("GN-06", "R-53")
def test_a_second_signal_ends_it_at_once(place: Place) -> None:
    shared = place.scheduler()
    node = place.node("--peer", shared.where)
    client = place.client()
    schedule(client, shared)
    run(client, 1, 600.0)
    client.wait_line("began 1", 20)
    node.signal(signal.SIGSTOP)
    try:
        shared.program.signal(signal.SIGINT)
        shared.program.wait_line("a second signal ends it", 10)
        shared.program.signal(signal.SIGTERM)
        assert shared.program.wait(5) == 1
    finally:
        node.signal(signal.SIGCONT)
