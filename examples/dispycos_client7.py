"""A scheduler of one's own: status messages tell when a server is free, and it gets the next job.

    python examples/dispycos_client7.py [n] [--scale F]

prints for each of n jobs (10), as they begin and end,

    rtask_proc started at LOCATION with X
    rtask_proc finished with X
"""

import argparse
import random
import sys

from dispycos import Client, DispycosStatus, LocalCluster, MonitorStatus, Scheduler, Task


def rtask_proc(x, task=None):
    yield task.sleep(x)
    return x


def give_jobs(client, numbers, task=None):
    waiting, running = list(numbers), {}
    while waiting or running:
        message = yield task.receive()
        if isinstance(message, MonitorStatus):  # of a task that has ended
            if message.type is not StopIteration:
                raise RuntimeError(f"rtask_proc failed with {running[message.info]}: {message}")
            print(f"rtask_proc finished with {running.pop(message.info)}")
            server = message.info.location
        elif isinstance(message, DispycosStatus) and message.status == Scheduler.ServerInitialized:
            server = message.info
        else:
            continue  # statuses of nodes, what they have to spare, and so on
        if waiting:
            x = waiting.pop(0)
            rtask = yield client.rtask_at(server, rtask_proc, x)
            running[rtask] = x
            print(f"rtask_proc started at {rtask.location} with {x}")


def main(options, task=None):
    client = Client([rtask_proc])
    numbers = [round(random.uniform(0.2, 1) * options.scale, 6) for _ in range(options.n)]
    client.status_task = Task(give_jobs, client, numbers)
    yield client.schedule()
    yield client.status_task.result()
    yield client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("n", nargs="?", type=int, default=10, help="jobs")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    with LocalCluster(2):
        sys.exit(Task(main, options).value())
