"""`python -m dispycos.workers.master`: the program between client programs and workers.

Layer 8. Rows CW-01, CW-05.
"""

from __future__ import annotations

if __name__ == "__main__":  # before what takes long to import
    from dispycos import entry

    raise SystemExit(entry.run("dispycos.workers.master"))

import argparse
import logging
import signal
import socket
import sys
import threading
from collections.abc import Sequence

from dispycos import commandline, config, keyfile, usage, validation
from dispycos.client.client import Client
from dispycos.commandline import Parser
from dispycos.errors import DispycosError
from dispycos.kernel.program import leave
from dispycos.model import Role
from dispycos.net import addresses
from dispycos.options import Options
from dispycos.runtime import Network, runtime
from dispycos.scheduler import scheduler
from dispycos.workers import service
from dispycos.workers.places import PORT

log = logging.getLogger("dispycos")

PROGRAM = "dispycos-master"
PULSE = 1.0  # seconds between signs of life of a worker
SILENT = 10.0  # seconds after which a worker that says nothing is given up, with the job it runs
END_WITHIN = 5.0  # seconds for the workers to let go when the master ends


def main(argv: Sequence[str] | None = None) -> int:
    """Run a master until a signal ends it; answers its exit code."""
    parser = _parser()
    options = parser.parse_args(commandline.normal(sys.argv[1:] if argv is None else argv))
    commandline.log_to_stderr(options.debug)
    return commandline.carry_out(PROGRAM, lambda: _run(parser, options))


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        about="Pass the jobs of client programs on to workers. Start it first or last: workers and programs "
        "look for it again and again. Also `python -m dispycos.workers.master`.",
        examples=(
            ("python -m dispycos.workers.master", "for workers and programs of this machine"),
            ("python -m dispycos.workers.master --host default", "for those of other machines, too"),
        ),
        files=keyfile.TOLD,
        statuses={0: "a signal ended it", 1: "it can't start, or a second signal", 2: "wrong usage"},
    )
    parser.add_argument("-i", "--ip_addr", "--host", dest="hosts", action="append", type=usage.a_host,
        default=[], metavar="ADDR",
        help="address or host name to listen at, `default`: that of the default route (default: loopback); "
        "may be repeated")  # fmt: skip
    parser.add_argument("-p", "--port", type=usage.a_port, default=PORT, metavar="N",
        help=f"TCP port (default: {PORT}); 0: a free one")  # fmt: skip
    parser.pool_options("master")
    return parser


def _run(parser: Parser, options: argparse.Namespace) -> int:
    options.hosts = [addresses.default_address() if host == "default" else host for host in options.hosts]
    hosts = parser.listens_at(options, loopback_only=not options.hosts)
    ending = threading.Event()

    def signalled(number: int, frame: object) -> None:
        if ending.is_set():
            leave(1)
        ending.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signalled)
    validation.forbid_unpickling("the master")
    keyring = parser.key_source(options, hosts).load()
    keyfile.no_core_dumps()
    taking_part = Options(
        hosts=hosts,
        tcp_port=options.port,
        name=options.name or socket.gethostname(),
        certificates=commandline.certificates(options),
        roles=Role.PEER | Role.CLIENT | Role.SCHEDULER,
    )
    config.MinPulseInterval = PULSE  # of this process: its workers are no cluster of hundreds of servers
    with commandline.port_of("--port"):
        network = runtime.network(taking_part, keyring)
    try:
        pool = _start(network)
        print(f"dispycos master ready at {network.endpoint.location}", flush=True)
        ending.wait()
        log.info("the master ends; a second signal ends it at once")
        network.reactor.wait(_close(pool), END_WITHIN)
    finally:
        runtime.stop(network)
    return 0


def _start(network: Network) -> service.PoolService:
    scheduler.start(network)
    client = Client(pulse_interval=PULSE, zombie_period=SILENT, abandon_zombie_nodes=True)
    if client.schedule().result() != 0:
        raise DispycosError("the master's own scheduler did not take its client; see the log above")
    return service.start(network, client)


async def _close(pool: service.PoolService) -> None:
    pool.close()
