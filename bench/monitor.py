"""What the web monitor costs at 1,000 nodes of 8 servers, 1,000 tasks a second and 50 browsers (MO-06).

    python -m bench.monitor [--seconds 30] [--browsers 50] [--json FILE]

The monitor runs in a process of its own with a synthetic cluster, as `tests.browser.feed` makes it;
all browsers but a few read. Printed, and kept in bench/monitor.json: the share of a core that the
monitor's thread takes, how late updates are, sizes, memory. Then a real client runs tiny tasks with
and without a monitor that is watched, in turn: what is left of its throughput, and what a task costs
its process. The latter does not depend on what else runs here, as browsers and servers do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from tornado import websocket

from dispycos.httpd import packing

NODES, SERVERS, RATE = 1000, 8, 1000.0
STALLED = 3  # browsers that never read
WATCHERS = 3  # browsers at the monitor of a real client
ROUNDS, TASKS = 4, 5000  # with and without a monitor; of a real client
HERE = Path(__file__).parent


def serve() -> None:
    """The monitor's process: prints its link, then, when told, the figures of its threads."""
    from dispycos.httpd import running
    from tests.browser.feed import SyntheticSource

    source = SyntheticSource(NODES, SERVERS, RATE, churn=False)
    before = psutil.Process().memory_info().rss
    monitor = running.run(source, host=None, port=0)
    print(monitor.link, flush=True)
    thread = monitor.thread._thread
    for line in sys.stdin:
        if line.strip() == "end":
            break
        seconds = _cpu_of(thread)
        rss = psutil.Process().memory_info().rss
        figures = monitor.thread.monitor.audience.figures if monitor.thread.monitor else None
        said = {"cpu": seconds, "memory": rss - before, "clock": time.monotonic()}
        if figures is not None:
            said |= {"encodings": figures.encodings, "bytes": figures.bytes}
        print(json.dumps(said), flush=True)
    monitor.thread.stop("finished", "", 1.0)


def _cpu_of(thread: threading.Thread) -> float:
    """Seconds of processor time that a thread of ours took."""
    assert thread.ident is not None
    # What psutil tells counts in hundredths of a second: those of an idle monitor are three in five seconds.
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def nothing(number: int) -> int:
    """A tiny task."""
    return number


def work() -> None:
    """A real client's process: rounds of tiny tasks; prints how long each took, and its monitor's link.

    Every second round is watched: it begins when told that the browsers are there.
    """
    import dispycos
    from dispycos import Client, LocalCluster, Task
    from dispycos.httpd import HTTPServer

    def main(task: Any = None) -> Iterator[Any]:
        client = Client([nothing])
        yield client.schedule()
        while len((yield client.servers())) < 2:
            yield task.sleep(0.05)
        for number in range(2 * ROUNDS + 2):
            monitor = HTTPServer(client, port=0) if number % 2 else None
            if monitor is not None:
                print(json.dumps({"link": monitor.link}), flush=True)
                yield from _line()
            began, spent = time.perf_counter(), time.process_time()
            yield dispycos.gather([client.submit(nothing, one) for one in range(TASKS)])
            taken = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - spent}
            print(json.dumps(taken), flush=True)
            if monitor is not None:
                monitor.shutdown(wait=False)
        yield client.close()

    def _line() -> Iterator[Any]:
        yield Task(_read)()

    def _read(task: Any = None) -> Iterator[Any]:
        sys.stdin.readline()
        yield

    with LocalCluster(2):
        Task(main).value()


async def browse(
    link: str, delays: list[float], sizes: dict[str, list[int]], reads: bool, until: float
) -> None:
    """One browser on Live."""
    url, _, token = link.partition("/#token=")
    page = await websocket.websocket_connect(url.replace("http", "ws") + "/api/v1/live")
    await page.write_message(json.dumps({"type": "login", "login": token, "topics": ["cluster"]}))
    while time.monotonic() < until:
        if not reads:
            await asyncio.sleep(0.5)
            continue
        message = await page.read_message()
        if message is None:
            return
        if isinstance(message, bytes):
            kind = packing.unpack(message)["type"] if not sizes.get("done") else "delta"
            sizes.setdefault(kind, []).append(len(message))
        else:
            said = json.loads(message)
            if said["type"] == "tick":
                delays.append(time.time() - said["time"])
    page.close()


@contextmanager
def _process(option: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bench.monitor", option]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()  # it has ended by itself, if all is well


def throughput() -> dict[str, float]:
    """Tiny tasks a second of a real client, without a monitor and with one that is watched."""
    taken: list[dict[str, float]] = []
    with _process("--work") as process:
        assert process.stdin and process.stdout
        for line in process.stdout:
            said = json.loads(line)
            if "seconds" in said:
                taken.append(said)
                continue
            watching = threading.Thread(target=_watch, args=(said["link"],), daemon=True)
            watching.start()
            time.sleep(1.0)  # until they are there
            process.stdin.write("\n")
            process.stdin.flush()
    # The first of each is for warming up.
    found = {}
    for name, rounds in (("alone", taken[2::2]), ("watched", taken[3::2])):
        found[name] = TASKS / statistics.median(one["seconds"] for one in rounds)
        found[f"cpu_{name}"] = statistics.median(one["cpu"] for one in rounds) / TASKS
    return found


def _watch(link: str) -> None:
    """Browsers that look at the cluster until the monitor has gone."""

    async def all_of_them() -> None:
        until = time.monotonic() + 60.0
        pages = (browse(link, [], {"done": [1]}, True, until) for _ in range(WATCHERS))
        await asyncio.gather(*pages)

    asyncio.run(all_of_them())


def _share(ask: Any, seconds: float) -> float:
    first = ask()
    time.sleep(seconds)
    last = ask()
    return float((last["cpu"] - first["cpu"]) / (last["clock"] - first["clock"]))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.monitor", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--browsers", type=int, default=50)
    parser.add_argument("--json", type=Path, default=HERE / "monitor.json", metavar="FILE", help="where to")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve or options.work:
        serve() if options.serve else work()
        return 0
    with _process("--serve") as process:
        assert process.stdin and process.stdout
        link = process.stdout.readline().strip()

        def ask() -> dict[str, Any]:
            assert process.stdin and process.stdout
            process.stdin.write("figures\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            return answer

        time.sleep(3)
        alone = _share(ask, 5.0)
        delays: list[float] = []
        sizes: dict[str, list[int]] = {}

        async def audience() -> tuple[dict[str, Any], dict[str, Any]]:
            until = time.monotonic() + options.seconds + 5
            pages = [
                asyncio.ensure_future(browse(link, delays, sizes, number >= STALLED, until))
                for number in range(options.browsers)
            ]
            await asyncio.sleep(5)
            delays.clear()
            sizes["done"] = [1]
            first = await asyncio.to_thread(ask)
            await asyncio.sleep(options.seconds)
            last = await asyncio.to_thread(ask)
            await asyncio.gather(*pages)
            return first, last

        first, last = asyncio.run(audience())
        process.stdin.write("end\n")
        process.stdin.flush()
    passed = last["clock"] - first["clock"]
    late = sorted(delays)
    tasks = throughput()
    figures = {
        "share": (last["cpu"] - first["cpu"]) / passed,  # of a core, the monitor's thread
        "share_alone": alone,  # ... while nobody looks
        "median": statistics.median(late),  # seconds that an update is late
        "p99": late[int(0.99 * len(late))],
        "delta": statistics.median(sizes["delta"]),  # bytes of a tick, compressed
        "snapshot": max(sizes.get("snapshot", [0])),
        "memory": last["memory"],  # bytes more than before it was made
        "encodings": (last["encodings"] - first["encodings"]) / passed,  # a second
        "tasks_alone": tasks["alone"],  # a second, of a real client
        "tasks_watched": tasks["watched"],
        "cpu_alone": tasks["cpu_alone"],  # seconds of the client's process for each of them
        "cpu_watched": tasks["cpu_watched"],
    }
    browsers = f"{options.browsers} browsers, {STALLED} of them stalled"
    print(f"{NODES} nodes x {SERVERS} servers, {RATE:.0f} tasks/s, {browsers}")
    print(f"  monitor's thread   {100 * figures['share']:5.1f} % of a core   ({100 * alone:.2f} % unwatched)")
    print(
        f"  update is there in {1000 * figures['median']:5.0f} ms median, {1000 * figures['p99']:.0f} ms p99"
    )
    print(f"  delta of a tick    {figures['delta'] / 1000:5.1f} kB compressed")
    print(f"  snapshot           {figures['snapshot'] / 1000:5.1f} kB compressed")
    print(f"  memory             {figures['memory'] / 1e6:5.1f} MB more than before it was made")
    print(f"  encodings          {figures['encodings']:5.1f} a second for all browsers")
    ratio = 100 * tasks["watched"] / tasks["alone"]
    print(f"a client of its own, {WATCHERS} browsers at it: {tasks['alone']:.0f} tiny tasks/s alone,")
    print(f"  {tasks['watched']:.0f} watched: {ratio:.0f} %")
    costs = f"{1e6 * tasks['cpu_alone']:.0f} us alone, {1e6 * tasks['cpu_watched']:.0f} us watched"
    print(f"  processor time of its process for a task: {costs}")
    print(f"  on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
