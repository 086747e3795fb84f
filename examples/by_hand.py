"""A node started by hand: the same program runs on this machine or on a hundred.

Start a node, on this machine or on another one that has the same key file:

    dispycosnode

and then

    python examples/by_hand.py [host of a node that broadcasts can't reach]...

prints

    the squares of 0 to 9: 0 1 4 9 16 25 36 49 64 81
"""

import sys

from dispycos import Client, Scheduler, Task


def square(n, task=None):
    yield task.sleep(0.1)
    return n * n


def main(nodes, task=None):
    Scheduler(nodes=nodes)  # finds nodes on its network, and those that are named
    client = Client([square])
    yield client.schedule()
    rtasks = []
    for n in range(10):
        rtasks.append((yield client.rtask(square, n)))
    squares = []
    for rtask in rtasks:
        squares.append((yield rtask()))
    print("the squares of 0 to 9:", *squares)
    yield client.close()


if __name__ == "__main__":
    sys.exit(Task(main, sys.argv[1:]).value())
