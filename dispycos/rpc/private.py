"""Connections that need no address: to a child, a thread, through pipes or ssh."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any, Final

from dispycos import keyfile
from dispycos.errors import DispycosError, HostNotFound, PeerLost
from dispycos.launch import ssh
from dispycos.launch.child import Child
from dispycos.net.keys import Keyring
from dispycos.net.stream import Stream
from dispycos.rpc.connection import Connection
from dispycos.rpc.dialling import TIMEOUT, connect_stream, offer
from dispycos.rpc.keys import Key, keyring_of
from dispycos.rpc.services import VoidService
from dispycos.rpc.settings import Config

_START_TIME: Final = 30.0  # seconds for a program to start and to prove the key
_ENDING: Final = 3.0  # seconds for a child to end when its connection is closed


def connect_subproc(
    args: str | Sequence[str],
    service: Any = VoidService,
    config: Config = None,
    *,
    key: Key = None,
    timeout: float = _START_TIME,
) -> Connection:
    """Start a program here that serves its standard input and output, as `connect_stdpipes` does.

    It ends with the connection. HostNotFound says why there is none.
    """
    command = [args] if isinstance(args, str) else list(args)
    # Apart, for Ctrl-C at our terminal ends a call and not the program that answers calls.
    return _over_child(command, service, config, keyring_of(key, loopback=True), timeout, apart=True)


def ssh_connect(
    remote_machine: str,
    remote_port: int,
    service: Any = VoidService,
    config: Config = None,
    *,
    key: Key = None,
    ssh_config: str | None = None,
    timeout: float = _START_TIME,
) -> Connection:
    """Connect through ssh to a server that listens at loopback of another machine.

    remote_machine  as a gateway's `ssh=`: `[user@]host[:port]`, after some of ssh's options.
    ssh_config      a file in place of the user's own configuration of ssh.
    ValueError for what names no machine, or no port there; HostNotFound says what ssh said.
    """
    if type(remote_port) is not int or not 1 <= remote_port <= 65535:
        raise ValueError(f"remote_port must be from 1 to 65535, not {remote_port!r:.200}")
    target = ssh.target_of(remote_machine, ssh_config)
    forward = ("-W", f"localhost:{remote_port}")
    asks = ssh.at_terminal()
    command = ssh.ssh_words(target, (), asks=asks, extra=forward)
    return _over_child(command, service, config, keyring_of(key), timeout, apart=not asks)


def _over_child(
    command: list[str], service: Any, config: Config, keyring: Keyring, timeout: float, *, apart: bool
) -> Connection:
    offered, limit = offer(service, config)
    try:
        child = Child(command, keep_errors=True, apart=apart)
    except OSError as exc:
        raise HostNotFound(f"{command[0]} can't be started: {exc.strerror}") from None
    try:
        conn = connect_stream(child.stream, offered, keyring, name=repr(child), limit=limit, timeout=timeout)
    except (DispycosError, OSError) as exc:
        child.wait(1.0)
        told = "; ".join(part for part in (str(exc), child.fate(), child.last_words()) if part)
        _end(child)
        known = isinstance(exc, DispycosError) and not isinstance(exc, PeerLost)
        kind: Any = type(exc) if known else HostNotFound
        raise kind(f"no connection with {' '.join(command)}: {told}") from None
    conn.when_gone(lambda: _end(child))
    return conn


def _end(child: Child) -> None:
    # Its input has ended, which is what it waits for.
    child.stream.close()
    if not child.wait(_ENDING):
        child.kill()
        child.wait(None)


def connect_pipes(
    input: Any,
    output: Any,
    service: Any = VoidService,
    config: Config = None,
    *,
    first: bool = True,
    key: Key = None,
) -> Connection:
    """Connect through two pipes, which are the connection's from now on: files or descriptors.

    first  False at the other end of them.
    """
    offered, limit = offer(service, config)
    reader, writer = (os.dup(end if isinstance(end, int) else end.fileno()) for end in (input, output))
    for end in (input, output):
        os.close(end) if isinstance(end, int) else end.close()

    def close() -> None:
        os.close(reader)
        os.close(writer)

    stream = Stream(reader, writer, close)
    return connect_stream(
        stream,
        offered,
        keyring_of(key, loopback=True),
        name="the other end of a pipe",
        first=first,
        limit=limit,
    )


def connect_stdpipes(service: Any = VoidService, config: Config = None, *, key: Key = None) -> Connection:
    """The serving end of `connect_subproc`, in the program that it started: `.serve_all()` it.

    What the program prints goes to standard error from now on.
    """
    reader, writer = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return connect_pipes(reader, writer, service, config, first=False, key=key)


def connect_thread(
    service: Any = VoidService,
    config: Config = None,
    remote_service: Any = VoidService,
    remote_config: Config = None,
    *,
    timeout: float = TIMEOUT,
) -> Connection:
    """Connect to a service in this process, which is served by threads of its own."""
    offered, limit = offer(service, config)
    remote, remote_limit = offer(remote_service, remote_config)
    near, far = socket.socketpair()
    keyring = keyfile.throwaway()
    other: list[Connection] = []

    def serve() -> None:
        with contextlib.suppress(DispycosError, OSError):  # which the near end tells
            stream = Stream.of_socket(far, private=True)
            other.append(
                connect_stream(
                    stream, remote, keyring, name="the same process", first=False, limit=remote_limit
                )
            )

    thread = threading.Thread(target=serve, name="dispycos handshake", daemon=True)
    thread.start()
    try:
        stream = Stream.of_socket(near, private=True)
        conn = connect_stream(stream, offered, keyring, name="the same process", limit=limit, timeout=timeout)
    finally:
        thread.join(timeout)

    def end() -> None:
        for connection in other:
            connection.close()

    conn.when_gone(end)
    return conn
