"""A new server for each task: one that closes is restarted, and nothing of the last task is left.

    python examples/dispycos_client10.py [dir] [n]

prints for each of the first n files (8) in dir (Python's package `json`), in order,

    sha256sum for FILE: HEX

A task that finds a trace of another one in its server fails, and the program with it.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from dispycos import Client, LocalCluster, Task


def checksum(name, data, task=None):
    global used_for
    yield
    if "used_for" in globals():
        raise RuntimeError(f"the server for {name} was used for {used_for} before")
    used_for = name
    # Every server has this function. It closes when this task has ended, and comes back as a
    # new process, because the client says so.
    dispycos_close_server()  # noqa: F821
    return hashlib.sha256(data).hexdigest()


def main(options, task=None):
    client = Client([checksum], restart_servers=True)
    yield client.schedule()
    rtasks = []
    for file in sorted(path for path in options.dir.iterdir() if path.is_file())[: options.n]:
        rtasks.append((file, (yield client.rtask(checksum, file.name, file.read_bytes()))))
    for file, rtask in rtasks:
        print(f"sha256sum for {file}: {(yield rtask.result())}")
    yield client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("dir", nargs="?", type=Path, default=Path(json.__file__).parent)
    parser.add_argument("n", nargs="?", type=int, default=8, help="files at most")
    parser.add_argument("--scale", type=float, help="nothing here waits")
    options = parser.parse_args()
    with LocalCluster(2):
        sys.exit(Task(main, options).value())
