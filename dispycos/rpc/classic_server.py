"""The classic server: `dispycos-classic` or `python -m dispycos.rpc.classic_server`.

Whoever proves the account's key may do here whatever the account may.
"""

from __future__ import annotations

if __name__ == "__main__":  # before what takes long to import
    from dispycos import entry

    raise SystemExit(entry.run("dispycos.rpc.classic_server"))

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dispycos import keyfile
from dispycos.errors import DispycosError
from dispycos.rpc.classic import DEFAULT_PORT
from dispycos.rpc.listening import check_host
from dispycos.rpc.private import connect_stdpipes
from dispycos.rpc.server import Server, ThreadedServer
from dispycos.rpc.servers import ForkingServer, OneShotServer
from dispycos.rpc.slave import ClassicService
from dispycos.usage import Described, a_host, a_port
from dispycos.wording import sentence

_PROGRAM = "dispycos-classic"
_MODES: dict[str, type[Server]] = {
    "threaded": ThreadedServer,
    "forking": ForkingServer,
    "oneshot": OneShotServer,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; the exit code."""
    parser = _parser()
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    check_host(parser, options.host)
    for name in ("keyfile", "cafile", "vdb"):
        if getattr(options, name) and not options.certfile:
            parser.error(f"--{name} is of no use without --certfile, by which there is TLS")
    logging.basicConfig(
        level=logging.WARNING if options.quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    try:
        return _serve(options)
    except (DispycosError, OSError, ValueError) as exc:
        print(f"{_PROGRAM}: {sentence(exc)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> Described:
    parser = Described(
        prog=_PROGRAM,
        about="Serve this Python to who has the account's key: its modules and names, code and files. "
        "Whoever proves the key may do here whatever the account may. Also "
        "`python -m dispycos.rpc.classic_server`.",
        examples=(
            ("dispycos-classic", "for programs of this machine; rpc.classic.connect('localhost') in them"),
            ("dispycos-classic --host 0.0.0.0 --certfile cert.pem", "for other machines, by TLS"),
            ("dispycos-classic -m oneshot -p 0", "for one connection, at a free port, which is printed"),
        ),
        files=keyfile.TOLD,
        statuses={0: "a signal ended it", 1: "it can't listen there, or a file is no good", 2: "wrong usage"},
    )  # fmt: skip
    parser.add_argument("-p", "--port", type=a_port, default=DEFAULT_PORT, metavar="N",
        help="port to listen at; 0: any free one (default: %(default)s)")  # fmt: skip
    parser.add_argument("--host", type=a_host, metavar="H",
        help="address to listen at; 0.0.0.0: everywhere (default: this machine alone)")  # fmt: skip
    parser.add_argument("-m", "--mode", choices=[*_MODES, "stdio"], default="threaded",
        help="serve connections by threads, by a process each, one only, or standard input and output "
        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--socket", metavar="PATH", help="listen at a unix socket instead")
    parser.add_argument("--certfile", metavar="FILE",
        help="PEM certificate: TLS; the key may be in the same file")  # fmt: skip
    parser.add_argument("--keyfile", metavar="FILE", help="PEM key of --certfile")
    parser.add_argument("--cafile", metavar="FILE",
        help="PEM certificates of authorities: believe only clients that have one of theirs")  # fmt: skip
    parser.add_argument("--vdb", metavar="FILE",
        help="users log in over TLS; python -m dispycos.rpc.vdb makes the file")  # fmt: skip
    parser.add_argument("--secret_file", metavar="FILE",
        help="believe only the key in this file (default: the account's own)")  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="log warnings and errors only")
    return parser


def _serve(options: argparse.Namespace) -> int:
    key = Path(options.secret_file) if options.secret_file else None
    if options.mode == "stdio":
        connect_stdpipes(ClassicService, key=key).serve_all()
        return 0
    server = _MODES[options.mode](
        ClassicService,
        options.host,
        options.port,
        socket_path=options.socket,
        key=key,
        certfile=options.certfile,
        keyfile=options.keyfile,
        ca_certs=options.cafile,
        vdb=options.vdb,
    )

    def end(number: int, frame: Any) -> None:
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    print(f"classic server at {server.address}", flush=True)
    server.start()
    return 0
