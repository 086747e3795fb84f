"""What the web monitor costs at 1,000 nodes of 8 servers, 1,000 tasks a second and 50 browsers (MO-06).

    python -m bench.monitor [--seconds 30] [--browsers 50]

The monitor runs in a process of its own with a synthetic cluster, as `tests.browser.feed` makes it;
45 browsers read, the others don't. Printed: the share of a core that the monitor's thread takes, how
late updates are, sizes, memory.
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
from typing import Any

import psutil
from tornado import websocket

from dispycos.httpd import packing

NODES, SERVERS, RATE = 1000, 8, 1000.0
STALLED = 3  # browsers that never read


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
            said |= {"encodings": figures.encodings, "bytes": figures.bytes, "skipped": figures.skipped}
        print(json.dumps(said), flush=True)
    monitor.thread.stop("finished", "", 1.0)


def _cpu_of(thread: threading.Thread) -> float:
    """Seconds of processor time that a thread of ours took."""
    for found in psutil.Process().threads():
        if found.id == thread.native_id:
            return float(found.user_time + found.system_time)
    return 0.0


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


def _share(ask: Any, seconds: float) -> float:
    first = ask()
    time.sleep(seconds)
    last = ask()
    return float((last["cpu"] - first["cpu"]) / (last["clock"] - first["clock"]))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.monitor", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--browsers", type=int, default=50)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve()
        return 0
    command = [sys.executable, "-m", "bench.monitor", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
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
    share = (last["cpu"] - first["cpu"]) / passed
    browsers = f"{options.browsers} browsers, {STALLED} of them stalled"
    print(f"{NODES} nodes x {SERVERS} servers, {RATE:.0f} tasks/s, {browsers}")
    print(f"  monitor's thread   {100 * share:5.1f} % of a core   ({100 * alone:.2f} % while nobody looks)")
    median, p99 = 1000 * statistics.median(late), 1000 * late[int(0.99 * len(late))]
    print(f"  update is there in {median:5.0f} ms median, {p99:.0f} ms p99")
    print(f"  delta of a tick    {statistics.median(sizes['delta']) / 1000:5.1f} kB compressed")
    print(f"  snapshot           {max(sizes.get('snapshot', [0])) / 1000:5.1f} kB compressed")
    print(f"  memory             {last['memory'] / 1e6:5.1f} MB more than before it was made")
    encodings = (last["encodings"] - first["encodings"]) / passed
    print(f"  encodings          {encodings:5.1f} a second for all browsers")
    print(f"  on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
