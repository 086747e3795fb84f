"""A search without an end: when the client closes, each task has a moment to save its best.

    python examples/dispycos_kbd_int.py [--scale F]

prints, as they come,

    update from LOCATION: N takes S steps

for each better N that a server finds, whose Collatz sequence has more steps until it is 1; then

    closing

and once more from each server the best that it has found.
"""

import argparse
import random
import sys

from dispycos import Client, LocalCluster, Task


def steps(n):
    count = 0
    while n != 1:
        n = 3 * n + 1 if n % 2 else n // 2
        count += 1
    return count


def search(client, task=None):
    best = 0, 1
    try:
        while True:
            n = random.randrange(1, 10**9)
            found = steps(n), n
            if found > best:
                best = found
                client.send((task.location, best))
            # A scheduling point: where messages are received, and where it can be interrupted.
            yield
    except KeyboardInterrupt:
        # About five seconds are left: for files and messages, or for a result as here.
        return best


def show(task=None):
    task.set_daemon()
    while True:
        location, (count, n) = yield task.receive()
        print(f"update from {location}: {n} takes {count} steps")


def main(options, task=None):
    client = Client([steps, search])
    yield client.schedule()
    while len(servers := (yield client.servers())) < 2:
        yield task.sleep(0.05)
    shown, rtasks = Task(show), []
    for server in servers:
        rtasks.append((yield client.rtask_at(server, search, shown)))
    yield task.sleep(3 * options.scale)
    print("closing")
    yield client.close(terminate=True)  # else it would wait for them for ever
    for rtask in rtasks:
        shown.send((rtask.location, (yield rtask.result())))
    yield


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    with LocalCluster(2):
        sys.exit(Task(main, options).value())
