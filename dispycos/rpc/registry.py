"""The registry: which servers there are, by name. `python -m dispycos.rpc.registry`.

Servers and programs prove the key before anything they say is heard.
"""

from __future__ import annotations

if __name__ == "__main__":  # before what takes long to import
    from dispycos import entry

    raise SystemExit(entry.run("dispycos.rpc.registry"))

import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from dispycos import keyfile
from dispycos.arguments import port as port_number
from dispycos.errors import DispycosError
from dispycos.net.listening import EVERYWHERE
from dispycos.rpc.connection import Connection
from dispycos.rpc.keys import Key
from dispycos.rpc.listening import check_host
from dispycos.rpc.registration import REGISTRY_PORT
from dispycos.rpc.server import ThreadedServer
from dispycos.rpc.services import Service
from dispycos.usage import Described, a_host, a_port
from dispycos.wording import sentence

log = logging.getLogger("dispycos")

_MOST_NAMES = 100  # of one connection


class Book:
    """Who is registered. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, dict[Any, tuple[str, int]]] = {}  # name -> connection -> address

    def add(self, names: Sequence[str], whose: Any, address: tuple[str, int]) -> None:
        """Known from now on, as long as that connection lives. ValueError for too many names."""
        with self._lock:
            held = {name for name, entries in self._entries.items() if whose in entries}
            if len(held.union(names)) > _MOST_NAMES:
                raise ValueError(f"one connection registers at most {_MOST_NAMES} names")
            for name in names:
                self._entries.setdefault(name, {})[whose] = address

    def remove(self, whose: Any) -> None:
        """That connection is gone."""
        with self._lock:
            for name, entries in list(self._entries.items()):
                entries.pop(whose, None)
                if not entries:
                    del self._entries[name]

    def find(self, name: str) -> list[tuple[str, int]]:
        """The addresses of that name, the newest last."""
        with self._lock:
            return list(dict.fromkeys(self._entries.get(name, {}).values()))

    def names(self) -> list[str]:
        """All names, sorted."""
        with self._lock:
            return sorted(self._entries)


class RegistryService(Service):
    """What a registry offers to one connection."""

    ALIASES = ("REGISTRY",)
    book: ClassVar[Book]

    def on_connect(self, conn: Connection) -> None:
        """It may register."""
        self._conn = conn

    def on_disconnect(self, conn: Connection) -> None:
        """What it registered is forgotten."""
        self.book.remove(conn)

    def exposed_register(self, names: list[str], host: str, port: int) -> None:
        """A server listens there. ValueError for what is no name or address."""
        if type(host) is not str or not names or len(names) > _MOST_NAMES:
            raise ValueError(f"a server registers 1 to {_MOST_NAMES} names and a host")
        if host in ("", *EVERYWHERE):
            host = self._conn.source  # where it is seen from here
        self.book.add([str(name).upper() for name in names], self._conn, (host, port_number("port", port)))
        log.info("%s is at %s:%s", ", ".join(map(str, names)), host, port)

    def exposed_discover(self, name: str) -> list[tuple[str, int]]:
        """The addresses of that name."""
        return self.book.find(str(name).upper())

    def exposed_list_services(self) -> list[str]:
        """All names."""
        return self.book.names()


class RegistryServer(ThreadedServer):
    """A registry, at loopback unless it is said; see `Server`."""

    def __init__(self, hostname: str | None = None, port: int = REGISTRY_PORT, *, key: Key = None) -> None:
        service = type("RegistryService", (RegistryService,), {"book": Book()})
        super().__init__(service, hostname, port, key=key)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; the exit code."""
    parser = Described(
        prog="python -m dispycos.rpc.registry",
        about="Know where services are, by their names: servers say so here, and "
        "rpc.connect_by_service asks.",
        examples=(
            ("python -m dispycos.rpc.registry", "for programs of this machine"),
            ("python -m dispycos.rpc.registry --host 0.0.0.0 -p 18811", "for those of other machines, too"),
        ),
        files=keyfile.TOLD,
        statuses={0: "a signal ended it", 1: "it can't listen there", 2: "wrong usage"},
    )
    parser.add_argument("-p", "--port", type=a_port, default=REGISTRY_PORT, metavar="N",
        help="port to listen at; 0: any free one (default: %(default)s)")  # fmt: skip
    parser.add_argument("--host", type=a_host, metavar="H",
        help="address to listen at; 0.0.0.0: everywhere (default: this machine alone)")  # fmt: skip
    parser.add_argument("--secret_file", metavar="FILE",
        help="believe only the key in this file (default: the account's own)")  # fmt: skip
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    check_host(parser, options.host)
    key = Path(options.secret_file) if options.secret_file else None
    try:
        server = RegistryServer(options.host, options.port, key=key)
    except (DispycosError, OSError, ValueError) as exc:
        print(f"{parser.prog}: {sentence(exc)}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    print(f"registry at {server.address}", flush=True)
    server.start()
    return 0
