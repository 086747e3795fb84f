"""The monitor: tasks are begun from the keyboard, and watched in a browser.

    python examples/dispycos_httpd1.py [--port 8181] [--scale F]

prints the address of the monitor, and reads lines: a number of seconds begins a task that sleeps
so long, `quit` or the end of the input ends the program when all tasks have ended. The monitor
shows how many tasks were submitted, run and are done, and the arguments of those that run.
"""

import argparse
import sys

from dispycos import AsyncFile, Client, LocalCluster, Task
from dispycos.httpd import HTTPServer


def sleep(seconds, task=None):
    yield task.sleep(seconds)
    return seconds


def main(options, task=None):
    client = Client([sleep])
    http = HTTPServer(client, port=options.port)
    yield client.schedule()
    print("seconds for a task to sleep, or quit:", flush=True)
    lines, rtasks = AsyncFile(sys.stdin), []
    # Other tasks of this program would go on while this one waits for a line.
    while (line := (yield lines.readline())) and line.strip() != b"quit":
        text = line.decode(errors="replace").strip()
        if not text.replace(".", "", 1).isdecimal():
            print(f"{text!r} is no number of seconds", flush=True)
        else:
            # They mostly wait, so any number of them runs on a server.
            rtasks.append((yield client.io_rtask(sleep, float(text) * options.scale)))
    yield client.close(await_io=True)
    for rtask in rtasks:
        yield rtask()  # not `result()`: one that was ended in the monitor is no failure of this program
    http.shutdown()  # when browsers have seen how it ended


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8181, help="of the monitor; 0: any free one")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    with LocalCluster(2):
        sys.exit(Task(main, options).value())
