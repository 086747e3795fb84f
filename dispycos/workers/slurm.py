"""A pool by Slurm: `python -m dispycos.workers.slurm -n N start`, and `stop`.

One job runs the master, a job array the workers, with the account's key from its shared home
directory. Slurm starts and ends these processes, and no call of a function waits for it
(CW-04). The jobs are known by their names, so any login node can find and stop them.

Layer 8. Rows CW-04, CW-11, CW-12, CW-14 to CW-16.
"""

from __future__ import annotations

if __name__ == "__main__":  # before what takes long to import
    from dispycos import entry

    raise SystemExit(entry.run("dispycos.workers.slurm"))

import argparse
import contextlib
import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain

from dispycos import commandline, keyfile, usage
from dispycos.arguments import integer
from dispycos.arguments import port as checked_port
from dispycos.commandline import Parser
from dispycos.launch import slurm
from dispycos.launch.slurm import SlurmError
from dispycos.wording import many
from dispycos.workers import logs
from dispycos.workers.mp import PoolError
from dispycos.workers.places import PORT

PROGRAM = "python -m dispycos.workers.slurm"
START_WITHIN = 600.0  # seconds for Slurm to find room for the master, and for it to listen
_PYTHON = [sys.executable, "-m"]


@contextlib.contextmanager
def _of_pools() -> Iterator[None]:
    """What Slurm says is said of a pool."""
    try:
        yield
    except SlurmError as exc:
        raise PoolError(str(exc)) from None


def problem() -> str:
    """Why Slurm does not answer, in its own words; "" if it does."""
    try:
        slurm.ask("squeue", "--noheader", "--me")
    except SlurmError as exc:
        return str(exc)
    return ""


@_of_pools()
def start(
    nworkers: int,
    *,
    port: int = PORT,
    log_dir: str | None = None,
    master_options: Sequence[str] = (),
    worker_options: Sequence[str] = (),
    xmaster: Sequence[str] = (),
    xworkers: Sequence[str] = (),
    docker_image: str = "",
    docker_args: Sequence[str] = (),
    wait: float = START_WITHIN,
) -> str:
    """Submit a master and workers; the host to give to ClusterExecutor, when the master answers.

    port            of the master; 0: any.
    log_dir         a folder on all nodes, for `cmaster.out` and `cworkers.out`; None: the working
                    directory.
    master_options  of sbatch, for the master's job; worker_options: for the workers'.
    xmaster         options of the master itself; xworkers: of each worker.
    docker_image    run workers in this image, whose entrypoint is a Python that has dispycos;
                    docker_args are given to `docker run`.
    wait            seconds for the master to run and to answer.
    PoolError says what Slurm said; what was submitted before is cancelled again.
    """
    integer("nworkers", nworkers, least=1)
    port = checked_port("port", port) or _any_port()
    if running := _jobs(port):
        raise PoolError(
            f"a pool at port {port} has jobs already ({', '.join(running)}): `{PROGRAM} stop` ends it"
        )
    folder = logs.folder(log_dir)
    keyfile.KeySource().load()  # one is made here if there is none: the jobs only read it
    try:
        # Where it runs is known to Slurm alone: it listens at that node's name, and at its own address.
        master = [*_PYTHON, "dispycos.workers.master", "--port", str(port), "-i", "default", *xmaster]
        log = os.path.join(folder, logs.MASTER)
        own_name = 'command += ["-i", os.environ["SLURMD_NODENAME"]]'
        number = slurm.submit(_name("master", port), master, log, master_options, [own_name])
        host = f"{_await_node(number, log, wait)}:{port}"
        _await_answer(host, number, log, wait)
        worker = ["dispycos.workers.worker", host, *xworkers]
        command = slurm.in_docker(docker_image, docker_args, worker) if docker_image else [*_PYTHON, *worker]
        array = [f"--array=1-{nworkers}", *worker_options]
        slurm.submit(_name("worker", port), command, os.path.join(folder, logs.WORKERS), array)
    except BaseException:
        with contextlib.suppress(PoolError):
            stop(port)
        raise
    return host


@_of_pools()
def stop(port: int | str = PORT) -> int:
    """Cancel the jobs that `start` submitted, and no others; how many.

    PoolError if there are none.
    """
    if isinstance(port, str):
        port = int(port.rpartition(":")[2])
    jobs = _jobs(port)
    if not jobs:
        raise PoolError(f"no jobs of a pool at port {port} were found: squeue --me shows yours")
    slurm.cancel(job.partition("_")[0] for job in jobs)
    return len(jobs)


@_of_pools()
def master_host(port: int = PORT) -> str:
    """HOST:PORT of the master that runs; give it to ClusterExecutor. PoolError if none runs."""
    for job in slurm.jobs(_name("master", port)):
        if job.state == "RUNNING":
            return f"{job.node}:{port}"
        raise PoolError(f"the master's job is {job.state}, and has no node yet")
    raise PoolError(f"no master of a pool at port {port} runs: start one with `{PROGRAM} -n N start`")


@contextlib.contextmanager
def allocate(nworkers: int, *, log_dir: str | None = None) -> Iterator[str]:
    """A pool for a `with` block; its jobs are cancelled however the block is left."""
    host = start(nworkers, port=0, log_dir=log_dir)
    try:
        yield host
    finally:
        stop(host)


# What is submitted.


def _any_port() -> int:
    # One that others are unlikely to have: which node is to be asked for a free one is not known yet.
    return 20_000 + secrets.randbelow(12_000)


def _name(what: str, port: int) -> str:
    return f"dispycos-{what}-{port}"


# Waiting for the master.


def _await_node(number: str, log: str, wait: float) -> str:
    deadline = time.monotonic() + wait
    while True:
        state, node, reason = _state(number)
        if state == "RUNNING":
            return node
        if state not in ("PENDING", "CONFIGURING"):
            raise PoolError(f"the master's job {number} is {state or 'gone'}: {_last_words(log)}")
        if time.monotonic() > deadline:
            raise PoolError(f"the master's job {number} did not begin in {wait:g} s: {state} {reason}")
        time.sleep(slurm.LOOK_EVERY)


def _await_answer(host: str, number: str, log: str, wait: float) -> None:
    name, _, port = host.rpartition(":")
    deadline = time.monotonic() + wait
    while True:
        try:
            socket.create_connection((name, int(port)), timeout=slurm.LOOK_EVERY).close()
            return
        except OSError as exc:
            found = exc
        state, _, _ = _state(number)
        if state != "RUNNING":
            raise PoolError(f"the master's job {number} is {state or 'gone'}: {_last_words(log)}")
        if time.monotonic() > deadline:
            raise PoolError(
                f"the master at {host} did not answer in {wait:g} s ({found}): {_last_words(log)}"
            )
        time.sleep(slurm.LOOK_EVERY)


def _last_words(log: str) -> str:
    return logs.end_of(log) or f"it wrote nothing to {log}"


# Asking Slurm.


def _state(number: str) -> tuple[str, str, str]:
    """State, node and reason of a job; three empty texts of one that is gone."""
    try:
        lines = slurm.ask("squeue", "--noheader", f"--jobs={number}", "--format=%T|%N|%r")
    except SlurmError as exc:
        if "Invalid job id" in str(exc):
            return "", "", ""
        raise
    state, node, reason = (lines[0] if lines else "||").split("|", 2)
    return state, node, reason


def _jobs(port: int) -> list[str]:
    """Numbers of our jobs of that pool."""
    return [job.number for job in slurm.jobs(_name("master", port), _name("worker", port))]


# The command line.

# Their values begin with dashes themselves, which argparse takes only when joined to the option.
_JOINED = {"-M": "-M", "-W": "-W"} | {
    name: f"{name}=" for name in ("--Xmaster", "--Xworkers", "--docker-args", "--docker_args")
}


def _joined(arguments: Sequence[str]) -> list[str]:
    joined: list[str] = []
    left = iter(arguments)
    for argument in left:
        value = next(left, None) if argument in _JOINED else None
        joined.append(argument if value is None else _JOINED[argument] + value)
    return joined


def main(argv: Sequence[str] | None = None) -> int:
    """Start or stop a pool; answers the exit code."""
    parser = _parser()
    options = parser.parse_args(commandline.normal(_joined(sys.argv[1:] if argv is None else argv)))
    if options.command == "start" and options.nworkers is None:
        parser.error("start needs -n N, the number of workers")
    return commandline.carry_out(PROGRAM, lambda: _carry_out(options))


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        about="Start or stop a master and workers as jobs of Slurm. Also `python -m dispycos.workers.slurm`. "
        "For nodes of a cluster there is `dispycos slurm`.",
        examples=(
            (
                "python -m dispycos.workers.slurm -n 100 -W '--time=60' start",
                "a hundred workers, for an hour",
            ),
            ("python -m dispycos.workers.slurm stop", "ends them"),
        ),
        files=(*keyfile.TOLD, (f"{logs.MASTER}, {logs.WORKERS}", "what they log, in --log_dir")),
    )
    add = parser.add_argument
    add("-n", "--nworkers", type=commandline.whole, metavar="N", help="workers; start needs it")
    add("-p", "--port", type=usage.a_port, default=PORT, metavar="N",
        help=f"TCP port of the master (default: {PORT})")  # fmt: skip
    add(
        "--log_dir",
        metavar="DIR",
        help=f"folder of {logs.MASTER} and {logs.WORKERS} on all nodes (default: the working directory)",
    )
    add("-M", dest="master_options", action="append", type=shlex.split, default=[], metavar="ARGS",
        help="options of sbatch for the master; may be repeated: -M '--mem=2G --time=60'")  # fmt: skip
    add("-W", dest="worker_options", action="append", type=shlex.split, default=[], metavar="ARGS",
        help="options of sbatch for the workers; may be repeated")  # fmt: skip
    add("--Xmaster", dest="xmaster", action="append", default=[], metavar="ARG",
        help="an argument for the master itself: --Xmaster=--debug")  # fmt: skip
    add("--Xworkers", dest="xworkers", action="append", default=[], metavar="ARG",
        help="an argument for each worker")  # fmt: skip
    add(
        "--docker_image",
        default="",
        metavar="IMAGE",
        help="run workers in this image; its entrypoint is a Python",
    )
    add("--docker_args", type=shlex.split, default=[], metavar="ARGS",
        help="arguments of `docker run`, such as mounts of the shared file system")  # fmt: skip
    add("--wait", type=commandline.some_time, default=START_WITHIN, metavar="SEC",
        help=f"seconds for the master to run and answer (default: {START_WITHIN:g})")  # fmt: skip
    parser.words(
        "command",
        "what to do",
        {
            "start": "submit jobs of a master and N workers, and wait until the master answers",
            "stop": "end those jobs",
        },
    )
    return parser


def _carry_out(options: argparse.Namespace) -> int:
    if options.command == "stop":
        print(f"{many(stop(options.port), 'job')} cancelled")
        return 0
    host = start(
        options.nworkers,
        port=options.port,
        log_dir=options.log_dir,
        master_options=[*chain(*options.master_options)],
        worker_options=[*chain(*options.worker_options)],
        xmaster=options.xmaster,
        xworkers=options.xworkers,
        docker_image=options.docker_image,
        docker_args=options.docker_args,
        wait=options.wait,
    )
    print(f"the master of the pool is at {host}")
    return 0
