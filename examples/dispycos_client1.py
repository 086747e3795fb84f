"""Jobs that compute, one at a time on each server, watched in a browser.

    python examples/dispycos_client1.py [n] [--port 8181] [--scale F]

prints the address of the monitor, and for each of n jobs (10), as they end,

    job I processed by LOCATION
"""

import argparse
import random
import sys
import time

from dispycos import Client, LocalCluster, Task
from dispycos.httpd import HTTPServer


def compute(seconds, task=None):
    # Keeps its processor busy: a server runs one task of `rtask` at a time, so that none shares it.
    end, x = time.monotonic() + seconds, 0.5
    while time.monotonic() < end:
        for _ in range(10_000):
            x = 3.9 * x * (1 - x)
        yield
    return task.location


def job(client, i, seconds, task=None):
    rtask = yield client.rtask(compute, seconds)
    print(f"job {i} processed by {(yield rtask.result())}", flush=True)


def main(options, task=None):
    client = Client([compute])
    http = HTTPServer(client, port=options.port)
    yield client.schedule()
    jobs = [Task(job, client, i, random.uniform(0.5, 2) * options.scale) for i in range(options.n)]
    for one in jobs:
        yield one.result()
    yield client.close()
    http.shutdown()  # when browsers have seen how it ended


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("n", nargs="?", type=int, default=10, help="jobs")
    parser.add_argument("--port", type=int, default=8181, help="of the monitor; 0: any free one")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    with LocalCluster(2):
        sys.exit(Task(main, options).value())
