"""`node.processes`: what a server and its zygote say of its birth, by two pipes, in any order."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dispycos.config import Limits
from dispycos.model import Incarnation, Location
from dispycos.node.children import Zygote
from dispycos.node.events import ForkServer, ServerUp
from dispycos.node.pipe import LoopPipe, Pipe, Said
from dispycos.node.processes import Processes

HERE = Location("127.0.0.1", 9706)
UP = Said("up", {"incarnation": "ab" * 16, "addr": "127.0.0.1", "port": 9707})


class Birth:
    """A daemon's processes, and the two pipes that a zygote and its server would have."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.facts: list[Any] = []
        self.killed: list[int] = []
        rights = SimpleNamespace(over_processes=lambda function, *args: self.killed.append(args[0]))
        workspace = SimpleNamespace(path=str(folder), rights=rights, claim=lambda name, pid: None)
        settings = SimpleNamespace(limits=Limits(), ports={1: 0}, name="here")
        parts: list[Any] = [SimpleNamespace(loop=self.loop), settings, workspace, None, None]
        self.processes = Processes(*parts, self.facts.append)
        self.processes.location = HERE
        self.processes._folders[7] = SimpleNamespace(server_path=lambda index: str(folder))  # type: ignore[assignment]
        ours, theirs = socket.socketpair()
        self.zygote = Pipe(theirs, 0)
        pipe = LoopPipe(
            self.loop,
            ours,
            lambda said: self.processes._zygote_says(self.processes._zygotes[1], said),
            lambda reason: None,
        )
        process: Any = SimpleNamespace(pid=0)
        output: Any = None
        self.processes._zygotes[1] = Zygote(1, 7, process, output, pipe)
        self.processes.perform(ForkServer(1, 1))
        fork = self.zygote.hear()
        assert fork is not None
        output, control, page = fork.descriptors
        os.close(output)
        os.close(page)
        self.server = Pipe(socket.socket(fileno=control), 0)

    def forked(self) -> None:
        """The zygote says it; this process stands for its child."""
        me = os.getpid()
        self.zygote.say(Said("forked", {"index": 1, "pid": me}, descriptors=(os.pidfd_open(me),)))
        self.run()

    def run(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(0.01))

    def close(self) -> None:
        server = self.processes._servers[1]
        assert server.control is not None
        server.control.close()
        self.processes._zygotes[1].pipe.close()
        server.output.close()
        os.close(server.page)
        if server.pidfd >= 0:
            os.close(server.pidfd)
        self.zygote.close()
        self.server.close()
        self.loop.close()


@pytest.fixture
def birth(tmp_path: Path) -> Iterator[Birth]:
    birth = Birth(tmp_path)
    yield birth
    birth.close()


@pytest.mark.parametrize("first", ["its zygote", "the server"])
def test_a_server_is_up_whoever_of_it_and_its_zygote_is_heard_first(birth: Birth, first: str) -> None:
    if first == "its zygote":
        birth.forked()
    birth.server.say(UP)
    birth.run()
    if first == "the server":
        assert birth.facts == []
        birth.forked()

    place = Location("127.0.0.1", 9707)
    assert birth.facts == [ServerUp(1, os.getpid(), Incarnation(bytes.fromhex("ab" * 16)), place)]
    assert birth.killed == []


@pytest.mark.row("SE-24")
@pytest.mark.parametrize("first", ["its zygote", "the server"])
@pytest.mark.parametrize(
    "values", [{}, {"incarnation": "zz"}, {"port": -1}, {"addr": 3}, {"addr": "127.0.0.2"}], ids=str
)
def test_a_server_that_says_nonsense_of_itself_is_killed_and_its_zygote_is_not(
    birth: Birth, first: str, values: dict[str, Any]
) -> None:
    if first == "its zygote":
        birth.forked()
    birth.server.say(Said("up", {**UP.values, **values} if values else {}))
    birth.run()
    if first == "the server":
        birth.forked()

    assert birth.facts == []
    server = birth.processes._servers[1]
    assert birth.killed == [server.pidfd]
    assert "it says that it listens at " in server.problem
