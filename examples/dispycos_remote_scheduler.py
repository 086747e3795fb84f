"""A shared scheduler, which has its clients take turns; and a rule of one's own about nodes.

Start the scheduler and a node, on this machine or on others that have the same key file:

    dispycos
    dispycosnode

and then, as often at once as you like,

    python examples/dispycos_remote_scheduler.py [HOST[:PORT]] [--scale F]

with the host of the scheduler, if it is another one. It prints for each node

    Allocate IP (PLATFORM): N

and for each of 10 jobs, as they begin and end,

    Task I created
    Received reply for I
"""

import argparse
import random
import sys

from dispycos import Client, DispycosNodeAllocate, DispycosSchedulerPort, Location, MonitorStatus, Pycos, Task


class Half(DispycosNodeAllocate):
    """Half of each node's servers. It is asked here, also where the scheduler is elsewhere."""

    def allocate(self, ip_addr, name, platform, cpus, memory, disk):
        wanted = max(1, cpus // 2)
        print(f"Allocate {ip_addr} ({platform}): {wanted}")
        return wanted


def compute(i, seconds, client, task=None):
    yield task.sleep(seconds)
    print(f"job {i} of the program at {client.location}")  # appears where its node runs
    client.send(i)


def job(client, i, seconds, task=None):
    rtask = yield client.rtask(compute, i, seconds, task)
    print(f"Task {i} created")
    yield task.monitor(rtask)  # if it fails, its status comes in place of the reply
    reply = yield task.receive()
    if isinstance(reply, MonitorStatus):
        raise RuntimeError(f"task {i} failed: {reply}")
    print(f"Received reply for {reply}")


def main(options, task=None):
    # By itself a scheduler listens at its host's own address.
    scheduler = options.host or place(Pycos().location.addr)
    if (yield Pycos().peer(scheduler)) != 0:
        return f"no scheduler answers at {scheduler}: start dispycos there, with the key file of this account"
    client = Client([compute], nodes=[Half("*")])
    yield client.schedule(scheduler)  # waits while others have their turns
    jobs = [Task(job, client, i, random.uniform(0.2, 1) * options.scale) for i in range(10)]
    for one in jobs:
        yield one.result()
    yield client.close()  # the next one's turn


def place(text):
    return Location.parse(text, DispycosSchedulerPort)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("host", nargs="?", type=place, metavar="HOST[:PORT]", help="where the scheduler is")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    sys.exit(Task(main, parser.parse_args()).value())
