"""The command line of a node: `dispycosnode`, `dispycosnode.py`, `python -m dispycos.node`.

Options are those of the founding document and newer ones.

Layer 8. Rows DN-01 to DN-09, DN-12 to DN-19, DN-24 to DN-31.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import sys
from collections.abc import Sequence

from dispycos import commandline, config, keyfile, usage, validation
from dispycos.commandline import Parser
from dispycos.configuration.names import BadConfiguration
from dispycos.errors import DispycosError
from dispycos.keyfile import KeySource
from dispycos.model import Location
from dispycos.net import addresses
from dispycos.net.rotation import Rotation
from dispycos.node import account, saved
from dispycos.node.account import Account
from dispycos.node.daemon import Daemon, serve
from dispycos.node.hours import minute_now, service_times
from dispycos.node.printed import ready_line
from dispycos.node.processors import processors, server_count
from dispycos.node.rights import Rights, RightsByBits
from dispycos.node.settings import NodeSettings, host_name, port_list
from dispycos.node.workspace import open_workspace
from dispycos.supervision import Supervisor
from dispycos.wording import many, sentence

_EXAMPLES = (
    ("dispycosnode", "a server for each processor, found by UDP"),
    ("dispycosnode -c -1 --peer head.example:9705", "leave one processor out, and reach for that scheduler"),
    ("dispycosnode --daemon --serve 1 &", "in the background, for one client"),
)
_FILES = (
    *keyfile.TOLD,
    *commandline.SETTINGS,
    (
        "DISPYCOS_NODE_CPUS, ..",
        "settings by variables: one for each option; `dispycos config node` shows all",
    ),
    ("$TMPDIR/dispycos-<uid>", "what clients send and write here, while they have the node"),
    ("TCP 9706 and up, UDP 9705", "ports of the node, of each of its servers, and of discovery"),
)


def main(argv: Sequence[str] | None = None, *, source: KeySource | None = None) -> int:
    """Run a node; answers its exit code.

    source  its keys; None: as the options say.
    """
    parser = make_parser()
    try:
        # Before anything is opened or read: that is for who started the node.
        bits = account.by_bits()
        rights = Rights() if bits is None else RightsByBits()
    except DispycosError as exc:
        print(f"dispycosnode: {sentence(exc)}", file=sys.stderr)
        return 1
    arguments = commandline.normal(sys.argv[1:] if argv is None else argv)
    options = parser.parse_args(arguments)
    given = vars(make_parser(bare=True).parse_args(arguments))
    try:
        more = saved.load(options.config, given) if options.config is not None else []
        options = parser.parse_args(parser.configured("node", [*more, *arguments]))
    except (saved.BadFile, BadConfiguration) as exc:
        parser.error(str(exc))
    commandline.log_to_stderr(options.debug)

    def run() -> int:
        settings = _settings(parser, options)
        if options.save_config is not None:
            saved.save(options.save_config, given)
            return 0
        settings = _with_bits(parser, settings, bits)
        loopback = all(addresses.is_loopback(host) for host in settings.hosts)
        as_root = bits.uid == 0 if bits is not None else os.geteuid() == 0 and not settings.run_as
        if as_root and not loopback and not options.allow_root:
            parser.error(
                f"tasks of clients would run as root here, and other machines reach {settings.hosts[0]}: "
                "start this node as another user, with --run_as USER, with --host 127.0.0.1 (for programs of "
                "this machine alone), or with --allow_root"
            )
        of_clients = account.told(settings.run_as) if settings.run_as else None
        keys = source or parser.key_source(options, settings.hosts)
        return _run(settings, of_clients, rights, keys)

    return commandline.carry_out("dispycosnode", run)


def _with_bits(parser: Parser, settings: NodeSettings, bits: Account | None) -> NodeSettings:
    if bits is None:
        return settings
    if settings.run_as:
        parser.error(
            f"--run_as {settings.run_as} and the set-user-id bits of {sys.executable} name two accounts"
        )
    if bits.uid == 0:
        print(
            f"dispycosnode: tasks of clients run as root, for {sys.executable} is root's and has set-user-id "
            "bits: give it to an account that has no other use",
            file=sys.stderr,
        )
    return dataclasses.replace(settings, run_as=bits.spec)


def _run(settings: NodeSettings, of_clients: Account | None, rights: Rights, source: KeySource) -> int:
    validation.forbid_unpickling("the node daemon")
    supervisor = Supervisor.asked()
    keyring = source.load()
    keyfile.no_core_dumps()
    workspace = open_workspace(settings.dest_path, clean=settings.clean, account=of_clients, rights=rights)
    for notice in workspace.notices:
        print(f"dispycosnode: {notice}", file=sys.stderr)

    def ready(daemon: Daemon, location: Location) -> None:
        rotation = Rotation(daemon.endpoint, source, daemon.renewed)
        rotation.start()
        rotation.listen_to_hangup(at_terminal=settings.commands)
        daemon.say(ready_line(settings.name, location, settings.servers))

    with commandline.port_of("--tcp_ports"):
        return asyncio.run(serve(settings, keyring, workspace, ready, supervisor=supervisor))


def make_parser(bare: bool = False) -> Parser:
    """The options of a node. `bare`: it answers only what is given, as it was typed."""
    parser = Parser(
        bare=bare,
        prog="dispycosnode",
        usage="dispycosnode [options]",
        about="Give this machine's processors to dispycos clients: a server process for each. At its "
        "terminal it takes the commands status, close, quit and terminate. `dispycos doctor` says why a "
        "node is not found.",
        examples=_EXAMPLES,
        files=_FILES,
        statuses=commandline.DAEMON_STATUSES,
    )
    add_options(parser)
    return parser


def add_options(parser: Parser) -> None:
    """The options of a node."""
    add = parser.option
    parser.section("what it gives, to whom and when")
    add("-c", "--cpus", type=commandline.whole, default=0, metavar="N",
        help="servers to run; below 0: processors to leave out (default: one for each "
        "processor)")  # fmt: skip
    add("--peer", action="append", type=commandline.peer, default=[], metavar="HOST:PORT",
        help="contact this scheduler or client; may be repeated")  # fmt: skip
    add("--peer_file", type=commandline.peer_file, default=[], metavar="FILE",
        help="contact the schedulers and clients in FILE too, a HOST:PORT a line")  # fmt: skip
    add("--scheduler_port", type=usage.a_port, default=0, metavar="N",
        help="look for a scheduler at this port of this machine, too (default: none)")  # fmt: skip
    add("--serve", type=commandline.whole, default=-1, metavar="N",
        help="exit after N clients (default: -1, never)")  # fmt: skip
    times = {"type": commandline.time_of_day, "metavar": "HH:MM"}
    add("--service_start", **times, help="time of day from which clients are served (default: now)")
    add("--service_stop", **times, help="time of day from which no new tasks are taken")
    add("--service_end", **times, help="time of day when running tasks are ended")
    add("--min_pulse_interval", type=commandline.a_time, metavar="SEC",
        help="shortest time between signs of life that a client may ask for (default: "
        f"{config.MinPulseInterval:g})")  # fmt: skip
    add("--max_pulse_interval", type=commandline.a_time, metavar="SEC",
        help=f"the longest (default: {config.MaxPulseInterval:g})")  # fmt: skip
    add("--zombie_period", type=commandline.a_time, default=0.0, metavar="SEC",
        help="close a client that ran nothing here for so long; 0: never (default)")  # fmt: skip
    add("--run_as", metavar="USER", default="",
        help="run tasks of clients as this account; the node itself is started as root")  # fmt: skip
    add("--allow_root", action="store_true",
        help="run tasks of clients as root, though other machines reach this node")  # fmt: skip
    parser.network_options("node")
    parser.section("addresses of a node")
    add("--tcp_ports", "--node_ports", action="append", type=commandline.ports, default=[], metavar="N-M",
        help="ports: the first for the node, the next for its servers, and those above the highest if they "
        f"are too few; may be repeated; 0: any (default: {config.DispycosNodePort} and those above "
        "it)")  # fmt: skip
    add("--discover_peers", action="store_true", help="announce this node to all when it starts")
    add("--ping_interval", type=commandline.a_time, default=0.0, metavar="SEC",
        help="announce this node to all again and again, so often; 0: never (default)")  # fmt: skip
    parser.process_options()
    add("--clean", action="store_true", help="end processes that an earlier run left, and remove their files")
    add("--save_config", metavar="FILE", help="write the given options to FILE and exit; those of one node "
        "(addresses, name, secret) are left out")  # fmt: skip
    add("--config", metavar="FILE", help="take options from FILE; the command line wins")


def _settings(parser: Parser, options: argparse.Namespace) -> NodeSettings:
    min_pulse = _given(options.min_pulse_interval, config.MinPulseInterval)
    max_pulse = _given(options.max_pulse_interval, config.MaxPulseInterval)
    if max_pulse < min_pulse:
        parser.error(f"--max_pulse_interval {max_pulse:g} is below --min_pulse_interval {min_pulse:g}")
    if options.serve < 1 and options.serve != -1:
        parser.error(f"--serve {options.serve} is neither -1 nor at least 1")
    announce = parser.announced(options)
    try:
        servers = server_count(options.cpus)
        ports = port_list(options.tcp_ports, servers, config.DispycosNodePort)
        certificates = commandline.certificates(options)
        times = service_times(options.service_start, options.service_stop, options.service_end, minute_now())
    except ValueError as exc:
        parser.error(str(exc))
    if options.cpus > processors():
        print(f"dispycosnode: {servers} servers share {many(processors(), 'processor')}", file=sys.stderr)
    limits = dataclasses.replace(
        config.limits(),
        max_file_bytes=options.max_file_size,
        unreachable_kept=max(10 * max_pulse, options.zombie_period),
    )
    if options.msg_timeout is not None:
        limits = dataclasses.replace(limits, request_timeout=options.msg_timeout)
    return NodeSettings(
        name=options.name or host_name(),
        hosts=parser.listens_at(options),
        announce=announce,
        certificates=certificates,
        servers=servers,
        ports=ports,
        dest_path=options.dest_path,
        clean=options.clean,
        run_as=_run_as(parser, options.run_as),
        udp_port=options.udp_port or None,
        multicast=options.ipv4_udp_multicast,
        discover=options.discover_peers,
        peers=(*options.peer, *options.peer_file),
        scheduler_port=options.scheduler_port,
        ping_interval=options.ping_interval,
        min_pulse=min_pulse,
        max_pulse=max_pulse,
        zombie_period=options.zombie_period,
        serve=options.serve,
        hours=times,
        commands=not options.daemon,
        limits=limits,
    )


def _run_as(parser: Parser, name: str) -> str:
    if name and os.geteuid() != 0:
        parser.error(f"--run_as {name} needs root: only root can be another account")
    if name:
        try:
            account.find(name)
        except ValueError as exc:
            parser.error(str(exc))
    return name


def _given(value: float | None, default: float) -> float:
    return default if value is None else value
