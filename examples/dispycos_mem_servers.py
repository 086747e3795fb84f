"""Servers as stores: each holds a file in memory and answers questions about it by messages.

    python examples/dispycos_mem_servers.py [file]...

prints for each file (four modules of Python's library), as answers come,

    server at LOCATION computed ALG for FILE as "HEX"

for each of three algorithms. Two servers are started here; one that has told everything about
its file is restarted, which forgets the file, and the new one gets the next.
"""

import argparse
import hashlib
import os
import sys
from pathlib import Path

from dispycos import Client, DispycosStatus, LocalCluster, MonitorStatus, Pycos, Scheduler, Task

ALGORITHMS = ("md5", "sha1", "sha256")


def keep(task=None):
    with open((yield task.receive()), "rb") as source:
        data = source.read()
    while True:
        asker, algorithm = yield task.receive()
        asker.send((algorithm, hashlib.new(algorithm, data).hexdigest()))


def ask(client, server, file, task=None):
    rtask = yield client.rtask_at(server, keep)
    try:
        if (yield Pycos().send_file(server, file)) != 0:
            raise OSError(f"{file} was not sent to the server at {server}")
        yield task.monitor(rtask)  # if it fails, its status comes in place of answers
        for message in (file.name, *((task, algorithm) for algorithm in ALGORITHMS)):
            rtask.send(message)
        for _ in ALGORITHMS:
            answer = yield task.receive()
            if isinstance(answer, MonitorStatus):
                raise RuntimeError(f"the server at {server} failed with {file}: {answer}")
            algorithm, digest = answer
            print(f'server at {server} computed {algorithm} for {file.name} as "{digest}"')
    finally:
        yield client.restart_server(server, terminate=True)


def main(files, task=None):
    client = Client([keep], status_task=task)
    yield client.schedule()
    asking = []
    while files:
        message = yield task.receive()
        if isinstance(message, DispycosStatus) and message.status == Scheduler.ServerInitialized:
            asking.append(Task(ask, client, message.info, files.pop(0)))
    for one in asking:
        yield one.result()
    yield client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    library = [Path(os.__file__).with_name(f"{name}.py") for name in ("abc", "argparse", "ast", "bisect")]
    parser.add_argument("files", nargs="*", type=Path, default=library)
    parser.add_argument("--scale", type=float, help="nothing here waits")
    options = parser.parse_args()
    with LocalCluster(2):
        sys.exit(Task(main, options.files).value())
