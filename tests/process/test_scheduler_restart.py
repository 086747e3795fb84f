"""A shared scheduler that is killed and started again: turns, queue, tasks and messages go on."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import Program, unavailable, wait_until
from tests.process.schedulers import Place, Shared, close, result, run, schedule


def ticks(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"^tick (\d+)$", text, re.MULTILINE)]


def busy(
    place: Place, options: str = "pulse_interval=0.4", *, waiting: int = 2
) -> tuple[Shared, list[Program]]:
    """c1 runs a task that talks, c2 and so on wait in this order."""
    shared = place.scheduler()
    place.node("--peer", shared.where)
    clients = [place.client(name, options) for name in ("c1", "c2", "c3")[: 1 + waiting]]
    schedule(clients[0], shared)
    clients[0].write("ticks")
    clients[0].wait_line("tick 3", 20)
    for number, client in enumerate(clients[1:], 1):
        client.write(f"schedule '{shared.where}'")
        shared.ask("status", f"at place {number} of the queue")
    return shared, clients


@pytest.mark.row("R-17", "DS-21", "R-77", "R-35")
def test_queue_turn_tasks_and_messages_outlive_a_killed_scheduler(place: Place) -> None:
    shared, (first, second, third) = busy(place)
    shared.program.kill()
    before = ticks(first.output)[-1]
    wait_until(lambda: ticks(first.output)[-1] > before + 3, 10, "messages while the scheduler is away")
    run(first, 1)
    result(first, 1)
    shared = place.scheduler(port=shared.location.port)
    line = shared.ask("status", "client c1", 30)
    assert "is scheduled" in line
    wait_until(lambda: "; waits" not in shared.ask("status", "client c1"), 30, "the running client is back")
    assert "client c2" in shared.ask("status", "at place 1 of the queue")
    assert "client c3" in shared.ask("status", "at place 2 of the queue")
    # The lease is renewed: what begins now is past the end of the old one.
    now = ticks(first.output)[-1]
    wait_until(lambda: ticks(first.output)[-1] > now + 25, 20, "messages after the restart")
    run(first, 2)
    result(first, 2)
    seen = ticks(first.output)
    assert seen == list(range(len(seen))), "a message was lost, doubled or out of order"
    close(first)
    assert second.wait_line("schedule ", 20) == "schedule 0"
    run(second, 3)
    result(second, 3)
    close(second)
    assert third.wait_line("schedule ", 20) == "schedule 0"


@pytest.mark.row("R-18", "R-77", "DS-21")
def test_without_a_scheduler_what_runs_goes_on_and_new_work_says_what_it_waits_for(place: Place) -> None:
    shared = place.scheduler()
    place.node("--peer", shared.where, servers=1)
    client = place.client()
    schedule(client, shared)
    run(client, 1, 6.0)
    client.wait_line("began 1", 20)
    shared.program.kill()
    # Longer than the lease, which is five pulses.
    result(client, 1)
    run(client, 2)
    line = client.wait_line("not reachable", 40)
    assert shared.where in line
    assert "result 2" not in client.output
    place.scheduler(port=shared.location.port)
    result(client, 2, 60)


@pytest.mark.row("R-17", "R-78")
def test_a_client_that_died_meanwhile_is_not_waited_for(place: Place) -> None:
    # Whoever is only silent is waited for, for minutes with such pulses.
    shared, (first, second, third) = busy(place, "pulse_interval=30")
    shared.program.kill()
    first.kill()
    second.kill()
    place.scheduler(port=shared.location.port)
    assert third.wait_line("schedule ", 45) == "schedule 0"
    run(third, 1)
    result(third, 1)


@pytest.mark.row("R-54", "R-36")
def test_a_damaged_journal_is_kept_and_said_and_the_running_client_goes_on(place: Place) -> None:
    shared, (first, _) = busy(place, waiting=1)
    shared.program.kill()
    (journal,) = place.path.rglob("journal.db")
    journal.write_bytes(b"nothing that SQLite would know" * 100)
    for other in journal.parent.glob("journal.db-*"):
        other.unlink()
    shared = place.scheduler(port=shared.location.port)
    line = shared.program.wait_line("could not be read", 10)
    (kept,) = journal.parent.glob("journal.db.damaged-*")
    assert str(kept) in line
    assert kept.read_bytes().startswith(b"nothing that SQLite")
    wait_until(lambda: "is scheduled" in shared.ask("status", "client c1", 30), 30)
    shared.ask("status", "at place 1 of the queue", 30)
    now = ticks(first.output)[-1]
    wait_until(lambda: ticks(first.output)[-1] > now + 25, 20, "messages after the restart")
    run(first, 2)
    result(first, 2)
    close(first)


@pytest.mark.row("DS-18")
def test_a_clean_start_forgets_who_waited_and_removes_what_was_left(place: Place) -> None:
    shared = place.scheduler()
    first, second = place.client("c1"), place.client("c2")
    schedule(first, shared)
    second.write(f"schedule '{shared.where}'")
    shared.ask("status", "at place 1 of the queue")
    shared.program.kill()
    first.kill()
    second.kill()
    folder = next(place.path.rglob("journal.db")).parent
    (folder / "journal.db.damaged-20250102-030405").write_bytes(b"kept from an earlier run")
    again = place.scheduler("--clean", port=shared.location.port)
    assert again.ask("status", "no client, no node")
    assert not list(folder.glob("*damaged*"))
    again.program.write("quit")
    assert again.program.wait(10) == 0
    assert not any((place.path / "scheduler").iterdir())


def test_a_second_scheduler_in_the_same_folder_is_refused(place: Place) -> None:
    shared = place.scheduler()
    # Another address, the same port and so the same folder.
    command = place.command(port=shared.location.port)
    command[command.index("127.0.0.1")] = "127.0.0.2"
    for more in ([], ["--clean"]):
        second = place.start([*command, *more])
        assert second.wait(10) == 1
        assert "is in use by another scheduler" in second.output
        assert "--dest_path" in second.output
    shared.ask("status", "no client, no node")


@pytest.fixture
def small_disk(place: Place) -> Iterator[Path]:
    """A folder on a disk of 4 MiB."""
    folder = place.path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        unavailable("tmpfs", made.stderr.strip())
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    path = folder / "filler"
    with open(path, "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


@pytest.mark.row("R-22", "R-54", "R-61")
def test_a_full_disk_refuses_new_clients_and_keeps_the_running_one(place: Place, small_disk: Path) -> None:
    shared = place.scheduler("--dest_path", str(small_disk))
    place.node("--peer", shared.where)
    first, second, third = (place.client(name) for name in ("c1", "c2", "c3"))
    schedule(first, shared)
    run(first, 1)
    result(first, 1)
    filler = fill(small_disk)
    second.write(f"schedule '{shared.where}'")
    assert second.wait_line("schedule ", 10) == "schedule -1"
    assert "full" in second.output and "can't write down" in second.output
    assert "full" in shared.ask("status", "new clients are refused")
    run(first, 2)
    result(first, 2)
    filler.unlink()
    shared.program.wait_line("the journal is written again", 20)
    third.write(f"schedule '{shared.where}'")
    shared.ask("status", "at place 1 of the queue")
    # It had not lied meanwhile, nor forgotten anybody.
    shared.program.kill()
    (journal,) = small_disk.rglob("journal.db")
    with sqlite3.connect(journal) as database:
        names = [row[0] for row in database.execute("SELECT name FROM clients ORDER BY place")]
    database.close()
    assert names == ["c1", "c3"]


@pytest.mark.row("R-54", "R-33")
def test_a_removed_folder_is_noticed_and_clients_are_told_why_they_are_refused(place: Place) -> None:
    shared = place.scheduler()
    folder = next(place.path.rglob("journal.db")).parent
    shutil.rmtree(folder)
    first, second = place.client("c1"), place.client("c2")
    first.write(f"schedule '{shared.where}'")
    assert first.wait_line("schedule ", 10) == "schedule -1"
    assert "was removed or replaced while it was in use" in first.output
    seen = len(first.lines)
    first.write("run 0 1")
    first.wait_line("was removed or replaced", 10, after=seen)
    shared.program.wait_line("the journal is written again", 20)
    schedule(second, shared)
    assert (folder / "journal.db").exists() and folder.stat().st_mode & 0o777 == 0o700
    close(second)
