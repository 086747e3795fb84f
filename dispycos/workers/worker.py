"""`python -m dispycos.workers.worker [HOST]`: one worker, a node with one server.

It reaches for its master for as long as it lives, so either may start first, and a master that
comes back finds its workers again.

Layer 8. Rows CW-03, CW-05.
"""

from __future__ import annotations

if __name__ == "__main__":  # before what takes long to import
    from dispycos import entry

    raise SystemExit(entry.run("dispycos.workers.worker"))

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Sequence

from dispycos import commandline, keyfile, usage, validation
from dispycos.commandline import Parser
from dispycos.model import Location
from dispycos.net import addresses
from dispycos.net.rotation import Rotation
from dispycos.node import workspace
from dispycos.node.daemon import Daemon, serve
from dispycos.node.settings import NodeSettings
from dispycos.workers.places import PORT

PROGRAM = "dispycos-worker"
MIN_PULSE = 1.0  # seconds; what the master asks for


def main(argv: Sequence[str] | None = None) -> int:
    """Run a worker until a signal ends it; answers its exit code."""
    parser = _parser()
    options = parser.parse_args(commandline.normal(sys.argv[1:] if argv is None else argv))
    commandline.log_to_stderr(options.debug)
    return commandline.carry_out(PROGRAM, lambda: _run(parser, options))


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        about="Run the jobs that a master passes on, one at a time; start one for each processor. It reaches "
        "for its master for as long as it lives. Also `python -m dispycos.workers.worker`.",
        examples=(
            ("python -m dispycos.workers.worker", "for the master of this machine"),
            ("python -m dispycos.workers.worker head.example:5494", "for that of another"),
        ),
        files=(*keyfile.TOLD, ("$TMPDIR", "where its files are, while it lives; --dest_path")),
        statuses={0: "a signal ended it", 1: "it can't start, and a sentence says why", 2: "wrong usage"},
    )
    parser.add_argument("master", nargs="?", type=commandline.place, default=(None, None),
        metavar="HOST[:PORT]",
        help=f"where the master is, or its port here (default: localhost; port {PORT})")  # fmt: skip
    parser.add_argument("-i", "--ip_addr", "--host", dest="hosts", action="append", type=usage.a_host,
        default=[], metavar="ADDR", help="address or host name to use (default: loopback if the master is "
        "there, else that of the default route)")  # fmt: skip
    parser.add_argument("--dest_path", metavar="DIR",
        help="directory for its files (default: one of its own below $TMPDIR)")  # fmt: skip
    parser.add_argument("--allow_root", action="store_true",
        help="run jobs as root, though other machines reach this worker")  # fmt: skip
    parser.pool_options("worker")
    return parser


def _run(parser: Parser, options: argparse.Namespace) -> int:
    validation.forbid_unpickling("the worker's daemon")
    named, port = options.master
    host = named or "localhost"
    master = Location(host, port or PORT)
    near = addresses.is_loopback(master.addr)
    hosts = parser.listens_at(options, loopback_only=near and not options.hosts)
    loopback = all(map(addresses.is_loopback, hosts))
    if os.geteuid() == 0 and not loopback and not options.allow_root:
        parser.error(
            f"jobs would run as root here, and other machines reach {hosts[0]}: start this worker as "
            "another user, or with --allow_root"
        )
    settings = NodeSettings(
        name=options.name or socket.gethostname(),
        hosts=hosts,
        servers=1,
        ports=(0, 0),
        certificates=commandline.certificates(options),
        peers=((host, master.port),),
        min_pulse=MIN_PULSE,
        commands=False,
    )
    source = parser.key_source(options, hosts)
    keyring = source.load()
    keyfile.no_core_dumps()
    # Several workers of one account are usual, so each has a directory of its own.
    ours = workspace.open_workspace(options.dest_path or workspace.local_path())

    def ready(daemon: Daemon, location: Location) -> None:
        rotation = Rotation(daemon.endpoint, source)
        rotation.start()
        rotation.listen_to_hangup(at_terminal=False)
        daemon.say(f"dispycos worker {settings.name} ready at {location} for the master at {master}")

    return asyncio.run(serve(settings, keyring, ours, ready))
