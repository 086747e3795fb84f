"""Live analytics: numbers are streamed to tasks that watch for trends and keep them, as they come.

    python examples/dispycos_live_analytics.py [--scale F]

prints, as it happens,

    trend signal at P: high/low / MEAN

whenever the mean of the last 50 numbers, the P-th the newest, rises above 0.5 or falls below
-0.5, and in the end where all numbers are, and a plot of numbers and signals:

    1000 numbers are in FILE
    plot of N signals is in FILE
"""

import argparse
import collections
import math
import random
import statistics
import sys
import tempfile
from pathlib import Path

from dispycos import Client, LocalCluster, Pycos, Task

WINDOW, THRESHOLD = 50, 0.5


def trend(client, window, threshold, task=None):
    recent, position, last = collections.deque(maxlen=window), 0, ""
    while (number := (yield task.receive())) is not None:
        recent.append(number)
        position, mean = position + 1, statistics.fmean(recent)
        signal = "high" if mean > threshold else "low" if mean < -threshold else ""
        if len(recent) == window and signal != last:  # fewer are too few to tell
            if signal:
                client.send((position, signal, mean))
            last = signal


def save(client, task=None):
    with open("numbers.txt", "w") as file:
        while (number := (yield task.receive())) is not None:
            print(number, file=file)
    if (yield Pycos().send_file(client, file.name)) != 0:
        raise OSError(f"{file.name} was not sent to {client}")


def show(signals, task=None):
    task.set_daemon()  # if a remote task fails, nobody waits for the rest
    while message := (yield task.receive()):
        signals.append(message)
        print("trend signal at {}: {} / {}".format(*message))


def plot(numbers, signals):
    line = " ".join(f"{x},{150 - 30 * y:.1f}" for x, y in enumerate(numbers, 1))
    marks = "".join(
        f'<circle cx="{x}" cy="{150 - 30 * y:.1f}" r="6" fill="{"red" if signal == "high" else "blue"}"/>'
        for x, signal, y in signals
    )
    shape = f'<polyline fill="none" stroke="gray" points="{line}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1001 300">{shape}{marks}</svg>\n'


def main(options, task=None):
    client = Client([trend, save])
    yield client.schedule()
    signals, sent = [], []
    shown = Task(show, signals)
    # Tasks that mostly wait: both may run on one server.
    trends = yield client.io_rtask(trend, shown, WINDOW, THRESHOLD)
    saving = yield client.io_rtask(save, Pycos().location)
    for x in range(1000):
        sent.append(random.gauss(math.sin(x / 80), 1))
        trends.send(sent[-1])  # does not wait: messages follow each other on one connection
        saving.send(sent[-1])
        yield task.sleep(0.003 * options.scale)
    for receiver in (trends, saving, shown):
        receiver.send(None)
        yield receiver.result()
    folder = Path(Pycos().dest_path)
    print(f"{len(sent)} numbers are in {folder / 'numbers.txt'}")
    (folder / "plot.svg").write_text(plot(sent, signals))
    print(f"plot of {len(signals)} signals is in {folder / 'plot.svg'}")
    yield client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    # Where the files of others go is said when a program joins the network.
    Pycos(node="127.0.0.1", discover_peers=False, dest_path=tempfile.mkdtemp(prefix="dispycos_live-"))
    with LocalCluster(1):
        sys.exit(Task(main, options).value())
