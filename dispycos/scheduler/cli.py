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
from dataclasses import dataclass

from dispycos import commandline, config, keyfile, validation
from dispycos.commandline import Parser
from dispycos.httpd import argtext, listening, running
from dispycos.httpd.scheduler_source import SchedulerSource
from dispycos.keyfile import KeySource
from dispycos.model import Location
from dispycos.net import addresses
from dispycos.net.rotation import Rotation
from dispycos.scheduler.service import ServiceOptions
from dispycos.scheduler.shared import SharedScheduler, SharedSettings, serve

GOODBYE = 2.0  # seconds that browsers have for the last state


def main(arguments: Sequence[str], epilog: str = "") -> int:
    """Run a shared scheduler; answers its exit code. epilog: what the help ends with."""
    parser = _parser(epilog)
    options = parser.parse_args(commandline.normal(arguments))
    commandline.log_to_stderr(options.debug)

    def run() -> int:
        settings = _settings(parser, options)
        return _run(settings, commandline.key_source(options, settings.hosts), _web(options))

    return commandline.carry_out("dispycos", run)


@dataclass(frozen=True, slots=True)
class Web:
    """The web monitor, as its options ask for it."""

    host: str | None  # None: loopback
    port: int
    read_only: bool
    metrics_public: bool
    allow_hosts: tuple[str, ...]


def _place(text: str) -> tuple[str, int | None]:
    """HOST or HOST:PORT, where port 0 is any free one."""
    if text.endswith(":0"):
        return commandline.host_or_port(text.removesuffix(":0"))[0], 0
    return commandline.host_or_port(text)


def _pattern(text: str) -> str:
    """A pattern of names."""
    try:
        return argtext.patterns(text)[0]
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _web(options: argparse.Namespace) -> Web | None:
    if options.http is None:
        return None
    host, port = options.http
    hosts = tuple(options.allow_host)
    number = listening.PORT if port is None else port
    return Web(host or None, number, options.http_readonly, options.metrics_public, hosts)


def _run(settings: SharedSettings, source: KeySource, web: Web | None) -> int:
    validation.forbid_unpickling("the scheduler")
    keyring = source.load()
    keyfile.no_core_dumps()
    monitors: list[running.Running] = []

    def ready(scheduler: SharedScheduler, location: Location) -> None:
        rotation = Rotation(scheduler.endpoint, source)
        rotation.start()
        rotation.listen_to_hangup(at_terminal=settings.commands)
        if web is not None:
            monitors.append(_watch(scheduler, settings, web))
            scheduler.say(f"dispycos monitor: {monitors[0].link}")
        scheduler.say(f"dispycos scheduler ready at {location}")

    try:
        return asyncio.run(serve(settings, keyring, ready))
    finally:
        for monitor in monitors:
            monitor.stop("finished", "the scheduler has ended", GOODBYE)


def _watch(scheduler: SharedScheduler, settings: SharedSettings, web: Web) -> running.Running:
    files = settings.certificates
    return running.run(
        SchedulerSource(scheduler.service, scheduler.endpoint, settings.name),
        host=web.host,
        port=web.port,
        certfile=files.certfile if files is not None else None,
        keyfile=(files.keyfile or None) if files is not None else None,
        allow_hosts=web.allow_hosts,
        read_only=web.read_only,
        metrics_public=web.metrics_public,
        noted=True,
        kept=scheduler.monitor_file,
    )


def _parser(epilog: str = "") -> Parser:
    parser = Parser(
        prog="dispycos",
        description="Be the scheduler that many client programs share: one after another has the nodes.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.option
    parser.network_options("scheduler")
    add("-t", "--tcp_port", "--scheduler_port", type=commandline.port_number,
        default=config.DispycosSchedulerPort, metavar="N",
        help=f"TCP port (default: {config.DispycosSchedulerPort}); 0: a free one")  # fmt: skip
    add("--node", action="append", type=commandline.host_or_port, default=[], metavar="HOST[:PORT]",
        help="reach for this node and those near it: one of each other network is enough; may be "
        "repeated")  # fmt: skip
    add("--node_port", type=commandline.port_number, default=config.DispycosNodePort, metavar="N",
        help=f"port of nodes that are named without one (default: {config.DispycosNodePort})")  # fmt: skip
    add("--relay_nodes", action="store_true",
        help="ask every node, not only those of --node, for others near it")  # fmt: skip
    add("--ping_interval", type=commandline.a_time, default=0.0, metavar="SEC",
        help="look for nodes again and again, so often; 0: once, at the start")  # fmt: skip
    add("--pulse_interval", type=commandline.a_time, default=float(config.MaxPulseInterval), metavar="SEC",
        help="longest time between signs of life of a node, whatever a client asks for (default: "
        f"{config.MaxPulseInterval:g})")  # fmt: skip
    add("--zombie_period", type=commandline.a_time, default=10.0 * config.MaxPulseInterval, metavar="SEC",
        help="take the nodes from a client that ran nothing for so long (default: "
        f"{10 * config.MaxPulseInterval:g}); 0: never")  # fmt: skip
    add("--http", nargs="?", type=_place, const=(None, None), metavar="HOST[:PORT]",
        help=f"serve the web monitor there (default: loopback, port {listening.PORT}; port 0: a free one); "
        "the address to open is printed")  # fmt: skip
    add("--http_readonly", action="store_true", help="nobody may act in the web monitor, only look")
    add("--allow_host", action="append", default=[], metavar="NAME",
        help="a further name under which browsers may ask for the web monitor; may be repeated")  # fmt: skip
    add("--redact", type=_pattern, action="append", default=[], metavar="PATTERN",
        help="web monitors of clients show *** for arguments of such names (as 'pass*'; capitals make no "
        "difference); may be repeated. This one never has any")  # fmt: skip
    add("--metrics_public", action="store_true", help="/metrics of the web monitor needs no token")
    parser.process_options()
    add("--clean", action="store_true", help="forget the clients and files that an earlier scheduler left")
    return parser


def _settings(parser: Parser, options: argparse.Namespace) -> SharedSettings:
    if not options.pulse_interval:
        parser.error("--pulse_interval 0 is no time between signs of life")
    if not options.node_port:
        parser.error("--node_port 0 is no port that a node listens at")
    if options.http is None:
        for name in ("http_readonly", "allow_host", "metrics_public"):
            if getattr(options, name):
                parser.error(f"--{name} is about the web monitor: it needs --http")
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
        hosts=tuple(addresses.bind_addresses(options.hosts)),
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
