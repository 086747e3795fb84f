"""The node's end of `node.embedded`: settings and key come over an inherited descriptor.

I/O half. Layer 5. Rules SE-06, R-11.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import Any

from dispycos import keyfile, log, validation
from dispycos.config import Limits
from dispycos.errors import DispycosError
from dispycos.model import Location
from dispycos.net.keys import keyring_of
from dispycos.net.rotation import Rotation
from dispycos.net.tls import CertificateFiles
from dispycos.node.daemon import Daemon, serve
from dispycos.node.fresh import FreshZygote
from dispycos.node.pipe import LoopPipe, Pipe, Said
from dispycos.node.settings import NodeSettings
from dispycos.node.workspace import open_workspace

_LOOK_FOR_PARENT = 1.0  # seconds between looks at the program, where the system has no pidfds


def run(descriptor: int, ahead: FreshZygote | None = None) -> int:
    """Be the node of the program at the other end; answers the exit code.

    ahead  a zygote for its first client, started already; it ends with this process.
    """
    sock = socket.socket(fileno=descriptor)
    sock.set_inheritable(False)
    pipe = Pipe(sock, max_body=0)
    said = pipe.hear()
    if said is None or said.what != "start":
        return 0  # the program is gone
    validation.forbid_unpickling("the node daemon")
    values = said.values
    keyfile.no_core_dumps()
    keyring = keyring_of([bytes.fromhex(values.pop("key"))])
    settings = _settings(values)
    _log_as_the_program(settings.name, debug=values["debug"])
    try:
        workspace = open_workspace(settings.dest_path)
        return asyncio.run(_serve(sock, values["parent"], settings, keyring, workspace, ahead))
    except (DispycosError, OSError) as exc:
        pipe.say(Said("failed", {"reason": str(exc)}))
        return 1


def _log_as_the_program(name: str, *, debug: bool) -> None:
    # Our lines stand among its own.
    level = logging.DEBUG if debug else logging.WARNING
    text = log.FORMAT.replace("%(name)s", f"dispycos node {name.replace('%', '%%')}")
    logging.basicConfig(level=level, format=text, datefmt=log.DATE_FORMAT)


def _settings(values: dict[str, Any]) -> NodeSettings:
    servers = values["servers"]
    return NodeSettings(
        name=values["name"],
        hosts=tuple(values["hosts"]),
        servers=servers,
        ports=(0,) * (servers + 1),
        dest_path=values["dest_path"],
        certificates=CertificateFiles(**values["certificates"]) if values["certificates"] else None,
        min_pulse=values["min_pulse"],
        max_pulse=values["max_pulse"],
        commands=False,
        limits=Limits(**values["limits"]) if values["limits"] else Limits(),
    )


async def _serve(
    sock: socket.socket,
    parent: int,
    settings: NodeSettings,
    keyring: Any,
    workspace: Any,
    ahead: FreshZygote | None,
) -> int:
    def ready(daemon: Daemon, location: Location) -> None:
        _end_with(parent, daemon)
        Rotation(daemon.endpoint, None, daemon.renewed).start()
        pipe = LoopPipe(
            asyncio.get_running_loop(),
            sock,
            # There is one thing to be said, and its name says it.
            lambda said: daemon.drain() if said.what == "drain" else None,
            # The program is gone or wants no more: nothing here is worth a grace.
            lambda reason: daemon.end(0),
        )
        where = {"addr": location.addr, "port": location.port}
        pipe.say(Said("ready", {**where, "incarnation": daemon.endpoint.incarnation.hex()}))

    return await serve(settings, keyring, workspace, ready, ahead)


def _end_with(parent: int, daemon: Daemon) -> None:
    """End when the program has ended, also where a forked child of it keeps its end of the pair open.

    By its process, not by a parent-death signal: that would come when the thread that started
    us ends, and any thread may start a LocalCluster.
    """
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(parent)
    except (AttributeError, OSError):
        descriptor = -1
    if os.getppid() != parent:
        daemon.end(0)
    elif descriptor < 0:
        loop.call_later(_LOOK_FOR_PARENT, _end_with, parent, daemon)
    else:

        def ended() -> None:
            loop.remove_reader(descriptor)
            daemon.end(0)

        loop.add_reader(descriptor, ended)
