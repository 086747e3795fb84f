"""`dispycos slurm`: nodes as jobs of Slurm; started, looked at, drained and stopped.

One job script, a task of a job array for each node: Slurm says on which machine it runs and how
many processors it has there. The jobs are known by their names, so any login node can stop them.

Layer 8. Row CW-11.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import chain

from dispycos import commandline, keyfile
from dispycos.commandline import Parser
from dispycos.errors import DispycosError
from dispycos.launch import slurm, slurm_nodes
from dispycos.node import cli as node
from dispycos.wording import many

PROGRAM = "dispycos slurm"
WAIT = 60.0  # seconds for running tasks to end
_JOINED = ("-S", "--docker_args")

_ABOUT = """\
Start nodes as jobs of Slurm, show them, or stop them once their running tasks have ended.

Each node runs on a machine that Slurm chooses, with as many servers as it has processors there: one,
unless sbatch is told --cpus-per-task or --exclusive. --peer names the scheduler or client, so that no
broadcast is needed. The key is this account's, in its home directory that the machines share, or
--secret_file. Behind -- stand options of dispycosnode.
"""


def main(argv: Sequence[str]) -> int:
    """Carry out one command; answers the exit code."""
    parser = _parser()
    options = parser.parse_args(commandline.normal(_with_values_joined(argv)))
    if options.command == "start":
        if options.nodes is None or not 1 <= options.nodes <= 10_000:
            parser.error("start needs -n N, the number of nodes: 1 to 10000")
        # What dispycosnode refuses is said here and not in a log.
        node.make_parser(bare=True).parse_args(commandline.normal(options.options))
    elif options.options:
        parser.error(f"options of nodes are for start, not for {options.command}")

    def run() -> int:
        slurm.name(options.name)
        if options.command == "start":
            return _start(options)
        return _status(options.name) if options.command == "status" else _stop(options.name, options.wait)

    return commandline.carry_out(PROGRAM, run)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage="dispycos slurm [-n N] [options] {start,status,stop} [-- OPTIONS OF DISPYCOSNODE]",
        about=_ABOUT,
        examples=(
            ("dispycos slurm -n 20 -S '--cpus-per-task=8 --time=60' --peer login1:9705 start", ""),
            ("dispycos slurm status", "one line for each job, with Slurm's reason where it waits"),
            ("dispycos slurm stop --wait 600", "drains them, for ten minutes at most"),
        ),
        files=(*keyfile.TOLD, ("sbatch, squeue, scancel", "Slurm's programs, which must be on the path")),
        stranger="options of dispycosnode stand behind --, as in `dispycos slurm -n 2 start -- --cpus 2`",
    )
    add = parser.add_argument
    add("-n", "--nodes", type=commandline.whole, metavar="N", help="how many; start needs it")
    add("--name", default="nodes", metavar="NAME",
        help="of these nodes, where there are several sets of them (default: nodes)")  # fmt: skip
    add("--peer", action="append", type=commandline.peer, default=[], metavar="HOST:PORT",
        help="the scheduler or client that they contact; may be repeated; without it they look for one "
        "by UDP")  # fmt: skip
    add("--secret_file", metavar="FILE", help="their key, a path on the machines (default: the account's)")
    add("-S", dest="sbatch", action="append", type=shlex.split, default=[], metavar="ARGS",
        help="options of sbatch; may be repeated: -S '--partition=long --time=60'")  # fmt: skip
    add("--log_dir", metavar="DIR",
        help="folder of their output on all machines (default: the working directory)")  # fmt: skip
    add("--docker_image", metavar="IMAGE", default="",
        help="run them in this image, whose entrypoint is a Python that has dispycos")  # fmt: skip
    add("--docker_args", type=shlex.split, default=[], metavar="ARGS",
        help="arguments of `docker run`, such as mounts of the shared file system")  # fmt: skip
    add("--wait", type=commandline.a_time, default=WAIT, metavar="SEC",
        help=f"time for running tasks at a stop, before they are ended (default: {WAIT:g})")  # fmt: skip
    parser.words(
        "command",
        "what to do",
        {
            "start": "submit a job for each of N nodes",
            "status": "show the jobs, one a line",
            "stop": "let running tasks end, for --wait seconds at most, and end the jobs",
        },
    )
    add("options", nargs="*", default=[], metavar="OPTION", help="options of dispycosnode, behind --")
    return parser


def _with_values_joined(argv: Sequence[str]) -> list[str]:
    """Values that begin with dashes themselves, which argparse takes only when joined to the option."""
    joined: list[str] = []
    left = iter(argv)
    for word in left:
        if word == "--":
            return [*joined, word, *left]
        plain = commandline.normal([word])[0]
        value = next(left, None) if plain in _JOINED else None
        joined.append(word if value is None else f"{word}{'=' if word.startswith('--') else ''}{value}")
    return joined


def _start(options: argparse.Namespace) -> int:
    if present := slurm.jobs(slurm_nodes.job_name(options.name)):
        there = many(len(present), f"job of {options.name!r} is", f"jobs of {options.name!r} are")
        raise DispycosError(
            f"{there} there already: `dispycos slurm stop` ends them, and --name makes another set"
        )
    # One is made here if there is none: the jobs only read it.
    keyfile.KeySource(secret_file=options.secret_file).load()
    folder = os.path.abspath(options.log_dir or os.curdir)
    os.makedirs(folder, exist_ok=True)
    number = slurm_nodes.submit(
        options.name,
        options.nodes,
        [*(f"--peer={host}:{port}" for host, port in options.peer), *options.options],
        udp=not options.peer,
        folder=folder,
        sbatch=[*chain(*options.sbatch)],
        secret_file=os.path.abspath(options.secret_file) if options.secret_file else None,
        image=options.docker_image,
        docker=options.docker_args,
    )
    nodes = many(options.nodes, "node")
    print(f"{nodes} submitted as job {number}; they write to {folder}/{slurm_nodes.LOG_OF_ANY}")
    return 0


def _status(name: str) -> int:
    found = slurm.jobs(slurm_nodes.job_name(name), over=True)
    for job in found:
        where = f" on {job.node}" if job.node else ""
        why = f" ({job.reason})" if job.reason not in ("", "None") else ""
        print(f"{job.number} {job.state}{where}{why}")
    living = [job for job in found if not job.over]
    if not living:
        raise DispycosError(f"no nodes {name!r} wait or run: start some with `dispycos slurm -n N start`")
    counts = Counter(job.state for job in living)
    print(", ".join(f"{count} {state.lower()}" for state, count in sorted(counts.items())))
    return 0


def _stop(name: str, wait: float) -> int:
    found, left = slurm_nodes.end([name], wait)
    if not found:
        raise DispycosError(f"no nodes {name!r} were found: squeue --me shows your jobs")
    if left:
        text = f"tasks of {many(left, 'node')} still ran after {wait:g} s, and were ended"
        print(f"{PROGRAM}: {text}", file=sys.stderr)
    print(f"{many(found, 'node')} ended")
    return 0
