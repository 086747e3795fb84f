"""What an adapter is."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import random
import time
from collections.abc import Sequence
from typing import Any

from bench import ideal, peaks
from bench.work import hold
from bench.workloads import MIB


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

    held: Sequence[ideal.Held] = ()  # what was found last

    def uneven(self, n: int) -> float:
        """Share of the ideal schedule that n tasks reach, instead of a time."""
        return self._share(ideal.uneven(n))

    def even(self, n: int) -> float:
        return self._share(ideal.even(n))

    def _share(self, values: list[float]) -> float:
        began = time.monotonic()
        self.held = self.each(hold, list(values))  # type: ignore[assignment]  # that is what hold answers
        return ideal.seconds(values) / (time.monotonic() - began)


class CarriesBulk:
    """A peer that takes part in P5."""

    def there_and_back(self, data: Any) -> Any:
        """`data`, as it came back from a worker."""
        raise NotImplementedError

    def bulk_bytes(self, n: int) -> None:
        self._trips(n, random_bytes(32))

    def bulk_array(self, n: int) -> None:
        self._trips(n, random_array(32))

    def large_bytes(self, n: int) -> None:
        self._trips(n, random_bytes(512))

    def large_array(self, n: int) -> None:
        self._trips(n, random_array(512))

    def bulk_peak(self, n: int) -> float:
        """Payloads that the process which grew most took, beside the one that was sent."""
        return self._peak(random_bytes(32))

    def array_peak(self, n: int) -> float:
        return self._peak(random_array(32))

    def _peak(self, data: Any) -> float:
        return peaks.growth(lambda: self._trips(1, data)) / len(data)

    def _trips(self, n: int, data: Any) -> None:
        for _ in range(n):
            back = self.there_and_back(data)
            # Not isinstance: what only refers to the value over there says that it is one.
            same = back is data  # what went there was a reference, and came back as what it refers to
            assert not same and type(back) in (type(data), bytearray) and len(back) == len(data), (
                "the value did not travel"
            )


@functools.cache
def random_bytes(mebibytes: int) -> bytes:
    """A payload of P5: incompressible. Kept, so that making it is not measured twice."""
    # In parts: the generator's own integer would be too large.
    return b"".join(random.Random(part).randbytes(MIB) for part in range(mebibytes))


@functools.cache
def random_array(mebibytes: int) -> Any:
    """The same as an array; ModuleNotFoundError without NumPy."""
    return importlib.import_module("numpy").frombuffer(bytearray(random_bytes(mebibytes)), "uint8")
