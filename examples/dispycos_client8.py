"""A task that computes for long without a yield: messages for it wait, none is lost.

    python examples/dispycos_client8.py [n] [--scale F]

prints for each of n jobs (10), in order,

    LOCATION computed result: SUM

where job I is sent the ten numbers from 10 * I on, and sums them up.
"""

import argparse
import sys
import time

from dispycos import Client, LocalCluster, Task


def compute(seconds, task=None):
    result = 0
    while (number := (yield task.receive())) is not None:
        # Blocks every task of this server, as a computation would. Meanwhile the server takes
        # messages, queues them for their tasks, and goes on telling the client that it is alive.
        time.sleep(seconds)
        result += number
    return result


def job(client, i, seconds, task=None):
    rtask = yield client.rtask(compute, seconds)
    for number in [*range(10 * i, 10 * i + 10), None]:
        rtask.send(number)  # all at once, far faster than it computes
    result = yield rtask.result()
    return f"{rtask.location} computed result: {result}"


def main(options, task=None):
    client = Client([compute])
    yield client.schedule()
    jobs = [Task(job, client, i, 0.05 * options.scale) for i in range(options.n)]
    for one in jobs:
        print((yield one.result()))
    yield client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("n", nargs="?", type=int, default=10, help="jobs")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    with LocalCluster(2):
        sys.exit(Task(main, options).value())
