"""A node in a cloud: it is reached by an address that is not its own.

Copy this account's key file there (~/.config/dispycos/key), let TCP ports 9706 and above through,
and start the node with the name by which it is seen from outside:

    dispycosnode --ext_ip_addr ec2-1-2-3-4.compute.amazonaws.com --tcp_ports 9706

and then, here,

    python examples/dispycos_cloud_computing.py [--node HOST[:PORT]] [--scale F]

prints for each of 10 jobs, in order,

    result from LOCATION: (I, N)

where job I took N seconds. Without --node the node is one on this machine.
"""

import argparse
import random
import sys

from dispycos import Client, Location, Pycos, Scheduler, Task


def compute(i, n, task=None):
    yield task.sleep(n)
    return i, n


def main(node, scale, task=None):
    # This program is not found by others, and finds nobody but whom it names.
    Pycos(discover_peers=False)
    if (yield Pycos().peer(node)) != 0:
        return f"no node answers at {node}: start dispycosnode there, with the key file of this account"
    Scheduler()
    client = Client([compute])
    yield client.schedule()
    rtasks = []
    for i in range(10):
        rtasks.append((yield client.rtask(compute, i, round(random.uniform(0.2, 1) * scale, 6))))
    for rtask in rtasks:
        result = yield rtask.result()
        print(f"result from {rtask.location}: {result}")
    yield client.close()


def place(text):
    return Location.parse(text, 9706)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--node", type=place, default="127.0.0.1", metavar="HOST[:PORT]")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    sys.exit(Task(main, options.node, options.scale).value())
