"""Start nodes by ssh, on machines that have only Python: `dispycos ssh HOST ..`; see `dispycos ssh --help`.

Layer 8.
"""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from dispycos import commandline, keyfile
from dispycos.commandline import Parser
from dispycos.launch.remote_node import Ended, Line, RemoteNode, why_none
from dispycos.launch.spec import XSpec
from dispycos.launch.ssh import spec_of
from dispycos.net import addresses
from dispycos.node import cli
from dispycos.wording import listed

END_TIME: Final = 20.0  # seconds for nodes to end; a node takes 14 at most
_PARTING: Final = 2.0  # seconds for an ssh whose node has ended
_FIRST_WORD: Final = 4.0  # seconds until who has not answered is named
_AT_ONCE: Final = 16  # logins at a time

_ABOUT: Final = """\
Start dispycosnode on other machines, by ssh, and end all of these nodes with this command.

The machines need ssh and Python 3.11 or newer, and nothing else: what a node needs is sent there and
removed again. A host is [USER@]HOST[:PORT]; ssh takes the configuration, keys and agent that you have, and
asks nothing, so log in to a new host once by hand. The nodes have the key of this account, or that of
--secret_file. They are found as other nodes are: by UDP, by --peer, or by Client(nodes=[HOST, ..]); so
clients and nodes must reach each other by TCP, which ssh is not used for.

All other options are those of dispycosnode; names of files, but for --secret_file and --peer_file, are names
there.
"""
_EXAMPLES: Final = (
    ("dispycos ssh host1 host2", "a server for each processor there, until Ctrl-C"),
    ("dispycos ssh jdoe@far:2222 --peer head.example:9705", "which reaches for that scheduler"),
    ("dispycos ssh host1 -c 4 --python /opt/py/bin/python3", "four servers, of that Python"),
)
_STATUSES: Final = {
    0: "it was ended, and so were its nodes",
    1: "a node could not be started, or ended by itself; a sentence says why",
    2: "wrong usage",
}
_OURS: Final = ("hosts", "python", "ssh_config")
# They say what is said otherwise here, or make no sense for a node elsewhere.
_REFUSED: Final = ("config", "save_config", "clean")
# Read here; what is in them goes there otherwise.
_READ_HERE: Final = ("secret", "secret_file", "peer_file", "daemon")

_Event: TypeAlias = "tuple[str, Line | Ended | Exception | RemoteNode]"  # of a host


def main(argv: Sequence[str]) -> int:
    """Keep nodes until SIGINT, SIGTERM or the end of the last one; answers the exit code."""
    parser = _parser(bare=False)
    arguments = commandline.normal(argv)
    options = parser.parse_intermixed_args(arguments)
    given = vars(_parser(bare=True).parse_intermixed_args(arguments))
    for name in _REFUSED:
        if name in given:
            parser.error(f"--{name} is for a node of this machine: leave it out")
    commandline.log_to_stderr(options.debug)

    def run() -> int:
        hosts = list(dict.fromkeys(options.hosts))
        specs = {host: spec_of(host, options.python, options.ssh_config) for host in hosts}
        loopback = bool(options.hosts_of_node) and all(map(addresses.is_loopback, options.hosts_of_node))
        keys = parser.key_source(options, options.hosts_of_node if loopback else ["0.0.0.0"]).load()
        return _Keeping(specs, [key.hex() for key in keys.reveal()], _arguments(given, options)).run()

    return commandline.carry_out("dispycos ssh", run)


def _parser(bare: bool) -> Parser:
    parser = Parser(
        bare=bare,
        prog="dispycos ssh",
        usage="dispycos ssh HOST .. [options]",
        about=_ABOUT,
        examples=_EXAMPLES,
        files=(*keyfile.TOLD, ("~/.ssh/config, the agent", "as the program ssh reads them")),
        statuses=_STATUSES,
    )
    parser.add_argument("hosts", nargs="+", metavar="HOST", help="[USER@]HOST[:PORT]")
    parser.option("--python", metavar="PROGRAM", help="the Python there (default: python3)")
    parser.option("--ssh_config", metavar="FILE", help="a configuration of ssh in place of yours")
    cli.add_options(parser)
    for action in parser._actions:
        if "--ip_addr" in action.option_strings:
            action.dest = "hosts_of_node"
        if action.dest in (*_REFUSED, "daemon"):
            action.help = argparse.SUPPRESS
    return parser


def _arguments(given: dict[str, Any], options: argparse.Namespace) -> list[str]:
    # For the nodes: what was given, as it was typed.
    names = {"hosts_of_node": "ip_addr", "announce": "ext_ip_addr"}
    found = []
    for name, value in given.items():
        if name in _OURS or name in _READ_HERE:
            continue
        option = f"--{names.get(name, name)}"
        for one in value if isinstance(value, list) else [value]:
            found.append(option if one is True else f"{option}={one}")
    found += [f"--peer={host}:{port}" for host, port in options.peer_file]
    return found


class _Keeping:
    """Nodes of several hosts, from their start to their end."""

    def __init__(self, specs: dict[str, XSpec], keys: list[str], arguments: list[str]) -> None:
        self._specs = specs
        self._keys = keys
        self._arguments = arguments
        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()  # None: a signal
        self._waiting = set(specs)  # hosts that have a node, or may get one yet
        self._nodes: dict[str, RemoteNode] = {}
        self._deadline: float | None = None  # when those that are left are abandoned; None: they are to run
        self._failed = False
        self._word_at: float | None = time.monotonic() + _FIRST_WORD  # None: it was said

    def run(self) -> int:
        """Until the end; answers the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._events.put(None))
        todo = list(self._specs.items())
        for _ in range(min(_AT_ONCE, len(todo))):
            threading.Thread(target=self._start, args=(todo,), name="dispycos ssh", daemon=True).start()
        while self._waiting:
            try:
                event = self._events.get(timeout=self._patience())
            except queue.Empty:
                if self._deadline is not None:
                    break
                self._say_who_is_silent()
                continue
            if event is not None:
                self._take(*event)
            elif self._deadline is not None:
                break  # the second signal
            else:
                todo.clear()
                # Logins under way are not waited for: what they lead to ends with us.
                self._waiting.intersection_update(self._nodes)
                self._end()
        left = sorted(self._waiting)
        if left:
            self._failed = True
            _complain(f"{', '.join(left)}: not ended yet; what is there ends by itself")
        for node in self._nodes.values():
            node.abandon()
        self._part()
        return int(self._failed)

    def _patience(self) -> float | None:
        until = self._deadline if self._deadline is not None else self._word_at
        return None if until is None else max(until - time.monotonic(), 0.0)

    def _say_who_is_silent(self) -> None:
        """A login that takes long is told once, before ssh itself says why it failed."""
        self._word_at = None
        if silent := sorted(self._waiting - set(self._nodes)):
            _complain(
                f"{listed(silent)}: no login yet; still trying, ssh gives up by itself if nobody answers"
            )

    def _start(self, todo: list[tuple[str, XSpec]]) -> None:
        while True:
            try:
                host, spec = todo.pop(0)
            except IndexError:
                return
            try:
                node = RemoteNode(
                    spec,
                    self._keys,
                    self._arguments,
                    lambda event, host=host: self._events.put((host, event)),  # type: ignore[misc]  # its host
                )
            except Exception as exc:
                self._events.put((host, exc))
            else:
                self._events.put((host, node))

    def _take(self, host: str, event: Line | Ended | Exception | RemoteNode) -> None:
        match event:
            case RemoteNode():
                self._nodes[host] = event
                if self._deadline is not None:
                    self._waiting.add(host)
                    event.end()
            case Line(text):
                print(f"{host}: {text}", flush=True)
            case Ended(reason, code):
                self._waiting.discard(host)
                if self._deadline is None or code is None:
                    self._failed = self._failed or code != 0
                    _complain(f"{host}: {reason}")
            case _:
                self._waiting.discard(host)
                self._failed = True
                _complain(f"{host}: {why_none(event)}")

    def _end(self) -> None:
        self._deadline = time.monotonic() + END_TIME
        for node in self._nodes.values():
            threading.Thread(target=node.end, name="dispycos ssh end", daemon=True).start()

    def _part(self) -> None:
        deadline = time.monotonic() + _PARTING
        for node in self._nodes.values():
            if not node.wait(max(deadline - time.monotonic(), 0.0)):
                node.kill()


def _complain(text: str) -> None:
    print(f"dispycos ssh: {text}", file=sys.stderr, flush=True)
