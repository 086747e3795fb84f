"""The nodes of a SlurmCluster: jobs of their own, known by their names.

I/O half, reactor thread. Layer 5.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from dispycos.clusters.launcher import Launcher
from dispycos.launch import slurm, slurm_nodes
from dispycos.launch.slurm import Job, SlurmError
from dispycos.model import Incarnation
from dispycos.runtime import Network
from dispycos.scheduler.service import SchedulerService

log = logging.getLogger("dispycos")

LOOK_EVERY = 2.0  # seconds between questions to Slurm while it has nodes of ours
END_WITHIN = 20.0  # seconds for jobs to end at the close, before they are cancelled


class SlurmJobs(Launcher):
    """Submits them, has them drained, and asks Slurm what became of them.

    folder   of their output, on all machines.
    sbatch   options of sbatch; options: of dispycosnode.
    """

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
        self._pending: dict[str, str] = {}  # jobs that wait, and why, in Slurm's word

    def _name(self, number: int) -> str:
        return f"{self._set}-{number}"

    # As Launcher.

    async def begin(self) -> int:
        """None: a job is not for nothing."""
        return 0

    def start(self, number: int) -> None:
        """See `Launcher`."""
        self._jobs[number] = False
        self._do(self._submit(number))

    def drain(self, number: int) -> None:
        """See `Launcher`."""
        self._unwanted.add(number)
        if self._jobs.get(number):
            self._do(self._drain(number))

    def present(self) -> Mapping[Incarnation, int]:
        """See `Launcher`."""
        names = {slurm_nodes.job_name(self._name(number)): number for number in self._jobs}
        here = self._service.machine.nodes.values()
        return {node.incarnation: names[node.facts.name] for node in here if node.facts.name in names}

    def told(self) -> dict[str, Any]:
        """The jobs that wait for a machine, and why, as Slurm said last."""
        return {"pending": dict(self._pending)}

    def coming(self) -> list[str]:
        """See `Launcher`."""
        return [f"job {job} waits: Slurm says {why}" for job, why in list(self._pending.items())]

    async def stop(self) -> None:
        """Drain all, then end what is left."""
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

    def _do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._network.reactor.spawn(coroutine)
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
                self._note_pending(found)
                living = {job.name for job in found if not job.over}
                states = {job.name: job.state.lower() for job in found if job.over}
                for name in names.keys() - living:
                    number = names[name]
                    del self._jobs[number]
                    self._here.discard(number)
                    self._unwanted.discard(number)
                    state = states.get(name, "gone")
                    # Slurm forgets jobs, too, and those that failed not sooner than others.
                    self.ended(number, f"its job is {state}", in_order=state in ("completed", "gone"))
                for number in [n for n in self._unwanted if self._jobs.get(n)]:
                    await self._drain(number)  # Slurm did not answer before
            for number in set(self.present().values()) - self._here:
                self._here.add(number)
                self.came(number)
            await asyncio.sleep(LOOK_EVERY)
        self._pending = {}

    def _note_pending(self, found: Sequence[Job]) -> None:
        before, self._pending = self._pending, {}
        for job in found:
            if job.state == "PENDING":
                self._pending[job.number] = job.reason
                if before.get(job.number) != job.reason:
                    log.info("job %s of this cluster waits: Slurm says %s", job.number, job.reason)
