"""A node behind a firewall, reached by ports that ssh forwards: the only way there is ssh's own.

Log in to the node's machine, with a port for the node and one for each of its servers,

    ssh -L 9706:127.0.0.1:9706 -L 9707:127.0.0.1:9707 -L 9708:127.0.0.1:9708 \\
        -R 4567:127.0.0.1:4567 user@ec2-1-2-3-4.compute.amazonaws.com

and start the node there, with this account's key file: it listens where ssh leads to.

    dispycosnode --host 127.0.0.1 --cpus 2 --tcp_ports 9706

Then, here,

    python examples/dispycos_ssh_ec2.py [--node HOST[:PORT]] [--tcp_port N] [--scale F]

prints for each of 10 jobs, in order,

    result from LOCATION: (I, N)

where job I was sent I numbers, and N is their sum.
"""

import argparse
import sys
import time

from dispycos import Client, Location, Pycos, Scheduler, Task


def compute(i, seconds, task=None):
    total = 0
    for _ in range(i):
        total += yield task.receive()
        time.sleep(seconds)  # computes; what is sent meanwhile waits
    return i, total


def main(options, task=None):
    # The node's side reaches this program at the port that `ssh -R` forwards.
    Pycos(node="127.0.0.1", tcp_port=options.tcp_port, discover_peers=False)
    if (yield Pycos().peer(options.node)) != 0:
        return f"no node answers at {options.node}: is it started there, and does ssh forward its port?"
    Scheduler()
    client = Client([compute])
    yield client.schedule()
    rtasks = []
    for i in range(10):
        rtasks.append((yield client.rtask(compute, i, 0.05 * options.scale)))
        for number in range(i):
            rtasks[-1].send(number)
    for rtask in rtasks:
        result = yield rtask.result()
        print(f"result from {rtask.location}: {result}")
    yield client.close()


def place(text):
    return Location.parse(text, 9706)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--node", type=place, default="127.0.0.1", metavar="HOST[:PORT]")
    parser.add_argument("--tcp_port", type=int, default=4567, help="of this program; 0: any free one")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    sys.exit(Task(main, parser.parse_args()).value())
