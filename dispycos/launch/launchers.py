"""Launchers: from a specification to a far end that runs.

I/O half. Layer 3.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from dispycos.config import Limits
from dispycos.errors import HostNotFound
from dispycos.launch import container, opening, popen, ssh
from dispycos.launch import socket as socket_launcher
from dispycos.launch.child import Child
from dispycos.launch.install import Installed
from dispycos.launch.launched import Command, Launched, Started, opened
from dispycos.launch.opening import Errand
from dispycos.launch.spec import XSpec
from dispycos.launch.target import Target
from dispycos.launch.via import Carried, Carrier

START_TIME: Final = 30.0  # seconds for a Python to start, here or there
ASKED_TIME: Final = 120.0  # the same if a person may be asked for a pass phrase meanwhile

# Where code runs on another machine, unless `chdir=` says otherwise: below the home there, or below
# the folder of the socket server.
REMOTE_FOLDER: Final = "pyexecnet-cache"


def launch(
    spec: XSpec,
    errand: Errand,
    carrier: Carrier | None = None,
    host: Carrier | None = None,
    *,
    silent: bool = False,
) -> Launched:
    """The far end that a specification names, told its errand.

    carrier  the gateway of `via=`: what is started or dialled is so at its far end.
    host     the gateway of `installvia=`, at whose far end a socket server is started.
    silent   nobody is asked anything at our terminal, and no Ctrl-C there ends what is started.
    ValueError for a bad specification; HostNotFound says what was tried and what came of it;
    VersionMismatch names a Python that is too old; AuthenticationError.
    """
    kind = spec.kind
    errand = errand.with_options(**_options(spec))
    if kind == "socket":
        return _by_socket(spec, errand, carrier, host)
    if host is not None:
        raise ValueError(f"installvia= is for socket, not for {kind}")
    if kind == "popen":
        command = popen.command(spec)
        if carrier is None and spec.python is None:
            errand = errand.at_home()
    elif kind == "ssh":
        command = ssh.command(spec, silent=silent or carrier is not None)
    else:
        command = container.command(spec)
    timeout = ASKED_TIME if command.asks else START_TIME
    return opened(
        _start(command, carrier),
        lambda stream: opening.open_far_end(stream, errand, Limits(), timeout),
        command.name,
        timeout,
        command.address,
        becomes=errand.becomes,
    )


def _by_socket(spec: XSpec, errand: Errand, carrier: Carrier | None, host: Carrier | None) -> Launched:
    if host is None:
        return socket_launcher.launch(spec, errand, START_TIME, carrier=carrier)
    target = (
        Target("127.0.0.1", port=0) if spec.socket is True else socket_launcher.target_of(spec, any_port=True)
    )
    installed = Installed(host, target.host, target.port or 0, START_TIME)
    try:
        launched = socket_launcher.launch(
            spec, errand, START_TIME, carrier=carrier, address=installed.address, keyring=installed.keyring
        )
    except BaseException:
        installed.kill()
        raise
    return installed.serving(launched)


def _options(spec: XSpec) -> dict[str, Any]:
    # What takes effect at the far end before anything runs there.
    options: dict[str, Any] = {"env": spec.env}
    folder = spec.chdir or (REMOTE_FOLDER if spec.kind in ("ssh", "socket") else None)
    for name, value in (("chdir", folder), ("nice", spec.nice)):
        if value is not None:
            options[name] = value
    if spec.dont_write_bytecode:
        options["dont_write_bytecode"] = True
    return options


def _start(command: Command, carrier: Carrier | None) -> Started:
    if carrier is not None:
        return Carried(carrier, command.words, apart=command.apart)
    words = [command.words[0] or sys.executable, *command.words[1:]]
    try:
        return Child(words, keep_errors=command.keep_errors, apart=command.apart)
    except OSError as exc:
        text = f"{words[0]} can't be started: {exc.strerror}"
        raise HostNotFound(f"{text}; {command.advice}" if command.advice else text) from None
