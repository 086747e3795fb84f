"""Files both ways: each job gets a file at its server and sends one back to the client.

    python examples/dispycos_client4.py [n]

prints for each of n jobs (5), as they end,

    job I output is in FILE

Job I gets the I-th module of Python's own library; FILE has the length of each of its lines.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from dispycos import Client, LocalCluster, Pycos, Task


def measure(client, task=None):
    name = yield task.receive()
    # Files from others come into the directory in which this server's tasks work.
    with open(name, "rb") as source, open(f"{name}.lengths", "w") as output:
        for line in source:
            print(len(line.rstrip(b"\r\n")), file=output)
    if (yield Pycos().send_file(client, output.name)) != 0:
        raise OSError(f"{output.name} was not sent to {client}")
    return output.name


def job(client, i, file, task=None):
    # No component: the function travels when it is first used.
    rtask = yield client.rtask(measure, Pycos().location)
    if (yield Pycos().send_file(rtask.location, file)) != 0:
        raise OSError(f"{file} was not sent to {rtask.location}")
    rtask.send(file.name)
    name = yield rtask.result()
    print(f"job {i} output is in {os.path.join(Pycos().dest_path, name)}")


def main(options, task=None):
    files = sorted(Path(os.__file__).parent.glob("*.py"))[: options.n]
    client = Client()
    yield client.schedule()
    jobs = [Task(job, client, i, file) for i, file in enumerate(files)]
    for one in jobs:
        yield one.result()
    yield client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("n", nargs="?", type=int, default=5, help="jobs")
    parser.add_argument("--scale", type=float, help="nothing here waits")
    options = parser.parse_args()
    # Where the files of others go is said when a program joins the network.
    Pycos(node="127.0.0.1", discover_peers=False, dest_path=tempfile.mkdtemp(prefix="dispycos_client4-"))
    with LocalCluster(2):
        sys.exit(Task(main, options).value())
