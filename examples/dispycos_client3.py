"""Objects in messages: instances of a class go to remote tasks, are worked on and come back.

    python examples/dispycos_client3.py [n] [--scale F]

prints for each of n jobs (10), as they come,

    request I: X
    result for job I: I: the square root of X
"""

import argparse
import random
import sys

from dispycos import Client, LocalCluster, MonitorStatus, Task


class Request:
    """A component, so that servers know it: what travels is its values."""

    def __init__(self, i, x):
        self.i, self.x, self.root = i, x, None

    def solve(self):
        self.root = self.x**0.5

    def __str__(self):
        return f"{self.i}: {self.x if self.root is None else self.root}"


def solve(seconds, asker, task=None):
    request = yield task.receive()
    yield task.sleep(seconds)
    request.solve()
    asker.send(request)


def job(client, request, seconds, task=None):
    rtask = yield client.rtask(solve, seconds, task)
    yield task.monitor(rtask)  # if it fails, its status comes in place of an answer
    print(f"request {request}")
    rtask.send(request)
    answer = yield task.receive()
    if isinstance(answer, MonitorStatus):
        raise RuntimeError(f"job {request.i} failed: {answer}")
    print(f"result for job {answer.i}: {answer}")


def main(options, task=None):
    client = Client([Request, solve])
    yield client.schedule()
    requests = [Request(i, random.uniform(1, 1000)) for i in range(options.n)]
    jobs = [Task(job, client, request, random.uniform(0.1, 1) * options.scale) for request in requests]
    for one in jobs:
        yield one.result()
    yield client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("n", nargs="?", type=int, default=10, help="jobs")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    with LocalCluster(2):
        sys.exit(Task(main, options).value())
