"""The cluster of a chaos run: a shared scheduler, nodes and a program, and the verbs that hurt them."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from tests.helpers import Program, alive, wait_until
from tests.process.daemons import free_ports
from tests.process.schedulers import Place, Shared

PROGRAM = Path(__file__).with_name("program.py")
SERVERS = 2  # of each node
FROZEN = 3.0  # seconds at most that a process is stopped


class Node:
    """One node, which is started again where it was."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self._cluster = cluster
        self.ports = free_ports(SERVERS + 1)
        self.program = self._start()

    def _start(self) -> Program:
        # A port may be held a moment longer by what is just dying.
        cluster = self._cluster
        return cluster.place.node(
            "--peer", cluster.shared.where, servers=SERVERS, port=self.ports, name=self.name
        )

    @property
    def path(self) -> Path:
        """Where its files are."""
        return self._cluster.place.path / self.name

    def below(self) -> list[psutil.Process]:
        """Its processes but itself."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.program.pid).children(recursive=True)
        return []

    def zygotes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.program.pid).children()
        return []

    def servers(self) -> list[psutil.Process]:
        found = []
        for zygote in self.zygotes():
            with contextlib.suppress(psutil.NoSuchProcess):
                found += zygote.children()
        return found

    def kill(self) -> None:
        """Kill the daemon; what it had started is gone soon (R-11)."""
        # A zygote that is stopped can't see that its node is dead: whoever stopped it lets it go on.
        self._cluster.undo(everything=True)
        # Nor does anybody end what a zygote left that died a moment ago, if its node dies before it has.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: all("zygote" in _told(child) for child in self.zygotes()), 3)
        below = self.below()
        told = {process.pid: _told(process) for process in below}
        os.kill(self.program.pid, signal.SIGKILL)
        self.program.process.wait()
        try:
            wait_until(lambda: not any(alive(pid) for pid in told), 15)
        except AssertionError:
            left = [what for pid, what in told.items() if alive(pid)]
            raise AssertionError(f"{self.name} was killed, and 15 s later there still are: {left}") from None
        self.program.kill()
        self.program = self._start()


class Cluster:
    """All of it, and the verbs by name."""

    def __init__(self, place: Place, seed: int, nodes: int = 2, calm: bool = False) -> None:
        self.place = place
        self.random = random.Random(seed)
        self.ledgers = place.path / "ledgers"
        self.ledgers.mkdir()
        self._asleep: list[tuple[float, Callable[[], object]]] = []  # when, what undoes a verb
        self._limits: dict[tuple[int, int], tuple[int, int]] = {}  # of which process, and which one -> before
        # A disk of its own for the scheduler's journal, which can be full without ours being so.
        self._disk = _small_disk(place)
        self.shared: Shared = place.scheduler()
        self.nodes = [Node(self, f"n{number}") for number in range(1, nodes + 1)]
        self._seed = seed
        self.program = self._start_program(self.ledgers, *(["calm"] if calm else []))
        self.program.wait_line("running", 30)
        self.verbs: dict[str, tuple[Callable[[], None], int]] = {
            "kill a server": (lambda: self.signal_server(signal.SIGKILL), 6),
            "segfault a server": (lambda: self.signal_server(signal.SIGSEGV), 2),
            "stop a server": (self._stop_server, 4),
            "stop a node": (self._stop_node, 3),
            "stop the scheduler": (self._stop_scheduler, 2),
            "kill a zygote": (self._kill_zygote, 2),
            "kill a node": (lambda: self._node().kill(), 2),
            "kill the scheduler": (self.kill_scheduler, 2),
            "limit a node's descriptors": (self._limit_descriptors, 1),
            "limit a server's memory": (self._limit_memory, 2),
        }
        if self._disk is not None:
            self.verbs["fill the scheduler's disk"] = (self.fill_disk, 2)

    def _start_program(self, ledgers: Path, *more: str) -> Program:
        return self.place.start(
            [sys.executable, "-u", str(PROGRAM), self.shared.where, str(self._seed), str(ledgers), *more],
            {"DISPYCOS_SECRET_FILE": str(self.place.key)},
        )

    # Verbs.

    def strike(self) -> str:
        """One verb, by chance; answers its name."""
        names = list(self.verbs)
        (name,) = self.random.choices(names, [self.verbs[name][1] for name in names])
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            self.verbs[name][0]()
        return name

    def _node(self) -> Node:
        return self.random.choice(self.nodes)

    def _server(self) -> psutil.Process:
        servers = self._node().servers()
        if not servers:
            raise ProcessLookupError
        return self.random.choice(servers)

    def signal_server(self, number: int) -> None:
        self._server().send_signal(number)

    def _stop_server(self) -> None:
        self._freeze(self._server())

    def _stop_node(self) -> None:
        node = self._node()
        self._freeze(*node.below(), psutil.Process(node.program.pid))

    def _stop_scheduler(self) -> None:
        self._freeze(psutil.Process(self.shared.program.pid))

    def _freeze(self, *processes: psutil.Process) -> None:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        self._undo_later(lambda: _thaw(processes))

    def _kill_zygote(self) -> None:
        for zygote in self._node().zygotes():
            zygote.kill()

    def kill_scheduler(self) -> None:
        if self._disk is not None:
            # Without room for its journal none starts, and says so.
            (self._disk / "filler").unlink(missing_ok=True)
        self.shared = self.shared.kill_and_restart()

    def _limit_descriptors(self) -> None:
        pid = self._node().program.pid
        self._limit(pid, resource.RLIMIT_NOFILE, psutil.Process(pid).num_fds())

    def _limit(self, pid: int, what: int, to: int) -> None:
        # What it had before we limited it at all: two limits may overlap, and end in any order.
        before = self._limits.setdefault((pid, what), resource.prlimit(pid, what))
        resource.prlimit(pid, what, (to, before[1]))
        self._undo_later(lambda: resource.prlimit(pid, what, before))

    def _limit_memory(self) -> None:
        server = self._server()
        self._limit(server.pid, resource.RLIMIT_AS, server.memory_info().vms)

    def fill_disk(self) -> None:
        """No byte more fits where the journal is, for a while (R-22)."""
        assert self._disk is not None
        filler = self._disk / "filler"
        with contextlib.suppress(OSError), open(filler, "ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        self._undo_later(lambda: filler.unlink(missing_ok=True))

    def _undo_later(self, undo: Callable[[], object]) -> None:
        self._asleep.append((time.monotonic() + self.random.random() * FROZEN, undo))

    def undo(self, everything: bool = False) -> None:
        """Take back what has lasted long enough."""
        now = time.monotonic()
        due = [one for one in self._asleep if everything or one[0] <= now]
        self._asleep = [one for one in self._asleep if one not in due]
        for _when, undo in due:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                undo()

    # The end.

    def finish(self, within: float) -> None:
        """Nobody is hurt any more: all that was submitted ends, and the program."""
        self.undo(everything=True)
        self.program.write("stop")
        self.program.wait_line("done", within)
        assert self.program.wait(15) == 0, self.program.output
        self._wait_free("the client has closed")

    def _wait_free(self, what: str) -> None:
        """Every node is free of its client in time, which is the same for its end and its death (R-19)."""
        for node in self.nodes:
            try:
                wait_until(partial(_is_free, node), 15)
            except AssertionError:
                left = [*map(_told, node.below()), *(str(entry) for entry in node.path.iterdir())]
                raise AssertionError(
                    f"{what}, and 15 s later {node.name} still has {left}; "
                    f"it says:\n{_last(node.program)}\nand the scheduler:\n{_last(self.shared.program)}"
                ) from None

    def kill_client(self) -> None:
        """Another program runs tasks here and is killed: they end everywhere, and nothing of them is left."""
        ledgers = self.place.path / "killed"
        ledgers.mkdir()
        program = self._start_program(ledgers)
        program.wait_line("running", 30)
        # Its own ledger is there at once; the others are of servers in which tasks have begun.
        wait_until(lambda: len(list(ledgers.iterdir())) > SERVERS, 30, "its tasks to begin on both nodes")
        os.kill(program.pid, signal.SIGKILL)
        program.process.wait()
        self._wait_free("the client was killed")
        size = sum(path.stat().st_size for path in ledgers.iterdir())
        time.sleep(1.0)
        assert sum(path.stat().st_size for path in ledgers.iterdir()) == size, "a dead client's task runs"

    def close(self) -> None:
        """End daemons in order; nothing is left, and no port is held."""
        for program in (*(node.program for node in self.nodes), self.shared.program):
            program.signal(signal.SIGTERM)
            assert program.wait(20) == 0, f"it ends with {program.process.returncode}: {program.output}"


def _small_disk(place: Place) -> Path | None:
    """The folder of the scheduler on a disk of 4 MiB; None: this system lets nobody mount one."""
    folder = place.path / "scheduler"
    folder.mkdir(mode=0o700, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return None
    # What runs there has ended by then: the programs are ended first.
    place.at_end(lambda: subprocess.run(["umount", str(folder)], check=True))
    return folder


def _last(program: Program) -> str:
    """The last lines that it wrote."""
    return "\n".join(program.output.splitlines()[-30:])


def _is_free(node: Node) -> bool:
    return not node.below() and not any(entry.is_dir() for entry in node.path.iterdir())


def _thaw(processes: tuple[psutil.Process, ...]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


def _told(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        command = " ".join(process.cmdline())
        return f"{process.pid} ({process.status()}, child of {process.ppid()}): {command[:120]}"
    return str(process.pid)
