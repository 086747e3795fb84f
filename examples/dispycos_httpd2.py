"""The monitor beside a status_task: both hear everything that happens.

    python examples/dispycos_httpd2.py [--port 8181] [--scale F]

prints the address of the monitor, and reads lines: a number of seconds begins a task that sleeps
so long, `quit` or the end of the input ends the program when all tasks have ended. For each it
prints, as it happens,

    rtask T started
    rtask T done
"""

import argparse
import sys

from dispycos import AsyncFile, Client, DispycosStatus, LocalCluster, MonitorStatus, Scheduler, Task
from dispycos.httpd import HTTPServer


def sleep(seconds, task=None):
    yield task.sleep(seconds)
    return seconds


def show(task=None):
    message = None
    while not (isinstance(message, DispycosStatus) and message.status == Scheduler.ClientClosed):
        message = yield task.receive()
        if isinstance(message, MonitorStatus):
            failed = "" if message.type is StopIteration else f": {message.type.__name__}"
            print(f"rtask {message.info} done{failed}", flush=True)
        elif isinstance(message, DispycosStatus) and message.status == Scheduler.TaskCreated:
            print(f"rtask {message.info.task} started", flush=True)


def main(options, task=None):
    client = Client([sleep], status_task=Task(show))
    http = HTTPServer(client, port=options.port)
    yield client.schedule()
    lines, rtasks = AsyncFile(sys.stdin), []
    while (line := (yield lines.readline())) and line.strip() != b"quit":
        text = line.decode(errors="replace").strip()
        if not text.replace(".", "", 1).isdecimal():
            print(f"{text!r} is no number of seconds", flush=True)
        else:
            rtasks.append((yield client.io_rtask(sleep, float(text) * options.scale)))
    yield client.close(await_io=True)
    yield client.status_task()
    for rtask in rtasks:
        yield rtask()  # not `result()`: one that was ended in the monitor is no failure of this program
    http.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8181, help="of the monitor; 0: any free one")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    with LocalCluster(2):
        sys.exit(Task(main, options).value())
