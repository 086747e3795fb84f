"""The easycluster command: makes keys and serves masters.

Layer 8. Rows EC-01 to EC-06.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import ipaddress
import os
import signal
import sys
from collections.abc import Sequence

from dispycos import keyfile
from dispycos.commandline import Parser, carry_out, log_to_stderr, port_of
from dispycos.easycluster import daemon, server
from dispycos.easycluster.service import Service
from dispycos.easycluster.ways import PORT
from dispycos.keyfile import KeySource
from dispycos.net import addresses
from dispycos.net.addresses import LOOPBACK
from dispycos.usage import a_host, a_port

_ABOUT = """\
Serve the masters of EasyCluster's vocabulary, or make the key that both sides need.

A master that proves the key may run any code here as this user. What travels is authenticated with the
key but not encrypted: between machines that others can listen to, let masters connect by ssh (Client(...,
ssh=True)) or through a tunnel.
"""

_SERVICE = {
    "install": "serve from the next boot on, with the other options given",
    "uninstall": "end that",
    "start": "start the service now",
    "stop": "stop the service",
}


def _parser() -> Parser:
    parser = Parser(
        prog="easycluster",
        about=_ABOUT,
        examples=(
            ("easycluster -g cluster.key", "makes a key: copy it to each machine, mode 600"),
            (
                "easycluster -S -k cluster.key -b 0.0.0.0 -a 192.168.1.0/24",
                "serves the masters of that network",
            ),
            ("easycluster --install -k cluster.key", "serves from the next boot on"),
        ),
        files=(
            *keyfile.TOLD,
            (
                "~/.config/systemd/user/easycluster.service",
                "what --install makes; root's is in /etc/systemd/system",
            ),
        ),
        statuses={0: "a signal ended it, or all is done", 1: "it can't be done", 2: "wrong usage"},
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("-g", "--generate-key", dest="generate", metavar="FILE", help="make a new key file")
    action.add_argument("-S", "--serve", action="store_true", help="serve until a signal ends it")
    for name, text in _SERVICE.items():
        action.add_argument(f"--{name}", dest="service", action="store_const", const=name, help=text)
    parser.add_argument("--user", action="store_true",
        help="the service of this account; default: root's is the system's")  # fmt: skip
    parser.add_argument("-O", "--overwrite", action="store_true", help="-g: replace the file if there is one")
    parser.add_argument(
        "-k", "--keyfile", metavar="FILE", help="file with the key (default: the account's own)"
    )
    parser.add_argument("-p", "--port", type=a_port, default=PORT, metavar="N",
        help=f"TCP port; 0: any free one (default: {PORT})")  # fmt: skip
    parser.add_argument("-b", "--bind", type=a_host, default=LOOPBACK, metavar="ADDR",
        help="address to listen at; 0.0.0.0: all (default: this machine only)")  # fmt: skip
    parser.add_argument("-a", "--allow", action="append", default=[], type=_network, metavar="CIDR",
        help="network from which masters may connect; may be repeated (default: all)")  # fmt: skip
    parser.add_argument("-c", "--class", dest="kind", type=_server_class, default=server.Server,
        metavar="CLASS",
        help="Server (default), QuietServer, which logs no calls, or MODULE.CLASS below one")  # fmt: skip
    parser.add_argument("-d", "--daemon", action="store_true", help="serve without the terminal")
    parser.add_argument("-L", "--logfile", default="", metavar="FILE", help="-d: where the log goes")
    parser.add_argument("-P", "--pidfile", default="", metavar="FILE", help="file for the process number")
    parser.add_argument("-v", "--verbose", action="store_true", help="log debug messages")
    return parser


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no network such as 192.168.1.0/24") from None


def _server_class(text: str) -> type[server.Server]:
    module, dot, name = text.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module) if dot else server, name)
    except (ImportError, AttributeError) as exc:
        raise argparse.ArgumentTypeError(f"there is no class {text!r}: {exc}") from None
    if not (isinstance(kind, type) and issubclass(kind, server.Server)):
        raise argparse.ArgumentTypeError(f"{text!r} is no class derived from Server")
    return kind


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.generate:
        return carry_out(parser.prog, lambda: _generate(options))
    if options.service:
        return carry_out(parser.prog, lambda: _service(options))
    log_to_stderr(options.verbose)
    return carry_out(parser.prog, lambda: _serve(parser, options))


def _generate(options: argparse.Namespace) -> int:
    keyfile.create(options.generate, replace=options.overwrite)
    print(f"made {options.generate}; copy it to every machine that connects or serves, mode 600")
    return 0


def _service(options: argparse.Namespace) -> int:
    service = Service(system=os.geteuid() == 0 and not options.user)
    match options.service:
        case "install":
            return service.install(_command(options))
        case "uninstall":
            return service.uninstall()
        case "start":
            return service.start()
        case _:
            return service.stop()


def _command(options: argparse.Namespace) -> list[str]:
    # With the key as a path: a service has another environment. It is read now, to fail here.
    keys = KeySource(secret_file=options.keyfile)
    keys.load()
    assert keys.path is not None
    kind = options.kind
    name = kind.__name__ if kind.__module__ == server.__name__ else f"{kind.__module__}.{kind.__name__}"
    words = [sys.executable, "-m", "dispycos.easycluster", "-S", "-k", os.path.abspath(keys.path)]
    words += ["-p", str(options.port), "-b", options.bind, "-c", name]
    for network in options.allow:
        words += ["-a", str(network)]
    return words + (["-v"] if options.verbose else [])


def _serve(parser: Parser, options: argparse.Namespace) -> int:
    with parser.value_of("bind", "it takes an address or a host name of this machine"):
        host = addresses.bind_addresses([options.bind])[0]
    # Paths are the user's; a daemon leaves the folder.
    path = os.path.abspath(options.keyfile) if options.keyfile else None
    pid_path = os.path.abspath(options.pidfile) if options.pidfile else ""
    log_path = os.path.abspath(options.logfile) if options.logfile else ""
    tell = daemon.detach() if options.daemon else None
    keyfile.no_core_dumps()
    keys = KeySource(secret_file=path, loopback_only=addresses.is_loopback(host))
    with port_of("--port"):
        listener: server.Server = options.kind(keys, host, options.port, allow=options.allow)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: listener.close())
    with daemon.pid_file(pid_path):
        with contextlib.suppress(BrokenPipeError):
            print(f"Listening on {listener.address}", flush=True)
        if tell is not None:
            daemon.ready(tell, log_path)
        listener.run()
    return 0
