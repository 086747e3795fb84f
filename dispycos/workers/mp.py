"""A pool on this machine: `python -m dispycos.workers.mp -n N start`, and `stop`.

What was started is noted in a folder of this account alone, so that `stop` ends exactly those
processes, from whatever shell.

Layer 8. Rows CW-13, CW-15, CW-16.
"""

from __future__ import annotations

if __name__ == "__main__":  # before what takes long to import
    from dispycos import entry

    raise SystemExit(entry.run("dispycos.workers.mp"))

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from dispycos import commandline, keyfile, usage
from dispycos.arguments import integer
from dispycos.arguments import port as checked_port
from dispycos.commandline import Parser
from dispycos.errors import DispycosError
from dispycos.folders import default_path, open_private
from dispycos.node import ties
from dispycos.node.processors import processors
from dispycos.node.ties import Identity
from dispycos.wording import many
from dispycos.workers import logs
from dispycos.workers.places import PORT

PROGRAM = "python -m dispycos.workers.mp"
START_WITHIN = 30.0  # seconds from the start of the master until it listens
GRACE = 15.0  # seconds that a master or worker has to end in order
_READY = re.compile(r"^dispycos master ready at \S+:(\d+)$", re.MULTILINE)
_MASTER = [sys.executable, "-m", "dispycos.workers.master"]
_WORKER = [sys.executable, "-m", "dispycos.workers.worker"]


class PoolError(DispycosError):
    """A pool can't be started or stopped; the text says why."""


def start(nworkers: int | None = None, *, port: int = PORT, log_dir: str | None = None) -> str:
    """Start a master and workers on this machine; the host to give to ClusterExecutor.

    nworkers  None: one for each processor.
    port      of the master; 0: a free one.
    log_dir   where `cmaster.out` and `cworkers.out` are written; None: the working directory.
    PoolError if they run already, or the master does not start; its last words are in the text.
    """
    number = processors() if nworkers is None else integer("nworkers", nworkers, least=1)
    given = checked_port("port", port)
    if given and any(map(ties.lives, _noted(given))):
        raise PoolError(f"a pool of this account runs at port {given} already: `{PROGRAM} stop` ends it")
    folder = logs.folder(log_dir)
    started: list[Identity] = []
    try:
        log = os.path.join(folder, logs.MASTER)
        before = os.path.getsize(log) if os.path.exists(log) else 0
        master = _run([*_MASTER, "--port", str(given)], log, started)
        listening = _await_ready(master, log, before)
        for _ in range(number):
            _run([*_WORKER, f"localhost:{listening}"], os.path.join(folder, logs.WORKERS), started)
        _note(listening, started)
    except BaseException:
        _end(started)
        raise
    return f"localhost:{listening}"


def stop(port: int | str = PORT) -> int:
    """End what `start` started, and nothing else; how many processes that were.

    port  of the master, or what `start` answered. PoolError if nothing was started there.
    """
    if isinstance(port, str):
        port = int(port.rpartition(":")[2])
    noted = _noted(port)
    if not noted:
        raise PoolError(f"no pool of this account was started here at port {port}")
    alive = [who for who in noted if ties.lives(who)]
    _end(alive)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(port))
    return len(alive)


@contextlib.contextmanager
def allocate(nworkers: int | None = None, *, log_dir: str | None = None) -> Iterator[str]:
    """A pool for a `with` block, at a port of its own; it is ended however the block is left.

    with allocate(4) as host, ClusterExecutor(host) as executor: ...
    """
    host = start(nworkers, port=0, log_dir=log_dir)
    try:
        yield host
    finally:
        stop(host)


# Processes.


def _run(command: list[str], log: str, started: list[Identity]) -> subprocess.Popen[bytes]:
    with open(log, "ab") as out:
        # A session of its own: Ctrl-C at this terminal is not meant for the pool.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    _children.append(process)
    who = ties.identity(process.pid)
    if who is not None:
        started.append(who)
    return process


def _await_ready(master: subprocess.Popen[bytes], log: str, before: int) -> int:
    deadline = time.monotonic() + START_WITHIN
    while True:
        said = logs.end_of(log, before)
        if found := _READY.search(said):
            return int(found[1])
        if master.poll() is not None:
            raise PoolError(f"the master ended with status {master.returncode}: {said or 'it said nothing'}")
        if time.monotonic() > deadline:
            raise PoolError(
                f"the master was not ready within {START_WITHIN:g} s: {said or 'it said nothing'}"
            )
        time.sleep(0.02)


def _end(processes: Sequence[Identity]) -> None:
    """End them all at once: each may have a job that takes its grace."""
    if not processes:
        return
    with ThreadPoolExecutor(len(processes)) as threads:
        ended = list(threads.map(lambda who: ties.end_process(who, GRACE), processes))
    _reap()
    if left := [str(who.pid) for who, gone in zip(processes, ended, strict=True) if not gone]:
        raise PoolError(f"processes {', '.join(left)} did not end")


_children: list[subprocess.Popen[bytes]] = []  # that this process started and that were not seen to end


def _reap() -> None:
    _children[:] = [process for process in _children if process.poll() is None]


# Notes.


def _path(port: int) -> str:
    os.close(open_private(default_path()))
    folder = os.path.join(default_path(), "pools")
    os.close(open_private(folder))
    return os.path.join(folder, f"{port}.json")


def _note(port: int, processes: Sequence[Identity]) -> None:
    path = _path(port)
    new = f"{path}.{os.getpid()}"
    with open(new, "w", encoding="ascii") as file:
        json.dump([dataclasses.asdict(who) for who in processes], file)
    os.replace(new, path)


def _noted(port: int) -> list[Identity]:
    _reap()  # who has ended and was not waited for would seem to live
    try:
        with open(_path(port), encoding="ascii") as file:
            return [Identity(**who) for who in json.load(file)]
    except FileNotFoundError:
        return []


# The command line.


def main(argv: Sequence[str] | None = None) -> int:
    """Start or stop a pool; answers the exit code."""
    parser = Parser(
        prog=PROGRAM,
        about="Start or stop a master and workers on this machine. Also `python -m dispycos.workers.mp`.",
        examples=(
            ("python -m dispycos.workers.mp -n 4 start", "a pool of four, at the usual port"),
            ("python -m dispycos.workers.mp stop", "ends it"),
        ),
        files=(*keyfile.TOLD, (f"{logs.MASTER}, {logs.WORKERS}", "what they log, in --log_dir")),
    )
    parser.add_argument("-n", "--nworkers", type=commandline.whole, metavar="N",
        help="workers (default: one for each processor)")  # fmt: skip
    parser.add_argument("-p", "--port", type=usage.a_port, default=PORT, metavar="N",
        help=f"TCP port of the master (default: {PORT}); 0: a free one")  # fmt: skip
    parser.add_argument("--log_dir", metavar="DIR",
        help=f"folder of {logs.MASTER} and {logs.WORKERS} (default: the working directory)")  # fmt: skip
    parser.words(
        "command",
        "what to do",
        {
            "start": "start a master and its workers, which stay when this command ends",
            "stop": "end those of this account at that port",
        },
    )
    options = parser.parse_args(commandline.normal(sys.argv[1:] if argv is None else argv))

    def run() -> int:
        if options.command == "start":
            host = start(options.nworkers, port=options.port, log_dir=options.log_dir)
            print(f"the master of the pool is at {host}")
        else:
            print(f"{many(stop(options.port), 'process', 'processes')} ended")
        return 0

    return commandline.carry_out(PROGRAM, run)
