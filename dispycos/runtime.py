"""This process: its kernel, and on demand its network.

A program of local tasks has a kernel and nothing else: no socket, no reactor, no key. The
first thing that needs other processes starts the network, which is a reactor in its own
thread, an endpoint that listens, the delivery of messages to tasks, and discovery unless it
is switched off. When the program ends the network closes after its tasks.

A server process makes its own network and hands it over by `adopt`.

I/O half. Layer 5. Rows KE-25 to KE-28, SE-12.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from dispycos import config, keyfile
from dispycos.config import Limits
from dispycos.errors import Closed
from dispycos.kernel import loop as kernel_loop
from dispycos.kernel.core import Kernel
from dispycos.model import Role
from dispycos.net import addresses
from dispycos.net.delivery import Delivery
from dispycos.net.endpoint import Endpoint
from dispycos.net.keys import Keyring
from dispycos.net.reactor import Reactor
from dispycos.peers import Peers

log = logging.getLogger("dispycos")

T = TypeVar("T")

AFTER_TASKS = 50.0  # where the network closes among the functions at exit
CLOSE_WITHIN = 5.0  # seconds for goodbyes and for what was said last


@dataclass(frozen=True, slots=True)
class Options:
    """How this process takes part in a network."""

    hosts: tuple[str, ...] = ()  # names or addresses to listen at; none: that of the default route
    announce: str = ""  # the address that others dial instead
    tcp_port: int = 0  # 0: a free one
    name: str = ""  # for `locate`; none: the host's
    secret: str = ""
    udp_port: int | None = None  # None: no UDP socket exists (SE-33, R-82)
    multicast: bool = False  # instead of broadcast, on IPv4
    roles: Role = Role.PEER | Role.CLIENT
    limits: Limits = field(default_factory=config.limits)

    @classmethod
    def of(
        cls,
        *,
        node: str | Sequence[str] | None = None,
        host: str | Sequence[str] | None = None,
        ext_ip_addr: str | None = None,
        ext_host: str | None = None,
        tcp_port: int | None = None,
        udp_port: int | None = None,
        name: str | None = None,
        discover_peers: bool = True,
        secret: str = "",
        ipv4_udp_multicast: bool = False,
    ) -> Options:
        """What the arguments of Pycos mean; TypeError and ValueError name the argument.

        node, host             where to listen: a name or address, or several.
        ext_ip_addr, ext_host  what others are told to dial instead.
        tcp_port               None: a free one.
        udp_port               of discovery; None: `config.NetPort`.
        discover_peers         False: no datagram is sent, and only named peers are met.
        """
        if node is not None and host is not None:
            raise ValueError("node and host are two names of one argument: give one")
        if ext_ip_addr is not None and ext_host is not None:
            raise ValueError("ext_ip_addr and ext_host are two names of one argument: give one")
        hosts = node if node is not None else host
        return cls(
            hosts=(hosts,) if isinstance(hosts, str) else tuple(hosts or ()),
            announce=_text("ext_ip_addr", ext_ip_addr or ext_host or ""),
            tcp_port=_port("tcp_port", tcp_port or 0),
            name=_text("name", name or ""),
            secret=_text("secret", secret),
            udp_port=_port("udp_port", config.NetPort if udp_port is None else udp_port)
            if discover_peers
            else None,
            multicast=bool(ipv4_udp_multicast),
        )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {value!r}")
    return value


def _port(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a port number, not {value!r}")
    if not 0 <= value < 65536:
        raise ValueError(f"{name} {value} is not between 0 and 65535")
    return value


class Network:
    """The I/O half of this process, while it has one."""

    def __init__(
        self,
        kernel: Kernel,
        reactor: Reactor,
        endpoint: Endpoint,
        delivery: Delivery,
        peers: Peers | None = None,
    ) -> None:
        self.kernel = kernel
        self.reactor = reactor
        self.endpoint = endpoint
        self.delivery = delivery
        self.peers = peers or Peers(endpoint, None, False)
        self.services: dict[type[Any], Any] = {}  # one of each kind: see `service`
        self.closed = False
        self._closers: list[Callable[[], Coroutine[Any, Any, object]]] = []
        self._making = threading.RLock()

    @property
    def limits(self) -> Limits:
        """The limits of this process."""
        return self.endpoint.limits

    def service(self, kind: type[T], make: Callable[[], T]) -> T:
        """The one object of that kind on this network; `make` makes it. Any thread."""
        with self._making:
            found = self.services.get(kind)
            if found is None:
                found = self.services[kind] = make()
            return cast(T, found)

    def searching(self) -> str:
        """Where others are looked for, for reasons that people read (R-52)."""
        where = self.peers.where
        here = f"this process listens at {self.endpoint.location}"
        return f"{here}, sent beacons to {where}" if where else f"{here}, without discovery by UDP"

    def on_close(self, close: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Await `close()` on the reactor when the network closes, the latest one first."""
        self._closers.append(close)

    def wait(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a short coroutine on the reactor and block until it is done; any thread but the reactor's.

        Not for what waits on other processes: a task that called this would block all tasks.
        """
        done = threading.Event()
        operation = self.reactor.run(coroutine)
        operation.add_done_callback(lambda _: done.set())
        if not done.wait(timeout):
            raise TimeoutError(f"the network did not do its work in {timeout} s")
        return cast(T, operation.result())

    def close(self) -> None:
        """Close everything on it and end its thread. May be repeated; any thread but the reactor's."""
        if self.closed:
            return
        self.closed = True
        try:
            self.wait(self._close(), CLOSE_WITHIN)
        except Exception:
            log.exception("the network did not close in order")
        self.delivery.close()
        self.reactor.stop()

    async def _close(self) -> None:
        while self._closers:
            try:
                await asyncio.wait_for(self._closers.pop()(), CLOSE_WITHIN / 2)
            except Exception:
                log.exception("a part of the network did not close in order")
        self.peers.close()
        await self.endpoint.close()


class Runtime:
    """What this process is; one object for its life."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._network: Network | None = None

    @staticmethod
    def kernel() -> Kernel:
        """The process's kernel, started if there is none."""
        return kernel_loop.default().kernel

    @property
    def present(self) -> Network | None:
        """The network, if there is one."""
        network = self._network
        return None if network is None or network.closed else network

    def network(self, options: Options | None = None, keyring: Keyring | None = None) -> Network:
        """The network of this process, started with `options` if there is none; any thread.

        keyring  None: of the options' secret, or of the user's key file.
        OSError says which address can't be listened at, InvalidKey what is wrong with the key.
        """
        with self._lock:
            network = self.present
            if network is None:
                network = self._network = self._start(options or default_options(), keyring)
            return network

    def adopt(self, network: Network) -> None:
        """A server's own network, made before any task asks for one."""
        with self._lock:
            if self.present is not None:
                raise Closed("this process has a network already")
            self._network = network

    def stop(self, network: Network) -> None:
        """Close a network; the next who needs one starts another. May be repeated."""
        network.close()
        with self._lock:
            if self._network is network:
                self._network = None

    def _start(self, options: Options, keyring: Keyring | None) -> Network:
        hosts = addresses.bind_addresses(options.hosts)
        if keyring is None:
            loopback = all(addresses.is_loopback(host) for host in hosts)
            keyring = keyfile.load(options.secret, loopback_only=loopback)
        loop = kernel_loop.default()
        reactor = Reactor.in_thread()

        async def listen() -> Network:
            name = options.name or socket.gethostname()
            endpoint = Endpoint(
                reactor, roles=options.roles, keyring=keyring, limits=options.limits, name=name
            )
            try:
                await endpoint.listen(hosts, options.tcp_port, announce=options.announce or None)
            except BaseException:
                await endpoint.close()
                raise
            peers = Peers(endpoint, options.udp_port, options.multicast)
            return Network(loop.kernel, reactor, endpoint, Delivery(loop.kernel, endpoint), peers)

        try:
            network = _run_and_wait(reactor, listen())
        except BaseException:
            reactor.stop()
            raise
        loop.at_exit(AFTER_TASKS, self.stop, network)
        return network


def _run_and_wait(reactor: Reactor, coroutine: Coroutine[Any, Any, T]) -> T:
    done = threading.Event()
    operation = reactor.run(coroutine)
    operation.add_done_callback(lambda _: done.set())
    done.wait()
    return cast(T, operation.result())


def default_options() -> Options:
    """Those of a program that named none: listen, and find others by broadcast."""
    return Options(udp_port=int(config.NetPort))


# One for each process; a forked child begins anew.
runtime = Runtime()
