"""What an adapter is."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import random
import time

from bench.workloads import BULK_BYTES, UNEVEN, WORKERS


class Peer:
    """One way to run work in other processes.

    Made and used in a process of its own. `start` brings two workers up; each method of a
    workload does n units and returns when all are done.
    """

    name = ""  # as the table shows it
    module: str | None = None  # what must be importable; None: the standard library
    restless = False  # daemons of its own work while it has no turn, and disturb the others
    package: str | None = None  # of which the version is shown, if it isn't `module`

    @classmethod
    def installed(cls) -> bool:
        return cls.module is None or importlib.util.find_spec(cls.module) is not None

    @classmethod
    def version(cls) -> str:
        if cls.module is None:
            return ""
        try:
            return importlib.metadata.version(cls.package or cls.module)
        except importlib.metadata.PackageNotFoundError:
            return ""

    def start(self) -> None:
        """Bring the workers up."""

    def first(self) -> None:
        """One result of a task or call: the end of P8."""
        self.one_by_one(1)  # type: ignore[attr-defined]  # or overridden

    def stop(self) -> None:
        """End the workers."""


class TaskPeer(Peer):
    """A peer with an idiom for "run this function on each of these values"."""

    def each(self, function: object, values: list[object]) -> list[object]:
        """All results in order, submitted one task a value."""
        raise NotImplementedError

    def uneven(self, n: int) -> float:
        """Share of the ideal schedule that n tasks reach, instead of a time."""
        from bench.work import busy

        values = [UNEVEN[i % len(UNEVEN)] for i in range(n)]
        random.Random(1).shuffle(values)
        began = time.perf_counter()
        self.each(busy, list(values))
        return sum(values) / WORKERS / (time.perf_counter() - began)


def random_bytes() -> bytes:
    """The payload of P5: incompressible."""
    return random.Random(1).randbytes(BULK_BYTES)
