"""The first program: numbers are squared by tasks on servers, one server for each CPU.

    python examples/hello.py

prints

    0 squared is 0
    1 squared is 1
    2 squared is 4
    3 squared is 9
    4 squared is 16
"""

import sys

from dispycos import Client, LocalCluster, Task


def square(n, task=None):
    # Runs in a server's process. `yield` waits; other tasks go on meanwhile.
    yield task.sleep(0.1)
    return n * n


def main(task=None):
    client = Client([square])
    yield client.schedule()
    rtasks = []
    for n in range(5):
        # Gives a task that runs elsewhere, as soon as a server has taken it.
        rtasks.append((yield client.rtask(square, n)))
    for n, rtask in enumerate(rtasks):
        # Yielding a task waits for its result.
        print(f"{n} squared is {(yield rtask())}")
    yield client.close()


if __name__ == "__main__":
    with LocalCluster(2):
        sys.exit(Task(main).value())
