"""Dialling: from an address to a connection that has proved the key."""

from __future__ import annotations

import contextlib
import errno
import socket
from contextlib import AbstractContextManager
from typing import Any, Final

from dispycos.arguments import port as port_number
from dispycos.arguments import seconds, text
from dispycos.config import Limits
from dispycos.net.keys import Keyring
from dispycos.net.proof import dialled, prove
from dispycos.net.stream import Stream
from dispycos.rpc.connection import Connection
from dispycos.rpc.keys import Key, keyring_of
from dispycos.rpc.listening import is_loopback
from dispycos.rpc.services import VoidService, instance_of
from dispycos.rpc.settings import Config, limit_of
from dispycos.rpc.sharing import everything
from dispycos.rpc.vdb import log_in

DEFAULT_PORT: Final = 18861  # of servers of services
SSL_PORT: Final = 18821  # of servers with a certificate, as RPyC has it
TIMEOUT: Final = 10.0  # seconds to reach a server, and again for the proofs

_AS_IT_IS: Final = contextlib.nullcontext()  # its errors are not changed


def connect(
    host: str,
    port: int = DEFAULT_PORT,
    service: Any = VoidService,
    config: Config = None,
    ipv6: bool = False,
    *,
    key: Key = None,
    timeout: float = TIMEOUT,
) -> Connection:
    """Connect to a server.

    service  what this end offers to the server.
    config   {"sync_request_timeout": 30}: calls raise AsyncResultTimeout after so many seconds, and are
             stopped there; without it they take as long as they take. ValueError for other settings of
             RPyC's that are not how it is here.
    key      proves both ends to each other: the account's key file unless it is given; see `keys`.
    ConnectionRefusedError: nothing listens there. AuthenticationError: it has another key.
    TimeoutError after `timeout` seconds without an answer, or another OSError. TypeError and ValueError
    name the argument.
    """
    offered, limit = offer(service, config)
    sock = _reach(host, port, ipv6, timeout)
    loopback = is_loopback(sock.getpeername()[0])
    return _over(sock, f"{host}:{port}", offered, limit, key, timeout, loopback)


def ssl_connect(
    host: str,
    port: int = SSL_PORT,
    keyfile: str | None = None,
    certfile: str | None = None,
    ca_certs: str | None = None,
    service: Any = VoidService,
    *,
    user: str | None = None,
    password: str = "",
    key: Key = None,
    config: Config = None,
    ipv6: bool = False,
    timeout: float = TIMEOUT,
) -> Connection:
    """Connect by TLS to a server that has a certificate; else as `connect`.

    ca_certs  PEM file of the authorities that are believed, or of the server's own certificate; the
              system's authorities unless it is given. The certificate must name `host`.
    certfile, keyfile  what we show to a server that asks.
    user, password  log in to a server that has a file of users, instead of proving a key.
    ConnectionError says what is wrong with the certificate; AuthenticationError: a wrong password or key.
    """
    # Loaded only where it is wanted.
    from dispycos.rpc import encryption

    offered, limit = offer(service, config)
    context = encryption.dialling(certfile, keyfile, ca_certs)
    keyring = keyring_of(key) if user is None else None
    sock, name = _reach(host, port, ipv6, timeout), f"{host}:{port}"
    with dialled(name):
        stream = encryption.encrypted(sock, context, timeout, host)
        if user is not None:
            try:
                keyring = log_in(stream, user, password, timeout)
            except BaseException:
                stream.close()
                raise
    assert keyring is not None
    return connect_stream(
        stream, offered, keyring, name=name, limit=limit, timeout=timeout, proving=dialled(name)
    )


def unix_connect(
    path: str,
    service: Any = VoidService,
    config: Config = None,
    *,
    key: Key = None,
    timeout: float = TIMEOUT,
) -> Connection:
    """Connect to a server that listens at a unix socket; else as `connect`."""
    offered, limit = offer(service, config)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
    except OSError as exc:
        sock.close()
        raise _told(exc, path) from None
    return _over(sock, path, offered, limit, key, timeout, True)


def offer(service: Any, config: Config) -> tuple[Any, float | None]:
    """What this end shares, and how long its calls may take. TypeError, ValueError."""
    offered = instance_of(service)
    return offered, limit_of(config, classic=offered.terms.access is everything)


def _over(
    sock: socket.socket,
    name: str,
    service: Any,
    limit: float | None,
    key: Key,
    timeout: float,
    loopback: bool,
) -> Connection:
    try:
        keyring = keyring_of(key, loopback=loopback)
        stream = Stream.of_socket(sock)
    except BaseException:
        sock.close()
        raise
    return connect_stream(
        stream, service, keyring, name=name, limit=limit, timeout=timeout, proving=dialled(name)
    )


def connect_stream(
    stream: Stream,
    service: Any,
    keyring: Keyring,
    *,
    name: str,
    first: bool = True,
    limit: float | None = None,
    timeout: float = TIMEOUT,
    proving: AbstractContextManager[object] = _AS_IT_IS,
) -> Connection:
    """A connection over a stream, whose other end does the same with `first` the other way round.

    proving  what the proof is done in, and nothing of the service's.
    The stream is closed if it comes to nothing; the errors are those of `net.proof.prove`, and what
    the service raises when it hears of the connection.
    """
    try:
        with proving:
            meeting = prove(stream, keyring, Limits(), dialer=first, timeout=timeout)
        offered = instance_of(service)
        connection: Connection = offered.connection_class(
            stream, meeting, name=name, service=offered, first=first, limit=limit
        )
    except BaseException:
        stream.close()
        raise
    # From now on the connection's thread reads, and closes the stream when it is over: closed by
    # anybody else, its descriptor would be somebody's whose bytes are read here.
    connection.begin_here()
    return connection


def _reach(host: str, port: int, ipv6: bool, timeout: float) -> socket.socket:
    text("host", host)
    port_number("port", port, least=1)
    seconds("timeout", timeout)
    name = f"{host}:{port}"
    family = socket.AF_INET6 if ipv6 else socket.AF_UNSPEC
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except socket.gaierror as exc:
        raise OSError(f"{host} is unknown: {exc.strerror}") from None
    failure: OSError = OSError(f"{host} has no address")
    for kind, what, protocol, _, address in found:
        sock = socket.socket(kind, what, protocol)
        try:
            sock.settimeout(timeout)
            sock.connect(address)
        except OSError as exc:
            sock.close()
            failure = exc
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise _told(failure, name)


def _told(exc: OSError, name: str) -> OSError:
    if isinstance(exc, ConnectionRefusedError):
        return ConnectionRefusedError(
            errno.ECONNREFUSED, f"connection refused: nothing listens at {name}; is the server started there?"
        )
    with contextlib.suppress(TypeError):
        if isinstance(exc, TimeoutError):
            return TimeoutError(f"{name} did not answer")
        return type(exc)(exc.errno, f"{name} can't be reached: {exc.strerror or exc}")
    return exc
