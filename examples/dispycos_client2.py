"""Results of remote tasks: yield a task, and what it returned is there.

    python examples/dispycos_client2.py [n] [--scale F]

prints for each of n jobs (10), in order,

    result for I from LOCATION: TIME

where LOCATION is the server that ran the job, and TIME the time of day there when it was done.
"""

import argparse
import random
import sys
from datetime import datetime

from dispycos import Client, LocalCluster, MonitorStatus, Task


def compute(seconds, task=None):
    yield task.sleep(seconds)
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def main(options, task=None):
    client = Client([compute])
    yield client.schedule()
    rtasks = []
    for _ in range(options.n):
        # Waits while all servers are busy: each runs one such task at a time.
        rtasks.append((yield client.rtask(compute, random.uniform(0.2, 1) * options.scale)))
    for i, rtask in enumerate(rtasks):
        result = yield rtask()
        if isinstance(result, MonitorStatus):
            # The task failed: rtask.result() would have raised what it raised.
            raise RuntimeError(f"job {i} failed: {result}")
        print(f"result for {i} from {rtask.location}: {result}")
    yield client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("n", nargs="?", type=int, default=10, help="jobs")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    with LocalCluster(2):
        sys.exit(Task(main, options).value())
