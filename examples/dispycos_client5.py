"""Programs on servers: each job feeds one through its standard input and sends on what it writes.

    python examples/dispycos_client5.py [n] [--scale F]

prints for each of n jobs (5), as it comes,

    job I output: Line K has C characters, W words

for each K from 1 to 10, and then

    job I done

Job I reads ten lines of the module `os`, from line 10 * I on.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from dispycos import AsyncPipe, Client, LocalCluster, Task

PROGRAM = Path(__file__).absolute().with_name("dispycos_client5_proc.py")


def run(program, reader, task=None):
    # Files among the components are one directory above the one where a server's tasks work.
    command = [sys.executable, f"../{program}"]
    pipe = AsyncPipe(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))

    def read(task=None):
        while line := (yield pipe.readline()):
            reader.send(line.decode().rstrip())

    reading = Task(read)
    while (line := (yield task.receive())) is not None:
        yield pipe.write(line.encode(), full=True)
    pipe.stdin.close()  # the end of its input, at which the program ends
    yield reading.result()
    if pipe.wait() != 0:
        raise RuntimeError(f"{program} ended with exit status {pipe.poll()}")


def job(client, i, lines, seconds, task=None):
    def show(task=None):
        task.set_daemon()  # if the job fails, nobody waits for the rest
        for _ in lines:
            print(f"job {i} output: {(yield task.receive())}")

    shown = Task(show)
    rtask = yield client.rtask(run, PROGRAM.name, shown)
    for line in [*lines, None]:
        rtask.send(line)
        yield task.sleep(seconds)
    yield rtask.result()
    yield shown.result()
    print(f"job {i} done")


def main(options, task=None):
    client = Client([run, str(PROGRAM)])
    yield client.schedule()
    with open(os.__file__) as source:
        lines = source.readlines()
    jobs = [Task(job, client, i, lines[10 * i : 10 * i + 10], 0.05 * options.scale) for i in range(options.n)]
    for one in jobs:
        yield one.result()
    yield client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("n", nargs="?", type=int, default=5, help="jobs")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    options = parser.parse_args()
    # A component's path is kept, as seen from here; so the servers get this file by its bare name.
    os.chdir(PROGRAM.parent)
    with LocalCluster(2):
        sys.exit(Task(main, options).value())
