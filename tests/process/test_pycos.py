"""Pycos: this process and others of the same key."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos import Location, PeerStatus, Pycos, Scheduler, Task
from dispycos.kernel import loop
from tests.helpers import Program, background, wait_until
from tests.process.clusters import run

OTHER = """
import socket
import sys
from dispycos import Pycos, Task

def answers(task=None):
    task.register()
    while True:
        asker, message = yield task.receive()
        asker.send(message.upper())

Task(answers)
options = {"name": "other", "secret": "a test's own secret", "dest_path": sys.argv[1]}
pycos = Pycos(host="127.0.0.1", discover_peers=False, **options)
print("at", pycos.location.port, flush=True)
pycos.join()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Program]:
    (tmp_path / "there").mkdir(mode=0o700)
    with background([sys.executable, "-c", OTHER, str(tmp_path / "there")]) as program:
        program.wait_line("at ", 40)
        yield program


def place(other: Program) -> Location:
    return Location("127.0.0.1", other.wait_line("at ", 40).split()[1])


@pytest.fixture
def pycos(program: None) -> Pycos:
    return Pycos(host="127.0.0.1", discover_peers=False, name="mine", secret="a test's own secret")


@pytest.mark.row("KE-25", "KE-26", "SE-57")
def test_there_is_one_in_a_process(pycos, caplog):
    assert Pycos() is pycos
    assert Pycos.instance() is pycos
    assert "ignored" not in caplog.text
    assert Pycos(name="another", secret="correct horse battery") is pycos
    assert "name, secret is ignored" in caplog.text
    assert "horse" not in caplog.text
    assert pycos.name == "mine"
    assert pycos.locations == [pycos.location]
    assert pycos.is_alive()


@pytest.mark.row("KE-25")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"node": "127.0.0.1", "host": "127.0.0.1"}, ValueError),
        ({"tcp_port": "x"}, TypeError),
        ({"tcp_port": 70000}, ValueError),
        ({"name": 3}, TypeError),
        ({"max_file_size": -1}, ValueError),
        ({"no_such_argument": 1}, TypeError),
        ({"host": "192.0.2.77"}, OSError),
        ({"host": "no.such.host.invalid"}, ValueError),
    ],
)
def test_a_bad_argument_is_an_error_that_leaves_nothing(program, arguments, error):
    with pytest.raises(error):
        Pycos(**arguments)


@pytest.mark.row("KE-25", "DS-01")
@pytest.mark.parametrize(("call", "own"), [(Pycos, "node, host"), (Scheduler, "ping_interval")])
def test_an_unknown_argument_is_told_in_the_words_of_the_call(program, call, own):
    with pytest.raises(TypeError) as caught:
        call(zone="127.0.0.1")
    assert str(caught.value).startswith(f"{call.__name__}() has no argument 'zone'; it takes {own}, ")
    assert "tcp_port" in str(caught.value)
    with pytest.raises(TypeError, match=r"has no argument 'tcpport'; did you mean tcp_port=\?"):
        call(tcpport=1)


@pytest.mark.row("KE-26")
def test_after_terminate_a_new_one_may_be_made(program):
    ended = []
    first = Pycos(host="127.0.0.1", discover_peers=False, secret="a test's own secret")
    first.atexit(2, ended.append, "second")
    first.atexit(1, ended.append, "first")
    first.atexit(3, ended.clear)
    first.drop_atexit(ended.clear)
    first.terminate()
    assert ended == ["first", "second"]
    assert not first.is_alive()
    second = Pycos(host="127.0.0.1", discover_peers=False, secret="a test's own secret")
    assert second is not first
    assert second.is_alive()


@pytest.mark.row("KE-26")
def test_join_waits_for_tasks_and_refuses_inside_one(pycos):
    def sleeps(task: Any = None) -> Any:
        with pytest.raises(RuntimeError):
            pycos.join()
        assert Pycos.cur_task() is task
        yield task.sleep(0.1)

    task = Task(sleeps)
    assert pycos.join(timeout=10)
    assert task.value(0) is None
    assert Pycos.cur_task() is None


@pytest.mark.row("KE-29", "KE-28", "KE-14", "KE-15")
def test_named_peers_meet_and_talk(pycos, other):
    def main(task: Any = None) -> Any:
        assert (yield pycos.peer(place(other))) == 0
        assert pycos.peers() == [place(other)]
        assert (yield pycos.locate("other", timeout=5)) == place(other)
        assert (yield pycos.locate("nobody", timeout=0.05)) is None
        assert (yield pycos.locate("mine")) == pycos.location
        answers = yield Task.locate("answers", location=place(other), timeout=5)
        answers.send((task, "hello"))
        assert (yield task.receive(timeout=5)) == "HELLO"
        assert (yield pycos.close_peer(place(other))) == 0
        assert (yield pycos.close_peer(place(other))) == -1

    run(main)


@pytest.mark.row("KE-29", "KE-28")
def test_what_is_not_needed_to_reach_a_peer_may_be_said(pycos, other):
    def main(task: Any = None) -> Any:
        assert (yield pycos.peer(place(other), stream_send=True)) == 0
        assert (yield pycos.peer(place(other), relay=True)) == 0  # it knows nobody else
        assert pycos.peers() == [place(other)]
        assert (yield pycos.close_peer(place(other), timeout=5)) == 0

    run(main)


@pytest.mark.row("KE-31")
def test_received_files_may_go_elsewhere_from_now_on(program, other, tmp_path):
    pycos = Pycos(
        host="127.0.0.1", discover_peers=False, secret="a test's own secret", dest_path=tmp_path / "first"
    )
    (tmp_path / "second").mkdir(mode=0o700)
    file = tmp_path / "data"
    file.write_bytes(b"x" * 1000)

    def main(task: Any = None) -> Any:
        assert (yield pycos.send_file(pycos.location, file)) == 0
        pycos.dest_path = tmp_path / "second"
        assert (yield pycos.send_file(pycos.location, file)) == 0

    run(main)
    assert pycos.dest_path == str(tmp_path / "second")
    assert (tmp_path / "first" / "data").exists() and (tmp_path / "second" / "data").exists()


@pytest.mark.row("KE-29")
def test_nobody_at_a_location_is_told_promptly(pycos):
    def main(task: Any = None) -> Any:
        return (yield pycos.peer(Location("127.0.0.1", 1)))

    assert run(main, timeout=10) == -1


@pytest.mark.row("KE-30")
def test_who_comes_and_goes_is_told(pycos, other):
    statuses: list[Any] = []

    def watches(task: Any = None) -> Any:
        task.set_daemon()
        while True:
            statuses.append((yield task.receive()))

    pycos.peer_status(Task(watches))

    def main(task: Any = None) -> Any:
        assert (yield pycos.peer(place(other))) == 0

    run(main)
    wait_until(lambda: statuses)
    assert statuses == [PeerStatus(place(other), "other", PeerStatus.Online)]
    other.kill()
    wait_until(lambda: len(statuses) == 2, timeout=20)
    assert statuses[1] == PeerStatus(statuses[0].location, "other", PeerStatus.Offline)


@pytest.mark.row("KE-31")
def test_files_go_there_and_are_removed_again(pycos, other, tmp_path):
    file = tmp_path / "data.bin"
    file.write_bytes(os.urandom(300_000))
    there = tmp_path / "there"

    def main(task: Any = None) -> Any:
        where = place(other)
        assert (yield pycos.send_file(where, file)) == 0
        assert (there / "data.bin").read_bytes() == file.read_bytes()
        assert (yield pycos.send_file(where, file)) == 0  # the identical one is there
        assert (yield pycos.send_file(where, file, dir="in/here")) == 0
        assert (there / "in" / "here" / "data.bin").exists()
        file.write_bytes(b"another")
        assert (yield pycos.send_file(where, file)) == -1
        assert (yield pycos.send_file(where, file, overwrite=True)) == 0
        assert (there / "data.bin").read_bytes() == b"another"
        assert (yield pycos.send_file(where, tmp_path / "none")) == -1
        assert (yield pycos.send_file(where, file, dir="../out")) == -1
        assert (yield pycos.del_file(where, "data.bin")) == 0
        assert not (there / "data.bin").exists()
        assert (yield pycos.del_file(where, "data.bin")) == -1
        assert (yield pycos.send_file(Location("127.0.0.1", 1), file)) == -1

    run(main)
    assert not (tmp_path / "out").exists()


@pytest.mark.row("KE-25")
def test_local_tasks_open_no_socket(program):
    before = set(os.listdir("/proc/self/fd"))

    def local(task: Any = None) -> Any:
        yield task.sleep(0.01)
        return 1

    assert run(local) == 1
    assert set(os.listdir("/proc/self/fd")) == before
    assert loop.default().kernel.network is None


FINDS = """
import socket
import sys
from dispycos import Pycos, Task
pycos = Pycos(host="127.0.0.1", secret="a test's own secret", name="finds", udp_port=int(sys.argv[1]))
def main(task=None):
    print("found", (yield pycos.locate("mine", timeout=float(sys.argv[2]))), flush=True)
    yield task.sleep(0)
Task(main)
"""


@pytest.mark.row("KE-28")
def test_who_ignores_peers_is_not_found(program):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pycos = Pycos(host="127.0.0.1", name="mine", secret="a test's own secret", udp_port=port)
    pycos.ignore_peers = True
    assert pycos.ignore_peers
    with background([sys.executable, "-c", FINDS, str(port), "3"]) as finds:
        assert finds.wait_line("found", timeout=20) == "found None"
    assert pycos.peers() == []
    pycos.ignore_peers = False
    with background([sys.executable, "-c", FINDS, str(port), "15"]) as finds:
        assert finds.wait_line("found", timeout=20) == f"found {pycos.location}"
