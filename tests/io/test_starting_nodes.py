"""What starts nodes for a cluster of this program, when the system or Slurm does not do as it is asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dispycos.clusters import slurm_jobs
from dispycos.clusters.hosts import Hosts
from dispycos.clusters.launcher import Launcher
from dispycos.clusters.local_nodes import LocalNodes
from dispycos.clusters.ssh_node import SSHNode
from dispycos.clusters.ssh_nodes import SSHNodes
from dispycos.model import Location
from dispycos.node.embedded import LocalNode
from tests.helpers import wait_until

LIMIT = 10.0  # seconds


def network() -> Any:
    """What of a network they use, on the loop that runs."""
    endpoint = SimpleNamespace(location=Location("127.0.0.1", 9706))
    loop = asyncio.get_running_loop()
    return SimpleNamespace(
        reactor=SimpleNamespace(spawn=loop.create_task, later=loop.call_later), endpoint=endpoint
    )


async def until(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_until, condition, LIMIT)


class Told:
    """Who asked for nodes, as far as it is told that they are gone."""

    def __init__(self, launcher: Launcher) -> None:
        self.all: list[tuple[int, str]] = []
        self.most: list[tuple[int, str]] = []
        launcher.owner = self

    def room(self, nodes: int) -> None: ...

    def at_most(self, nodes: int, reason: str) -> None:
        self.most.append((nodes, reason))

    def came(self, number: int, servers: int = 0) -> None: ...

    def ended(self, number: int, reason: str, *, in_order: bool = False, elsewhere: bool = False) -> None:
        self.all.append((number, reason))


def test_that_there_can_be_no_more_nodes_is_said_of_the_hosts_that_were_given_up() -> None:
    async def tell() -> list[tuple[int, str]]:
        service: Any = None
        nodes = SSHNodes(network(), service, {}, Hosts(["old", "off", "slow"]), {})
        told = Told(nodes)
        for number, host in enumerate(("old", "off", "slow"), 1):
            taken = nodes._hosts.take(0.0)
            assert taken == host
            launch: Any = None  # no login begins
            nodes._nodes[number] = SSHNode(number, host, launch, nodes._logins, nodes)
        old, off, _ = nodes._nodes.values()
        old.refuses = True
        nodes.is_over(off, "no route", False)
        nodes.is_over(old, "its node refuses to start", False)
        await nodes.stop()
        return told.most

    assert asyncio.run(tell()) == [(2, "old: its node refuses to start")]


def slurm_nodes(folder: Path) -> tuple[Any, list[tuple[int, str]]]:
    service: Any = SimpleNamespace(machine=SimpleNamespace(nodes={}))
    nodes = slurm_jobs.SlurmJobs(network(), service, str(folder), [], [])
    return nodes, Told(nodes).all


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's commands, as far as they matter here: one job, that waits while there is a file `waits` and
    runs until there is a file `over`."""
    scripts = {
        "sbatch": "echo 7",
        "squeue": f"[ -e {tmp_path}/silent ] && exit 1\n[ -e {tmp_path}/over ] && exit 0\n"
        f'state="RUNNING|n|None"; [ -e {tmp_path}/waits ] && state="PENDING||Resources"\n'
        'for word; do case $word in --name=*) echo "7|${word#--name=}|$state";; esac; done',
        "scancel": f'echo "$@" >> {tmp_path}/told',
    }
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(slurm_jobs, "LOOK_EVERY", 0.02)
    return tmp_path


def test_a_local_node_for_which_the_disk_has_no_room_is_told_as_ended() -> None:
    async def no_room(number: int) -> LocalNode:
        raise OSError(28, "No space left on device")

    async def tell(launch: Callable[[int], Awaitable[LocalNode]]) -> list[tuple[int, str]]:
        service: Any = None
        nodes = LocalNodes(network(), service, launch)
        ended = Told(nodes).all
        nodes.start(2)
        await until(lambda: ended)
        return ended

    assert asyncio.run(tell(no_room)) == [(2, "OSError: [Errno 28] No space left on device")]


def test_a_node_of_slurm_that_may_not_be_submitted_is_told_as_ended(
    commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*args: object, **options: object) -> None:
        raise RuntimeError("can't start new thread")

    async def tell() -> list[tuple[int, str]]:
        nodes, ended = slurm_nodes(commands)
        (commands / "sbatch").chmod(0o644)
        nodes.start(1)
        await until(lambda: len(ended) == 1)
        monkeypatch.setattr(slurm_jobs.slurm_nodes, "submit", no_thread)
        nodes.start(2)
        await until(lambda: len(ended) == 2)
        assert not nodes._jobs
        return ended

    assert asyncio.run(tell()) == [
        (1, "sbatch can't be run: Permission denied"),
        (2, "RuntimeError: can't start new thread"),
    ]


def test_a_job_that_waits_is_told_and_one_is_drained_when_slurm_answers_again(
    commands: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dispycos")
    told = commands / "told"

    async def drain() -> list[tuple[int, str]]:
        nodes, ended = slurm_nodes(commands)
        (commands / "waits").touch()
        nodes.start(1)
        await until(lambda: nodes.told() == {"pending": {"7": "Resources"}})
        (commands / "waits").unlink()
        await until(lambda: nodes.told() == {"pending": {}})
        (commands / "silent").touch()
        nodes.drain(1)
        await until(lambda: "node 1 is not drained yet" in caplog.text)
        assert not told.exists()
        (commands / "silent").unlink()
        await until(told.exists)
        await until(lambda: not nodes._unwanted)
        (commands / "over").touch()
        await until(lambda: ended)
        await nodes._looking
        return ended

    assert asyncio.run(drain()) == [(1, "its job is gone")]
    assert caplog.text.count("job 7 of this cluster waits: Slurm says Resources") == 1
    assert told.read_text() == "--batch --signal=USR1 7\n"
