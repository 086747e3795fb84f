"""What is left of a client, or of a node, once it has ended: nothing."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from dispycos.events import PeerUp
from dispycos.messages import FileAnswer, FileOffer, FileVerdict, NodeReport, ServerEnded, ServerStarted
from dispycos.model import Role
from dispycos.net.keys import Keyring
from dispycos.node import fresh
from dispycos.node.embedded import LocalNode
from tests.helpers import alive, background, wait_until
from tests.io.hostile import Party
from tests.process.daemons import Node, command
from tests.process.nodes import Master
from tests.process.test_node import (
    below,
    hold_the_gil,
    start_children,
    wait_for_ever,
    write_files,
)


@pytest.mark.row("R-48", "GN-04")
def test_a_file_that_a_server_is_sending_ends_with_its_client_s_turn(
    master: Master, local: LocalNode
) -> None:
    master.use(local.location, 1)
    key, *_ = master.call(master.endpoint.keyring.open_reservation, 1)
    server = Party("server", Keyring(key), roles=Role.SERVER)
    answers: list[FileAnswer] = []
    server.endpoint.handle(FileAnswer, lambda _peer, answer: answers.append(answer), who=Role.NODE)
    try:
        server.dial(local.location, reservation=1)
        wait_until(lambda: server.saw(PeerUp))
        offer = FileOffer(1, "half", 10_000_000, 0o600, 0.0, bytes(32), False)
        server.endpoint.say(local.incarnation, offer)
        wait_until(lambda: [answer.verdict for answer in answers] == [FileVerdict.SEND])
        master.release(local.incarnation)
        wait_until(lambda: len(answers) == 2, 3, "the end of the transfer")
        assert answers[1].verdict is FileVerdict.REFUSED
        assert "its folder is closed" in answers[1].reason
    finally:
        server.close()


@pytest.mark.row("R-11", "R-48")
@pytest.mark.parametrize("busy", [wait_for_ever, hold_the_gil])
def test_a_killed_node_leaves_neither_what_tasks_started_nor_their_files(
    tmp_path: Path, key_file: Path, master: Master, busy: Any
) -> None:
    with background(command(tmp_path, key_file)) as program:
        node = Node(program)
        one, other = master.use(node.location, 2, [start_children, write_files, busy])
        folder = Path(master.run(other, write_files))
        started = master.run(one, start_children)
        master.submit(other, busy)
        wait_until(lambda: sum(s.begun for r in master.all(NodeReport)[-1:] for s in r.servers) == 3)
        pids = below(node.pid)
        assert set(started) < set(pids) and all(map(alive, started))
        assert folder.is_dir()
        program.signal(signal.SIGKILL)
        wait_until(lambda: not any(map(alive, pids)), 6, f"the end of {pids}")
        wait_until(lambda: not folder.exists(), 4, "the removal of its files")


@pytest.mark.row("R-11", "R-86")
def test_a_node_that_is_started_again_at_once_waits_for_the_end_of_its_killed_predecessor(
    tmp_path: Path, key_file: Path, master: Master
) -> None:
    with background(command(tmp_path, key_file)) as first:
        node = Node(first)
        (server, _other) = master.use(node.location, 2, [start_children])
        started = master.run(server, start_children)
        first.signal(signal.SIGKILL)
        first.wait(5)
        with background(command(tmp_path, key_file)) as second:
            Node(second)
            assert not any(map(alive, started))


@pytest.mark.row("R-10", "R-48")
def test_a_killed_zygote_leaves_its_servers_children_to_the_node(master: Master, local: LocalNode) -> None:
    (server, _other) = master.use(local.location, 2, [start_children])
    started = master.run(server, start_children)
    (zygote,) = psutil.Process(local.pid).children()
    zygote.kill()
    master.next(ServerEnded, 2)
    master.release(local.incarnation)
    assert not any(map(alive, started))


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster of another test is there, which would end what a dead node has left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.row("R-11", "R-48")
@pytest.mark.usefixtures("alone")
def test_a_node_killed_together_with_its_zygote_leaves_nothing_once_its_program_has_seen_it(
    master: Master, own_local: LocalNode
) -> None:
    (server, _other) = master.use(own_local.location, 2, [start_children])
    started = master.run(server, start_children)
    (zygote,) = psutil.Process(own_local.pid).children()
    for pid in (zygote.pid, own_local.pid):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not zygote.is_running(), what="the zygote's end")
    # Nobody is left who could tell by parentage whose they are.
    assert any(map(alive, started))
    master.reactor.run(own_local.stop()).result(20)
    assert not any(map(alive, started))


@pytest.mark.row("R-10", "R-11", "R-48")
def test_what_a_dead_zygote_left_is_ended_before_the_node_can_die_too(
    master: Master, local: LocalNode
) -> None:
    (server, _other) = master.use(local.location, 2, [start_children])
    started = master.run(server, start_children)
    (zygote,) = psutil.Process(local.pid).children()
    zygote.kill()
    # The client's turn goes on, and its next zygote and servers are not touched.
    wait_until(lambda: not any(map(alive, started)), 10, "the end of what its tasks had started")
    wait_until(lambda: len(master.all(ServerStarted)) == 4, 15, "two servers again")
    ended = len(master.all(ServerEnded))
    assert ended == 2
    again = master.take(master.all(ServerStarted)[-1].server)
    assert master.run(again, start_children)
    assert len(master.all(ServerEnded)) == ended
    master.release(local.incarnation)


def test_a_node_that_nobody_needs_and_that_does_not_see_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "_END_WITHIN", 0.05)
    node = fresh.start_node()
    node.process.send_signal(signal.SIGSTOP)
    node.end()
    assert node.process.returncode == -signal.SIGKILL
