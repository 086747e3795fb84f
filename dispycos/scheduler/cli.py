"""The command line of a shared scheduler: `dispycos` without a command of its own.

Options are those of the founding document and newer ones; see `dispycos.cli` for the program.

Layer 8. Rows DS-02 to DS-18.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dispycos import commandline, config, keyfile, usage, validation
from dispycos.commandline import Parser
from dispycos.configuration.names import BadConfiguration
from dispycos.httpd import argtext
from dispycos.keyfile import KeySource
from dispycos.model import Location
from dispycos.net.rotation import Rotation
from dispycos.scheduler import web
from dispycos.scheduler.service import ServiceOptions
from dispycos.scheduler.shared import SharedScheduler, SharedSettings, serve
from dispycos.scheduler.web import Web
from dispycos.supervision import Supervisor
from dispycos.usage import Section

if TYPE_CHECKING:
    from dispycos.httpd import running

GOODBYE = 2.0  # seconds that browsers have for the last state

_EXAMPLES = (
    ("dispycos", "for the nodes and programs of this network, which find it by UDP"),
    ("dispycos --node far.example", "also for those near that node of another network"),
    ("dispycos --http 0.0.0.0 --http_readonly", "with a monitor that other machines may look at"),
    ("dispycos -t 9800 --dest_path /srv/dispycos", "at another port, its journal on a disk that stays"),
    ("dispycos status", "how the cluster of a running scheduler or program is"),
)
_FILES = (
    *keyfile.TOLD,
    *commandline.SETTINGS,
    ("DISPYCOS_SCHEDULER_NODE, ..", "settings by variables: `dispycos config scheduler` shows all"),
    (
        "$TMPDIR/dispycos-<uid>",
        "the journal, by which a scheduler that is started again goes on; --dest_path",
    ),
    (f"TCP {config.DispycosSchedulerPort}, UDP {config.NetPort}", "ports of the scheduler and of discovery"),
)


def main(arguments: Sequence[str], further: Section | None = None) -> int:
    """Run a shared scheduler; answers its exit code. further: a section of its help."""
    parser = make_parser(further=further)
    given = commandline.normal(arguments)
    parser.parse_args(given)  # what is wrong there is told first, and so is the help
    try:
        options = parser.parse_args(parser.configured("scheduler", given))
    except BadConfiguration as exc:
        parser.error(str(exc))
    commandline.log_to_stderr(options.debug)

    def run() -> int:
        settings = _settings(parser, options)
        return _run(settings, parser.key_source(options, settings.hosts), web.asked_for(parser, options))

    return commandline.carry_out("dispycos", run)


def _run(settings: SharedSettings, source: KeySource, monitor: Web | None) -> int:
    validation.forbid_unpickling("the scheduler")
    supervisor = Supervisor.asked()
    keyring = source.load()
    keyfile.no_core_dumps()
    monitors: list[running.Running] = []

    def ready(scheduler: SharedScheduler, location: Location) -> None:
        rotation = Rotation(scheduler.endpoint, source)
        rotation.start()
        rotation.listen_to_hangup(at_terminal=settings.commands)
        if monitor is not None:
            with commandline.port_of("--http"):
                monitors.append(monitor.watch(scheduler, settings))
            scheduler.say(f"dispycos monitor: {monitors[0].link}")
        scheduler.say(f"dispycos scheduler ready at {location}")

    try:
        with commandline.port_of("--tcp_port"):
            return asyncio.run(serve(settings, keyring, ready, supervisor))
    finally:
        for started in monitors:
            started.stop("finished", "the scheduler has ended", GOODBYE)


def make_parser(bare: bool = False, further: Section | None = None) -> Parser:
    """The options of a shared scheduler. further: a section of its help; bare: as `Parser` has it."""
    parser = Parser(
        bare=bare,
        prog="dispycos",
        usage="dispycos [options]\n       dispycos COMMAND ...",
        about="Be the scheduler that many client programs share: one after another has the nodes. A program "
        "with a `Scheduler()` of its own needs none. With a COMMAND: do that instead. At its terminal the "
        "scheduler takes the commands status, quit and terminate.",
        examples=_EXAMPLES,
        files=_FILES,
        statuses=commandline.DAEMON_STATUSES,
        further=further,
        stranger="`dispycos --help` shows all; those of a command stand behind it, as in `dispycos status "
        "--json`",
    )
    add = parser.option
    parser.section("nodes and clients")
    add("-t", "--tcp_port", "--scheduler_port", type=usage.a_port,
        default=config.DispycosSchedulerPort, metavar="N",
        help=f"TCP port (default: {config.DispycosSchedulerPort}); 0: a free one")  # fmt: skip
    add("--node", action="append", type=commandline.host_or_port, default=[], metavar="HOST[:PORT]",
        help="reach for this node and those near it: one of each other network is enough; may be "
        "repeated")  # fmt: skip
    add("--node_port", type=usage.a_port, default=config.DispycosNodePort, metavar="N",
        help=f"port of nodes that are named without one (default: {config.DispycosNodePort})")  # fmt: skip
    add("--relay_nodes", action="store_true",
        help="ask every node, not only those of --node, for others near it")  # fmt: skip
    add("--ping_interval", type=commandline.a_time, default=0.0, metavar="SEC",
        help="look for nodes again and again, so often; 0: once, at the start (default)")  # fmt: skip
    add("--pulse_interval", type=commandline.a_time, default=float(config.MaxPulseInterval), metavar="SEC",
        help="longest time between signs of life of a node, whatever a client asks for (default: "
        f"{config.MaxPulseInterval:g})")  # fmt: skip
    add("--zombie_period", type=commandline.a_time, default=10.0 * config.MaxPulseInterval, metavar="SEC",
        help="take the nodes from a client that ran nothing for so long (default: "
        f"{10 * config.MaxPulseInterval:g}); 0: never")  # fmt: skip
    parser.network_options("scheduler")
    web.add_options(parser)
    parser.process_options()
    add("--clean", action="store_true", help="forget the clients and files that an earlier scheduler left")
    return parser


def _settings(parser: Parser, options: argparse.Namespace) -> SharedSettings:
    if not options.pulse_interval:
        parser.error("--pulse_interval 0 is no time between signs of life")
    if not options.node_port:
        parser.error("--node_port 0 is no port that a node listens at")
    try:
        certificates = commandline.certificates(options)
        redact = argtext.patterns(options.redact)
    except ValueError as exc:
        parser.error(str(exc))
    limits = config.limits()
    if options.msg_timeout is not None:
        limits = dataclasses.replace(limits, request_timeout=options.msg_timeout)
    return SharedSettings(
        name=options.name or socket.gethostname(),
        hosts=parser.listens_at(options),
        port=options.tcp_port,
        announce=parser.announced(options),
        certificates=certificates,
        udp_port=options.udp_port or None,
        multicast=options.ipv4_udp_multicast,
        nodes=tuple((host, port or options.node_port) for host, port in options.node),
        dest_path=options.dest_path,
        clean=options.clean,
        commands=not options.daemon,
        service=ServiceOptions(
            ping_interval=options.ping_interval,
            idle_limit=options.zombie_period,
            hold=options.zombie_period or 10.0 * config.MaxPulseInterval,
            longest_pulse=options.pulse_interval,
            max_file_bytes=options.max_file_size,
            relay=options.relay_nodes,
            redact=redact,
        ),
        limits=limits,
    )
