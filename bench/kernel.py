"""P7: the kernel alone, in one thread, beside asyncio, uvloop, pycos and a bare loop.

    python -m bench.kernel [--repeats N] [--seconds S] [--json FILE]

The peers take turns, round after round, and each figure is a median; the ratio is the median
over the rounds. Time is that of the processor in the loop's thread: nothing waits here, and other
programs on the machine should not count. The bare loop is what any kernel of generators does at
the least: it shows what a switch and a spawn cost before there are messages, time-outs and subroutines.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from dispycos.kernel import loop
from dispycos.kernel.loop import Loop
from dispycos.kernel.task import Task

Gen = Generator[Any, Any, Any]

SWITCHING = 100  # tasks that take turns
BATCH = 100  # tasks spawned before they are joined

WORK = {
    "switch": f"{SWITCHING} tasks take turns [switches/s]",
    "ping": "two tasks send a message to and fro [round trips/s]",
    "spawn": f"spawn a task that yields once, and join it, {BATCH} at a time [tasks/s]",
    "spawn one": "the same, one after another [tasks/s]",
}

# What the performance page asks for; printed beside what was measured.
TARGETS = {("switch", "pycos"): 1.0, ("ping", "uvloop"): 1.2, ("spawn", "uvloop"): 2.0}


# dispycos.


def ours(work: str, n: int) -> float:
    """Seconds for n units, by a loop in this thread."""
    mine = Loop()
    loop.own(mine)
    elapsed = 0.0

    def main() -> Gen:
        nonlocal elapsed
        start = time.thread_time()
        yield OURS[work](n)
        elapsed = time.thread_time() - start
        mine.stop()

    Task(main)
    mine.run()
    mine.terminate()
    return elapsed


def _ours_switch(n: int) -> Gen:
    tasks = [Task(_turns, n // SWITCHING) for _ in range(SWITCHING)]
    for task in tasks:
        yield task()


def _turns(n: int) -> Gen:
    for _ in range(n):
        yield


def _ours_ping(n: int) -> Gen:
    yield Task(_ours_asker, n)()


def _ours_asker(n: int, task: Any = None) -> Gen:
    other = Task(_ours_answerer, n, task)
    for number in range(n):
        other.send(number)
        yield task.receive()


def _ours_answerer(n: int, asker: Task, task: Any = None) -> Gen:
    for _ in range(n):
        asker.send((yield task.receive()))


def _once() -> Gen:
    yield
    return 1


def _ours_spawn(n: int) -> Gen:
    for _ in range(n // BATCH):
        for task in [Task(_once) for _ in range(BATCH)]:
            yield task()


def _ours_spawn_one(n: int) -> Gen:
    for _ in range(n):
        yield Task(_once)()


OURS: dict[str, Callable[[int], Gen]] = {
    "switch": _ours_switch,
    "ping": _ours_ping,
    "spawn": _ours_spawn,
    "spawn one": _ours_spawn_one,
}


# asyncio, with its own loop or another's.


def with_asyncio(factory: Callable[[], Any] | None) -> Callable[[str, int], float]:
    """Measure on the event loops that `factory` makes."""

    def measure(work: str, n: int) -> float:
        async def main() -> float:
            start = time.thread_time()
            await ASYNCIO[work](n)
            return time.thread_time() - start

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main())

    return measure


async def _asyncio_switch(n: int) -> None:
    await asyncio.gather(*[_asyncio_turns(n // SWITCHING) for _ in range(SWITCHING)])


async def _asyncio_turns(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def _asyncio_ping(n: int) -> None:
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def answer() -> None:
        for _ in range(n):
            back.put_nowait(await there.get())

    answering = asyncio.create_task(answer())
    for number in range(n):
        there.put_nowait(number)
        await back.get()
    await answering


async def _asyncio_once() -> int:
    await asyncio.sleep(0)
    return 1


async def _asyncio_spawn(n: int) -> None:
    for _ in range(n // BATCH):
        for task in [asyncio.create_task(_asyncio_once()) for _ in range(BATCH)]:
            await task


async def _asyncio_spawn_one(n: int) -> None:
    for _ in range(n):
        await asyncio.create_task(_asyncio_once())


ASYNCIO: dict[str, Callable[[int], Any]] = {
    "switch": _asyncio_switch,
    "ping": _asyncio_ping,
    "spawn": _asyncio_spawn,
    "spawn one": _asyncio_spawn_one,
}


# pycos, on the thread that it starts.


def with_pycos(pycos: Any) -> Callable[[str, int], float]:
    """Measure on pycos's own scheduler."""

    def switch(n: int) -> Gen:
        tasks = [pycos.Task(_turns, n // SWITCHING) for _ in range(SWITCHING)]
        for task in tasks:
            yield task()

    def asker(n: int, task: Any = None) -> Gen:
        other = pycos.Task(_pycos_answerer, n, task)
        for number in range(n):
            other.send(number)
            yield task.receive()

    def ping(n: int) -> Gen:
        yield pycos.Task(asker, n)()

    def spawn(n: int) -> Gen:
        for _ in range(n // BATCH):
            for task in [pycos.Task(_once) for _ in range(BATCH)]:
                yield task()

    def spawn_one(n: int) -> Gen:
        for _ in range(n):
            yield pycos.Task(_once)()

    works = {"switch": switch, "ping": ping, "spawn": spawn, "spawn one": spawn_one}

    def measure(work: str, n: int) -> float:
        done = threading.Event()
        elapsed = 0.0

        def main(task: Any = None) -> Gen:
            nonlocal elapsed
            start = time.thread_time()
            yield works[work](n)
            elapsed = time.thread_time() - start
            done.set()

        pycos.Task(main)
        done.wait()
        return elapsed

    return measure


def _pycos_answerer(n: int, asker: Any, task: Any = None) -> Gen:
    for _ in range(n):
        asker.send((yield task.receive()))


# The bare loop.


class _Bare:
    """A generator, who waits for its end, and its result."""

    __slots__ = ("done", "generator", "joiner", "value")

    def __init__(self, generator: Gen, ready: deque[_Bare]) -> None:
        self.generator = generator
        self.joiner: _Bare | None = None
        self.value: Any = None  # what it is sent next; its result when done
        self.done = False
        ready.append(self)


def bare(work: str, n: int) -> float:
    """Generators in a deque that take turns and are joined, and nothing else."""
    ready: deque[_Bare] = deque()
    if work == "switch":
        for _ in range(SWITCHING):
            _Bare(_turns(n // SWITCHING), ready)
    else:
        _Bare(_bare_spawner(n, BATCH if work == "spawn" else 1, ready), ready)
    start = time.thread_time()
    while ready:
        task = ready.popleft()
        try:
            asked = task.generator.send(task.value)
        except StopIteration as end:
            task.done = True
            task.value = end.value
            if (joiner := task.joiner) is not None:
                joiner.value = end.value
                ready.append(joiner)
            continue
        if asked is None:
            ready.append(task)
        elif asked.done:
            task.value = asked.value
            ready.append(task)
        else:
            asked.joiner = task
    return time.thread_time() - start


def _bare_spawner(n: int, batch: int, ready: deque[_Bare]) -> Gen:
    for _ in range(n // batch):
        for task in [_Bare(_once(), ready) for _ in range(batch)]:  # noqa: UP028 - a list takes no results
            yield task


# Measuring.


def peers() -> dict[str, Callable[[str, int], float]]:
    """Those that are installed."""
    found: dict[str, Callable[[str, int], float]] = {"dispycos": ours, "asyncio": with_asyncio(None)}
    try:
        found["uvloop"] = with_asyncio(importlib.import_module("uvloop").new_event_loop)
    except ImportError:
        pass
    try:
        found["pycos"] = with_pycos(importlib.import_module("pycos"))
    except ImportError:
        pass
    found["bare loop"] = bare
    return found


def measure(repeats: int, seconds: float) -> list[dict[str, Any]]:
    """One record for each work and peer: the median rate, and our median ratio to it."""
    records = []
    for work in WORK:
        taking_part = {name: peer for name, peer in peers().items() if name != "bare loop" or work != "ping"}
        sizes = {name: _size(peer, work, seconds) for name, peer in taking_part.items()}
        rates: dict[str, list[float]] = {name: [] for name in taking_part}
        for _ in range(repeats):
            for name, peer in taking_part.items():
                rates[name].append(sizes[name] / peer(work, sizes[name]))
        for name in taking_part:
            ratios = [mine / theirs for mine, theirs in zip(rates["dispycos"], rates[name], strict=True)]
            records.append(
                {
                    "work": work,
                    "peer": name,
                    "rate": statistics.median(rates[name]),
                    "lowest": min(rates[name]),
                    "highest": max(rates[name]),
                    "ratio": statistics.median(ratios),
                    "target": TARGETS.get((work, name)),
                }
            )
    return records


def _size(peer: Callable[[str, int], float], work: str, seconds: float) -> int:
    """Units that take about `seconds`; a first small try tells."""
    n = 2000
    elapsed = peer(work, n)
    size = int(n * seconds / max(elapsed, 1e-6))
    return max(2000, size // 1000 * 1000)


def table(records: list[dict[str, Any]]) -> str:
    """What was measured, best first within a work."""
    lines = []
    for work, title in WORK.items():
        lines.append(f"{work}: {title}")
        for record in sorted((r for r in records if r["work"] == work), key=lambda r: -r["rate"]):
            ratio = "" if record["peer"] == "dispycos" else f"dispycos is {record['ratio']:.2f}x"
            target = f" (to reach: {record['target']}x)" if record["target"] else ""
            lines.append(
                f"    {record['peer']:10} {record['rate']:>12,.0f}"
                f"  [{record['lowest']:>12,.0f} {record['highest']:>12,.0f}]  {ratio}{target}"
            )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.kernel", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--seconds", type=float, default=0.1, help="of one repeat (default: 0.1)")
    parser.add_argument("--json", metavar="FILE", help="write the records there as well")
    options = parser.parse_args(arguments)
    records = measure(options.repeats, options.seconds)
    print(table(records))
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"python": sys.version.split()[0], "records": records}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
