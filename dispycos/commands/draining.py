"""`dispycos drain`: a node or a scheduler of this machine takes no more, and ends when its tasks have ended.

What stops a node for good calls it: a unit of systemd, a container's preStop, a person.

Layer 8. Row DN-22.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from dispycos import commandline
from dispycos.commandline import Parser
from dispycos.errors import DispycosError
from dispycos.folders import default_path
from dispycos.node import ties, workspace
from dispycos.node.ties import Identity
from dispycos.supervision import DRAIN
from dispycos.wording import program_of

WAIT = 60.0  # seconds

# Scripts and modules.
_PROGRAMS = ("dispycos", "dispycosnode", "dispycos.node", "dispycos.node.carried")


def main(argv: Sequence[str]) -> int:
    """Drain one; answers the exit code."""
    parser = Parser(
        prog="dispycos drain",
        about="Have a node or scheduler of this machine take no more tasks or clients, and wait until it has "
        "ended. It ends with its last task. SIGUSR1 does the same without waiting. One that is not named by "
        "PID or --dest_path is asked for first, at a terminal.",
        examples=(
            ("dispycos drain", "the node of this account, after a question"),
            ("dispycos drain --yes", "that node, without a question, for scripts"),
            ("dispycos drain 4711 --wait 3600", "that process, which may take an hour"),
        ),
        files=(("$TMPDIR/dispycos-<uid>", "where a node notes its process; --dest_path names another"),),
        statuses={0: "it has ended", 1: "it still has tasks, or there is none", 2: "wrong usage"},
    )
    parser.add_argument("pid", nargs="?", type=commandline.whole, metavar="PID",
        help="its process (default: the node of --dest_path, or of this account)")  # fmt: skip
    parser.add_argument("--dest_path", metavar="DIR", default=None,
        help="directory of the node's files (default: $TMPDIR/dispycos-<uid>)")  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="drain the node of this account and don't ask")
    parser.add_argument("--wait", type=commandline.a_time, default=WAIT, metavar="SEC",
        help=f"time for its tasks (default: {WAIT:g}); it goes on draining after that")  # fmt: skip
    options = parser.parse_args(commandline.normal(argv))
    # Whoever has a single node loses it by this: not for a command that was tried out to see what it says.
    named = options.pid is not None or options.dest_path is not None or options.yes
    if not named and not (sys.stdin and sys.stdin.isatty()):
        parser.error("say which: its PID, its --dest_path DIR, or --yes for the node of this account")

    def run() -> int:
        path = options.dest_path or default_path()
        who = _noted(path) if options.pid is None else _named(options.pid)
        if not named and not _agreed(who, path):
            raise DispycosError(f"process {who.pid} goes on: the answer was not y")
        _ask(who, noted=workspace.daemon_of(path) == who)
        if not ties.await_end(who, options.wait):
            raise DispycosError(f"process {who.pid} still has tasks after {options.wait:g} s, and drains on")
        print(f"process {who.pid} has ended")
        return 0

    return commandline.carry_out("dispycos drain", run)


def _agreed(who: Identity, path: str) -> bool:
    """Whether the person at the terminal means that one."""
    print(f"The node of this account is process {who.pid}, in {path}.", file=sys.stderr)
    print("Drain it, so that it ends with its last task? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _named(pid: int) -> Identity:
    who = ties.identity(pid) if pid > 0 else None
    if who is None:
        raise DispycosError(f"there is no process {pid}")
    return who


def _noted(path: str) -> Identity:
    who = workspace.daemon_of(path)
    if who is None or not ties.lives(who):
        raise DispycosError(f"no node works in {path}: name its process, or its --dest_path")
    return who


def _ask(who: Identity, noted: bool) -> None:
    if DRAIN is None:
        raise DispycosError("this system has no SIGUSR1, by which nodes are asked: type `quit` at the node")
    if not _hears(who.pid):
        # It would die of the signal.
        text = f"process {who.pid} is no node or scheduler of dispycos: it does not wait for SIGUSR1"
        raise DispycosError(text)
    if not noted and not _is_program(who.pid):
        # To others the signal may mean anything.
        raise DispycosError(
            f"process {who.pid} is no node or scheduler of dispycos by its command line; "
            "name a node by its --dest_path"
        )
    try:
        os.kill(who.pid, DRAIN)
    except ProcessLookupError:
        return  # it has ended meanwhile
    except PermissionError:
        raise DispycosError(f"process {who.pid} is another account's: drain it as that, or as root") from None


def _is_program(pid: int) -> bool:
    """Whether its command line is that of a node or scheduler; True where the system does not say."""
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            words = file.read().split("\0")
    except OSError:
        return True
    return program_of(words).removesuffix(".py") in _PROGRAMS


def _hears(pid: int) -> bool:
    """Whether it handles the signal; True where the system does not say."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)
    return True
