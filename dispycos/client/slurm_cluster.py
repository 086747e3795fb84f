"""SlurmCluster: nodes of this program that Slurm starts, as many as are asked for or as there is work for.

Each node is a job of its own, which dials this program's private scheduler; the key is the
account's, in the home directory that the machines share.

I/O half. Layer 5.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from dispycos.arguments import integer
from dispycos.client.elastic import Elastic, Scalable
from dispycos.launch import slurm, slurm_nodes
from dispycos.launch.slurm import SlurmError
from dispycos.model import Incarnation
from dispycos.runtime import Network, runtime
from dispycos.scheduler import scheduler
from dispycos.scheduler.service import SchedulerService

log = logging.getLogger("dispycos")

LOOK_EVERY = 2.0  # seconds between questions to Slurm while it has nodes of ours
END_WITHIN = 20.0  # seconds for jobs to end at the close, before they are left to Slurm


class SlurmCluster(Scalable):
    """Nodes by Slurm for the clients of this program.

        with SlurmCluster(["--time=60"], servers=8) as cluster:
            cluster.adapt(0, 50)

    sbatch   options of sbatch for each node's job.
    servers  on each node, and the processors that sbatch is told to give it.
    log_dir  a folder on all machines for the nodes' output; None: the working directory.
    options  of dispycosnode; how many servers it has is said by `servers` alone.

    Clients of this program use its nodes, and others that reach its scheduler. When it closes, its
    jobs are drained for END_WITHIN seconds, then cancelled.
    """

    def __init__(
        self,
        sbatch: Sequence[str] = (),
        *,
        servers: int = 1,
        log_dir: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self._servers = integer("servers", servers, least=1)
        self._sbatch = [f"--cpus-per-task={servers}", *sbatch]
        self._folder = os.path.abspath(log_dir or os.curdir)
        # Said to the node, too: its job may have more processors than it was to have servers.
        self._options = [*options, f"--cpus={servers}"]
        self._network: Network | None = None
        self._nodes: _SlurmNodes | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start this program's scheduler; no node yet. SlurmError if Slurm does not answer."""
        if self._network is not None:
            return self
        slurm.ask("squeue", "--noheader", "--me")
        os.makedirs(self._folder, exist_ok=True)
        network = runtime.network()
        nodes = _SlurmNodes(network, scheduler.start(network), self._folder, self._sbatch, self._options)
        self._elastic = elastic = Elastic(network, nodes, self._servers, present=0)
        nodes.came, nodes.ended = elastic.came, elastic.ended
        self._network, self._nodes = network, nodes
        network.on_close(self._stop)
        return self

    def close(self) -> None:
        """Drain and end its nodes. May be repeated."""
        network, self._network = self._network, None
        if network is not None:
            network.drop_close(self._stop)
            network.reactor.wait(self._stop())

    async def _stop(self) -> None:
        elastic, self._elastic = self._elastic, None
        nodes, self._nodes = self._nodes, None
        if elastic is not None and nodes is not None:
            elastic.close()
            await nodes.stop()


class _SlurmNodes:
    """Its jobs, by number; reactor thread."""

    def __init__(
        self,
        network: Network,
        service: SchedulerService,
        folder: str,
        sbatch: Sequence[str],
        options: Sequence[str],
    ) -> None:
        self._network = network
        self._service = service
        self._folder = folder
        self._sbatch = sbatch
        self._options = options
        self._set = secrets.token_hex(4)  # of this program's jobs, beside those of others
        self._jobs: dict[int, bool] = {}  # those that were asked for: whether they are submitted
        self._here: set[int] = set()
        self._unwanted: set[int] = set()  # to be drained, and not told yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self.came: Callable[[int], None] = lambda number: None
        self.ended: Callable[[int, str], None] = lambda number, reason: None

    def _name(self, number: int) -> str:
        return f"{self._set}-{number}"

    # As elastic.Launcher.

    def start(self, number: int) -> None:
        self._jobs[number] = False
        self._do(self._submit(number))

    def drain(self, number: int) -> None:
        self._unwanted.add(number)
        if self._jobs.get(number):
            self._do(self._drain(number))

    def present(self) -> Mapping[Incarnation, int]:
        names = {slurm_nodes.job_name(self._name(number)): number for number in self._jobs}
        here = self._service.machine.nodes.values()
        return {node.incarnation: names[node.facts.name] for node in here if node.facts.name in names}

    async def stop(self) -> None:
        """Drain all, then end what is left."""
        self.came, self.ended = lambda number: None, lambda number, reason: None
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._looking is not None:
            self._looking.cancel()
        await asyncio.to_thread(self._end, [self._name(number) for number in self._jobs])

    @staticmethod
    def _end(names: list[str]) -> None:
        if not names:
            return
        try:
            slurm_nodes.end(names, END_WITHIN)
        except SlurmError as exc:
            log.warning("jobs of this cluster may be left: %s", exc)

    def _do(self, coroutine: object) -> None:
        task = self._network.reactor.spawn(coroutine)  # type: ignore[arg-type, var-annotated]  # of ours
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _submit(self, number: int) -> None:
        location = self._network.endpoint.location
        assert location is not None, "a program's network listens"
        name = self._name(number)
        words = [f"--peer={location}", f"--name={slurm_nodes.job_name(name)}", *self._options]
        try:
            await asyncio.to_thread(
                slurm_nodes.submit, name, 1, words, udp=False, folder=self._folder, sbatch=self._sbatch
            )
        except Exception as exc:
            # Whatever it is: what neither comes nor ends would be waited for for ever.
            del self._jobs[number]
            self._unwanted.discard(number)
            self.ended(number, str(exc) if isinstance(exc, SlurmError) else f"{type(exc).__name__}: {exc}")
            return
        self._jobs[number] = True
        if number in self._unwanted:
            await self._drain(number)
        if self._looking is None or self._looking.done():
            self._looking = self._network.reactor.spawn(self._look())

    async def _drain(self, number: int) -> None:
        try:
            told = await asyncio.to_thread(self._drain_jobs, slurm_nodes.job_name(self._name(number)))
        except SlurmError as exc:
            log.warning("node %d is not drained yet: %s", number, exc)
        else:
            if told:
                self._unwanted.discard(number)

    @staticmethod
    def _drain_jobs(name: str) -> bool:
        found = slurm.jobs(name)
        slurm_nodes.drain(found)
        return bool(found)

    async def _look(self) -> None:
        """What became of the jobs, as long as there are some."""
        while self._jobs:
            names = {slurm_nodes.job_name(self._name(n)): n for n, given in self._jobs.items() if given}
            try:
                found = await asyncio.to_thread(slurm.jobs, *names, over=True) if names else []
            except SlurmError as exc:
                log.warning("nobody knows what became of the nodes: %s", exc)
            else:
                living = {job.name for job in found if not job.over}
                states = {job.name: job.state.lower() for job in found if job.over}
                for name in names.keys() - living:
                    number = names[name]
                    del self._jobs[number]
                    self._here.discard(number)
                    self._unwanted.discard(number)
                    self.ended(number, f"its job is {states.get(name, 'gone')}")
                for number in [n for n in self._unwanted if self._jobs.get(n)]:
                    await self._drain(number)  # Slurm did not answer before
            for number in set(self.present().values()) - self._here:
                self._here.add(number)
                self.came(number)
            await asyncio.sleep(LOOK_EVERY)
