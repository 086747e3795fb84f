"""The command line of a node: `dispycosnode`, `dispycosnode.py`, `python -m dispycos.node`.

Options are those of the founding document and newer ones; `_` and `-` are the same in them.
Wrong usage ends with 2, anything that can't be done with 1 and one sentence.

Layer 8. Rows DN-01 to DN-09, DN-12 to DN-19, DN-24 to DN-31.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from dispycos import config, keyfile
from dispycos.arguments import port, seconds
from dispycos.errors import DispycosError
from dispycos.model import Location, host_and_port
from dispycos.net import addresses
from dispycos.net.keys import Keyring
from dispycos.node import inherited, saved, ties
from dispycos.node.daemon import Daemon, ready_line, serve
from dispycos.node.hours import minute_now, service_times
from dispycos.node.settings import NodeSettings, host_name, port_list, processors, server_count
from dispycos.node.workspace import open_workspace

SECRET_HELP = (
    "talk only to programs with this secret; other users of this machine can see it in the list of "
    "processes, so prefer --secret_file"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a node; answers its exit code."""
    parser = _parser()
    arguments = _normal(sys.argv[1:] if argv is None else argv)
    options = parser.parse_args(arguments)
    given = vars(_parser(bare=True).parse_args(arguments))
    if options.config is not None:
        try:
            options = parser.parse_args([*saved.load(options.config, given), *arguments])
        except saved.BadFile as exc:
            parser.error(str(exc))
    if options.inherit is not None:
        return inherited.run(options.inherit)
    logging.basicConfig(
        level=logging.DEBUG if options.debug else logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        settings = _settings(parser, options)
        if options.save_config is not None:
            saved.save(options.save_config, given)
            return 0
        loopback = all(addresses.is_loopback(host) for host in settings.hosts)
        if os.geteuid() == 0 and not loopback and not options.allow_root:
            raise DispycosError(
                f"tasks of clients would run as root here, and other machines reach {settings.hosts[0]}: "
                "start this node as another user, or with --allow_root"
            )
        keyring = keyfile.load(options.secret, options.secret_file, loopback_only=loopback)
        return _run(settings, keyring)
    except (DispycosError, OSError, ValueError) as exc:
        print(f"dispycosnode: {_sentence(exc)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(settings: NodeSettings, keyring: Keyring) -> int:
    ties.no_core_dumps()
    workspace = open_workspace(settings.dest_path, clean=settings.clean)
    for notice in workspace.notices:
        print(f"dispycosnode: {notice}", file=sys.stderr)

    def ready(daemon: Daemon, location: Location) -> None:
        daemon.say(ready_line(settings, location))

    return asyncio.run(serve(settings, keyring, workspace, ready))


def _sentence(exc: BaseException) -> str:
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    if isinstance(exc, OSError) and exc.filename:
        text = f"{exc.filename}: {text}"
    return " ".join(text.split())


def _normal(arguments: Sequence[str]) -> list[str]:
    """Long options with `_` for `-`: both spellings are the same."""
    found: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*found, *arguments[number:]]
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            argument = "--" + name[2:].replace("-", "_") + equals + value
        found.append(argument)
    return found


def _parser(bare: bool = False) -> argparse.ArgumentParser:
    """The parser; bare: one that answers only what is given, as it was typed."""
    parser = argparse.ArgumentParser(
        prog="dispycosnode",
        description="Give this machine's processors to dispycos clients.",
        allow_abbrev=False,
    )

    def add(*names: str, **more: Any) -> None:
        if bare:
            more.pop("type", None)
            more["default"] = argparse.SUPPRESS
        parser.add_argument(*names, **more)

    add(
        "-c",
        "--cpus",
        type=int,
        default=0,
        metavar="N",
        help="servers to run; below 0: processors to leave out",
    )
    add("-i", "--ip_addr", "--host", dest="hosts", action="append", default=[], metavar="ADDR",
        help="address or host name to use; may be repeated")  # fmt: skip
    add("--ext_ip_addr", "--ext_host", dest="announce", action="append", default=[], metavar="ADDR",
        help="address that others reach this node by, where it differs (NAT)")  # fmt: skip
    add("-u", "--udp_port", type=_udp_port, default=config.NetPort, metavar="N",
        help="UDP port of discovery; 0: no UDP")  # fmt: skip
    add("--ipv4_udp_multicast", action="store_true", help="multicast instead of broadcast on IPv4")
    add("--discover_peers", action="store_true", help="announce this node to all when it starts")
    add("-n", "--name", default="", help="name of the node (default: host name)")
    add("--dest_path", metavar="DIR", help="directory for all files (default: $TMPDIR/dispycos-<uid>)")
    add("--max_file_size", type=_size, default=0, metavar="N[kKmMgGtT]", help="refuse larger files")
    add("-s", "--secret", default="", help=SECRET_HELP)
    add("--secret_file", metavar="FILE", help="talk only to programs with the key in this file")
    add("--min_pulse_interval", type=_seconds, metavar="SEC", help="shortest pulse interval of a client")
    add("--max_pulse_interval", type=_seconds, metavar="SEC", help="longest pulse interval of a client")
    add("--zombie_period", type=_seconds, default=0.0, metavar="SEC",
        help="close a client that ran nothing here for so long; 0: never")  # fmt: skip
    add("-d", "--debug", action="store_true", help="log debug messages")
    add("--tcp_ports", "--node_ports", action="append", type=_ports, default=[], metavar="N-M",
        help="ports: the first for the node, the next for its servers; may be repeated")  # fmt: skip
    add("--serve", type=int, default=-1, metavar="N", help="exit after N clients; -1: never")
    add("--service_start", metavar="HH:MM", help="time of day from which clients are served; default: now")
    add("--service_stop", metavar="HH:MM", help="time of day from which no new tasks are taken")
    add("--service_end", metavar="HH:MM", help="time of day when running tasks are ended")
    add("--daemon", action="store_true", help="don't read commands from standard input")
    add("--clean", action="store_true", help="end processes that an earlier run left, and remove their files")
    add("--peer", action="append", type=_peer, default=[], metavar="HOST:PORT",
        help="contact this scheduler or client; may be repeated")  # fmt: skip
    add("--peer_file", type=_peer_file, default=[], metavar="FILE",
        help="contact the schedulers and clients in FILE too, a HOST:PORT a line")  # fmt: skip
    add("--ping_interval", type=_seconds, default=0.0, metavar="SEC",
        help="announce this node to all again and again, so often; 0: never")  # fmt: skip
    add("--allow_root", action="store_true",
        help="run tasks of clients as root, though other machines reach this node")  # fmt: skip
    add("--msg_timeout", type=_seconds, metavar="SEC", help="time for a question to a peer")
    add("--save_config", metavar="FILE", help="write the given options to FILE and exit; those of one node "
        "(addresses, name, secret) are left out")  # fmt: skip
    add("--config", metavar="FILE", help="take options from FILE; the command line wins")
    add("--inherit", type=int, help=argparse.SUPPRESS)  # node.embedded
    return parser


def _settings(parser: argparse.ArgumentParser, options: argparse.Namespace) -> NodeSettings:
    min_pulse = _given(options.min_pulse_interval, config.MinPulseInterval)
    max_pulse = _given(options.max_pulse_interval, config.MaxPulseInterval)
    if max_pulse < min_pulse:
        parser.error(f"--max_pulse_interval {max_pulse:g} is below --min_pulse_interval {min_pulse:g}")
    if options.serve < 1 and options.serve != -1:
        parser.error(f"--serve {options.serve} is neither -1 nor at least 1")
    external = list(dict.fromkeys(filter(None, options.announce)))
    if len(external) > 1:
        # A pair for each --ip_addr would promise more than there is: one address is announced,
        # also of a node that listens at several.
        parser.error(
            f"--ext_ip_addr names {len(external)} addresses, {' and '.join(external)}, but a node "
            "announces one: give the one that clients reach it by"
        )
    try:
        servers = server_count(options.cpus)
        ports = port_list(options.tcp_ports, servers, config.DispycosNodePort)
        times = service_times(options.service_start, options.service_stop, options.service_end, minute_now())
    except ValueError as exc:
        parser.error(str(exc))
    if options.cpus > processors():
        print(f"dispycosnode: {servers} servers share {processors()} processors", file=sys.stderr)
    limits = dataclasses.replace(
        config.limits(),
        max_file_bytes=options.max_file_size,
        unreachable_kept=max(10 * max_pulse, options.zombie_period),
    )
    if options.msg_timeout is not None:
        limits = dataclasses.replace(limits, request_timeout=options.msg_timeout)
    return NodeSettings(
        name=options.name or host_name(),
        hosts=tuple(addresses.bind_addresses(options.hosts)),
        announce=addresses.resolve(external[0]) if external else "",
        servers=servers,
        ports=ports,
        dest_path=options.dest_path,
        clean=options.clean,
        udp_port=options.udp_port or None,
        multicast=options.ipv4_udp_multicast,
        discover=options.discover_peers,
        peers=(*options.peer, *options.peer_file),
        ping_interval=options.ping_interval,
        min_pulse=min_pulse,
        max_pulse=max_pulse,
        zombie_period=options.zombie_period,
        serve=options.serve,
        hours=times,
        commands=not options.daemon,
        limits=limits,
    )


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


# Values of options. ValueError becomes a usage error of argparse.


def _seconds(text: str) -> float:
    try:
        return seconds("it", float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None


def _ports(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a port nor a range N-M")
    low, high = int(found[1]), int(found[2] or found[1])
    if not 1 <= low <= high <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of ports between 1 and 65535")
    return low, high


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)([kKmMgGtT]?)", text)
    if not found or int(found[1]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 100, 10k, 5M or 2G")
    return int(found[1]) << (10 * " kmgt".index(found[2].lower() or " "))


def _udp_port(text: str) -> int:
    try:
        return port("it", int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no port between 0 and 65535") from None


def _peer(text: str) -> tuple[str, int]:
    try:
        host, number = host_and_port(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None
    if number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return host, number


def _peer_file(path: str) -> list[tuple[str, int]]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.partition("#")[0].strip() for line in file]
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise argparse.ArgumentTypeError(f"{path} can't be read: {reason}") from None
    peers = []
    for number, line in enumerate(lines, 1):
        if line:
            try:
                peers.append(_peer(line))
            except argparse.ArgumentTypeError as exc:
                raise argparse.ArgumentTypeError(f"{path}, line {number}: {exc}") from None
    return peers
