"""Data in memory, loaded once for each node: the servers of a node share what its setup loaded.

    python examples/dispycos_client9_node.py [file]...

prints for each of 15 jobs, with the digest of the file that the node of its server has,

    ALGsum for FILE: HEX

A node is started here for each file, with two servers; by default two modules of Python's library.
"""

import argparse
import contextlib
import hashlib
import os
import sys
from pathlib import Path

from dispycos import Client, DispycosNodeAllocate, DispycosStatus, LocalCluster, Pycos, Scheduler, Task

ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha512")


def load(file, task=None):
    # node_setup: runs in the node's directory, before its servers are forked from what is here then.
    global name, data
    yield
    with open(file, "rb") as source:
        name, data = file, source.read()
    return 0  # the node is good


def checksum(algorithm, task=None):
    yield
    return name, hashlib.new(algorithm, data).hexdigest()


def give_files(client, files, task=None):
    while files:
        message = yield task.receive()
        if isinstance(message, DispycosStatus) and message.status == Scheduler.NodeDiscovered:
            node, file = message.info.location, files.pop()
            if (yield Pycos().send_file(node, file)) != 0:
                raise OSError(f"{file} was not sent to the node at {node}")
            yield client.enable_node(node, file.name)


def main(files, task=None):
    # Windows can't fork, so nodes there have no node_setup.
    nodes = [DispycosNodeAllocate("*", platform="^(?!windows)")]
    client = Client([load, checksum], nodes=nodes, node_setup=load, disable_nodes=True)
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
    with contextlib.ExitStack() as nodes:
        for _ in files:
            nodes.enter_context(LocalCluster(2))
        sys.exit(Task(main, files).value())
