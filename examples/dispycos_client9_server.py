"""Data in memory, another file for each server: its setup loads what was sent to its directory.

    python examples/dispycos_client9_server.py [file]...

prints for each of 15 jobs, with the digest of the file that its server has,

    ALGsum for FILE: HEX

A server is started here for each file; by default two modules of Python's library.
"""

import argparse
import hashlib
import os
import sys
from pathlib import Path

from dispycos import Client, DispycosStatus, LocalCluster, Pycos, Scheduler, Task

ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha512")


def load(file, task=None):
    # server_setup: runs in the server's directory, before any other task of the client.
    global name, data
    yield
    with open(file, "rb") as source:
        name, data = file, source.read()
    return 0  # the server is good


def checksum(algorithm, task=None):
    yield
    return name, hashlib.new(algorithm, data).hexdigest()


def give_files(client, files, task=None):
    while files:
        message = yield task.receive()
        if isinstance(message, DispycosStatus) and message.status == Scheduler.ServerDiscovered:
            server, file = message.info, files.pop()
            if (yield Pycos().send_file(server, file)) != 0:
                raise OSError(f"{file} was not sent to the server at {server}")
            yield client.enable_server(server, file.name)


def main(files, task=None):
    client = Client([load, checksum], server_setup=load, disable_servers=True)
    client.status_task = Task(give_files, client, files)
    yield client.schedule()
    yield client.status_task.result()
    rtasks = []
    for algorithm in ALGORITHMS * 3:
        rtasks.append((algorithm, (yield client.rtask(checksum, algorithm))))
    for algorithm, rtask in rtasks:
        print("{}sum for {}: {}".format(algorithm, *(yield rtask.result())))
    yield client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    library = Path(os.__file__).parent
    parser.add_argument("files", nargs="*", type=Path, default=[library / "argparse.py", library / "ast.py"])
    parser.add_argument("--scale", type=float, help="nothing here waits")
    files = parser.parse_args().files
    with LocalCluster(len(files)):
        sys.exit(Task(main, files).value())
