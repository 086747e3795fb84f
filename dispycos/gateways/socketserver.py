"""The program that gateways with `socket=HOST:PORT` are opened at.

    python -m dispycos.gateways.socketserver [HOST:PORT] [--secret_file FILE]
    python -m dispycos.gateways.socketserver --script > socketserver.py

The second writes the first as one file with all that it needs inside: it runs with any Python
from 3.11 on where nothing else is installed. Each gateway is a process of its own. Whoever
connects must prove the key before anything of him is read; what is said then can't be changed on
the way, but it can be overheard: use ssh where that matters.

Rows EX-04, EX-29; GN-01.
"""

from __future__ import annotations

if __name__ == "__main__":  # before what takes long to import
    from dispycos import entry

    raise SystemExit(entry.run("dispycos.gateways.socketserver"))

import base64
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dispycos import keyfile
from dispycos.errors import DispycosError
from dispycos.gateways.listener import BACKLOG, Listener
from dispycos.keyfile import KeySource
from dispycos.launch.target import Target
from dispycos.net.keys import Keyring
from dispycos.net.listening import listening_at
from dispycos.usage import Described
from dispycos.wording import sentence

log = logging.getLogger("dispycos")

DEFAULT: Final = "127.0.0.1:8888"

_LINE: Final = 110  # characters of packed modules in a line of the script
_NAME: Final = "dispycos.gateways.socketserver"
_SCRIPT: Final = '''\
#!/usr/bin/env python3
"""A socket server for gateways of dispycos, with all that it needs inside; made by
`python -m {name} --script`. See its --help."""
import sys

if sys.version_info < (3, 11):
    sys.exit("this needs Python 3.11 or newer, not %d.%d" % sys.version_info[:2])

import base64, zlib

{travelled}

sys.meta_path.insert(0, Travelled(eval(zlib.decompress(base64.b85decode("""
{packed}
""".replace("\\n", ""))))))
from {name} import main

sys.exit(main())
'''


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; answers the exit code."""
    options = _parser().parse_args(argv)
    try:
        if options.script:
            sys.stdout.write(script())
            return 0
        logging.basicConfig(
            level=logging.DEBUG if options.debug else logging.INFO,
            format="%(asctime)s %(levelname)s %(message)s",
        )
        return serve(options.address, options.secret_file)
    except (DispycosError, OSError, ValueError) as exc:
        print(f"{_program()}: {sentence(exc)}", file=sys.stderr)
        return 1


def _program() -> str:
    return os.path.basename(sys.argv[0]) or _NAME


def _parser() -> Described:
    parser = Described(
        prog=_program(),
        about="Open gateways to this machine for whoever has the key: each is a process of its own, in which "
        "that one may run any code. What is said can't be changed on the way, but it can be overheard.",
        examples=(
            ("python -m dispycos.gateways.socketserver", "for programs of this machine"),
            (
                "python -m dispycos.gateways.socketserver 0.0.0.0:8888",
                "makegateway('socket=host:8888') elsewhere",
            ),
            ("python -m dispycos.gateways.socketserver --script > server.py", "one file, for a bare Python"),
        ),
        files=keyfile.TOLD,
        statuses={0: "a signal ended it", 1: "it can't listen there", 2: "wrong usage"},
    )
    parser.add_argument(
        "address",
        nargs="?",
        default=DEFAULT,
        metavar="HOST:PORT",
        help=f"where to listen (default: {DEFAULT}); port 0: any free one",
    )
    parser.add_argument(
        "--secret_file",
        "--secret-file",
        metavar="FILE",
        help="serve who has the key in this file (default: the account's own; made if there is none)",
    )
    parser.add_argument("--script", action="store_true", help="print this program as one file, and end")
    parser.add_argument("-d", "--debug", action="store_true", help="log debug messages")
    return parser


def serve(address: str, secret_file: str | None) -> int:
    """Serve the gateways of those who have the key. ValueError, OSError or InvalidKey if that can't be."""
    target = Target.parse(address, any_port=True)
    if target.port is None or target.user:
        raise ValueError(f"{address[:40]!r} is no HOST:PORT to listen at")
    source = KeySource("", secret_file)
    keys = _Keys(source)
    listening = listening_at(target.host, target.port, BACKLOG)
    listener = Listener([listening], keys.now)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: listener.close())
    host, port = listening.getsockname()[:2]
    # For who started us and waits for it.
    print(f"Listening on {Target(host, port=port)}", flush=True)
    log.info("key %s", keys.now().own.fingerprint)
    listener.serve()
    return 0


class _Keys:
    """The keys of a file, taken up again when it changes."""

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._keyring = source.load()

    def now(self) -> Keyring:
        """Those that hold now; a file that is no good leaves the ones before."""
        if self._source.changed:
            try:
                self._keyring = self._source.load()
            except (DispycosError, OSError) as exc:
                log.warning("the keys stay as they are: %s", exc)
        return self._keyring


def script() -> str:
    """This program as one file."""
    # Inside of such a file there is neither of both.
    try:
        from dispycos.launch.sources import ROOT, pack_sources
    except ModuleNotFoundError:
        raise ValueError("this is the script already: copy it") from None

    packed = base64.b85encode(pack_sources(_NAME)).decode()
    lines = "\n".join(packed[start : start + _LINE] for start in range(0, len(packed), _LINE))
    travelled = Path(ROOT, "launch", "travelled.py").read_text(encoding="utf-8")
    return _SCRIPT.format(name=_NAME, travelled=travelled, packed=lines)
