"""Servers of services: each connection is served by threads of its own, while it is used. Row RP-17."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import Any, Final, Self

from dispycos.net.resting import Resting
from dispycos.rpc.connection import Connection, close_all
from dispycos.rpc.dialling import DEFAULT_PORT
from dispycos.rpc.keys import Key, keyring_of
from dispycos.rpc.listening import Door, Reception, is_loopback, listen, listen_unix
from dispycos.rpc.registration import Registration, RegistryClient
from dispycos.rpc.services import Unmade, check_service, made_of
from dispycos.rpc.settings import Config, limit_of
from dispycos.rpc.sharing import everything
from dispycos.rpc.vdb import Vdb

log = logging.getLogger("dispycos")

LOOPBACK: Final = "127.0.0.1"


class Server:
    """Serves connections until it is closed.

    service      a subclass of Service, of which each connection gets an instance, or an instance for all.
    hostname     where it listens; this machine alone unless it is said. "0.0.0.0": everywhere.
    port         0: any free one; see `port` then.
    socket_path  a unix socket to listen at instead.
    key          what connections prove; see `keys`. The account's key file unless it is given.
    certfile     PEM certificate: TLS before all else; its key is in `keyfile` or in the same file.
    ca_certs     clients must show a certificate of these authorities too.
    vdb          a file of users (`rpc.vdb`), who log in instead of proving the key; TLS only.
    registrar    registers it there, under the names of the service, while it serves.
    auto_register  True: at this machine's registry if there is no registrar; False: nowhere.
    protocol_config  as `config` of `connect`, for what it asks of its clients.
    OSError if it can't listen there. TypeError for what is no service.
    """

    def __init__(
        self,
        service: Any,
        hostname: str | None = None,
        port: int = DEFAULT_PORT,
        *,
        socket_path: str | os.PathLike[str] | None = None,
        ipv6: bool = False,
        backlog: int = 128,
        key: Key = None,
        certfile: str | None = None,
        keyfile: str | None = None,
        ca_certs: str | None = None,
        vdb: str | os.PathLike[str] | None = None,
        registrar: RegistryClient | None = None,
        auto_register: bool | None = None,
        protocol_config: Config = None,
        authenticator: None = None,
    ) -> None:
        check_service(service)
        if authenticator is not None:
            raise TypeError(
                "authenticator: there are none here; every connection proves the key, certfile= adds TLS, "
                "ca_certs= clients' certificates, and vdb= users with passwords"
            )
        self._limit = limit_of(protocol_config, classic=service.terms.access is everything)
        tls = users = None
        if vdb is not None:
            if certfile is None:
                raise ValueError("vdb needs certfile: a password travels over TLS only")
            users = Vdb(vdb)
            users.names()  # which says what is wrong with it
        if certfile is not None:
            # Loaded only where it is wanted.
            from dispycos.rpc.encryption import listening

            tls = listening(certfile, keyfile, ca_certs)
        elif keyfile is not None or ca_certs is not None:
            raise ValueError("keyfile and ca_certs are of no use without certfile")
        self.service = service
        self.socket_path = os.fspath(socket_path) if socket_path is not None else ""
        hostname = hostname or ("::1" if ipv6 else LOOPBACK)
        if self.socket_path:
            listener = listen_unix(self.socket_path, backlog)
            self.host, self.port = self.socket_path, 0
        else:
            listener = listen(hostname, port, ipv6=ipv6, backlog=backlog)
            self.host, self.port = listener.getsockname()[:2]
        try:
            loopback = bool(self.socket_path) or is_loopback(self.host)
            self._reception = Reception(keyring_of(key, loopback=loopback), tls, users)
            self._door = Door(listener)
        except BaseException:
            listener.close()
            raise
        if auto_register is None:
            auto_register = registrar is not None
        self._registrar = (registrar or RegistryClient(key=key)) if auto_register else None
        self._resting = Resting()
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._closed = False
        self._stopping = False
        self.ended = threading.Event()  # `start` has returned, and nothing is served

    @property
    def address(self) -> str:
        """Where it listens, as one writes it."""
        if self.socket_path:
            return self.socket_path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def start(self) -> None:
        """Serve until `close` is called, by another thread, a signal or the service; or until Ctrl-C."""
        registration = None
        if self._registrar is not None:
            names = self.service.get_service_aliases()
            registration = Registration(self._registrar, names, self.host, self.port)
        try:
            self._door.run(self._admit, self._is_done)
        except KeyboardInterrupt:
            log.info("the server at %s ends: interrupted", self.address)
        finally:
            if registration is not None:
                registration.close()
            self.close()
            self.ended.set()

    def stop(self) -> None:
        """Have `start` end, which closes all. Waits for nothing, so a signal handler may call it."""
        self._stopping = True
        self._door.look()

    def start_in_thread(self) -> threading.Thread:
        """Serve in a thread of its own, which ends by `close`."""
        thread = threading.Thread(target=self.start, name=f"dispycos server, {self.address}", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Serve no more: the listener and all connections are closed. May be repeated."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            connections = list(self._connections)
        self._door.close()
        if self.socket_path:
            try:
                os.unlink(self.socket_path)
            except OSError:
                pass  # somebody removed it
        close_all(connections)
        self._resting.close()

    @property
    def clients(self) -> set[Connection]:
        """The connections of now."""
        with self._lock:
            return set(self._connections)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Connections.

    def _is_done(self) -> bool:
        # Asked after each connection, and when somebody had the door look.
        return self._stopping

    def _take(self) -> bool:
        # Whether one more connection that has proved the key, and has its service, is served.
        return True

    def _admit(self, sock: socket.socket, source: str) -> None:
        if not self._reception.admit(source):
            sock.close()
            return
        threading.Thread(
            target=self._receive, args=(sock, source), name="dispycos handshake", daemon=True
        ).start()

    def _receive(self, sock: socket.socket, source: str) -> None:
        received = self._reception.receive(sock, source)
        if received is None:
            return
        stream, meeting = received
        service = made_of(self.service)
        unmade = isinstance(service, Unmade)
        if not unmade and not self._take():
            stream.close()
            return
        self._keep(
            lambda: service.connection_class(
                stream,
                meeting,
                name=f"a client at {source}",
                source=source,
                service=service,
                first=False,
                gone=self._discard if unmade else self._forget,
                slots=self._slots(),
                limit=self._limit,
                resting=self._resting,
            )
        )

    def _slots(self) -> threading.Semaphore | None:
        return None

    def _keep(self, make: Callable[[], Connection]) -> Connection | None:
        connection = make()
        with self._lock:
            if not self._closed:
                self._connections.add(connection)
                if not connection.closed:
                    return connection
                self._connections.discard(connection)  # it is gone already
                return None
        connection.close()
        return None

    def _forget(self, connection: Connection) -> None:
        # One that was served is gone.
        self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        with self._lock:
            self._connections.discard(connection)


class ThreadedServer(Server):
    """Each connection is served by threads of its own, which end when nothing is asked for a second."""
