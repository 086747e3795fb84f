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
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar, cast

from dispycos import forks
from dispycos.config import Limits
from dispycos.errors import Closed
from dispycos.kernel import loop as kernel_loop
from dispycos.kernel.core import Kernel
from dispycos.keyfile import KeySource
from dispycos.model import Role
from dispycos.net import addresses
from dispycos.net.delivery import Delivery
from dispycos.net.endpoint import Endpoint
from dispycos.net.keys import Keyring
from dispycos.net.reactor import Reactor
from dispycos.net.rotation import Rotation
from dispycos.net.search import Search
from dispycos.net.tls import Tls
from dispycos.options import Options, default_options
from dispycos.peers import Peers
from dispycos.received import Received
from dispycos.stuck import Stuck

log = logging.getLogger("dispycos")

T = TypeVar("T")

Closer: TypeAlias = Callable[[], Coroutine[Any, Any, object]]

AFTER_TASKS = 50.0  # where the network closes among the functions at exit
CLOSE_WITHIN = 14.0  # seconds for the clients' tasks to end, and for goodbyes (R-53)
PART_WITHIN = 8.0  # seconds for one part of it: the grace of tasks, and their last words


class Network:
    """The I/O half of this process, while it has one."""

    def __init__(
        self,
        kernel: Kernel,
        reactor: Reactor,
        endpoint: Endpoint,
        delivery: Delivery,
        search: Search | None = None,
    ) -> None:
        self.kernel = kernel
        self.reactor = reactor
        self.endpoint = endpoint
        self.delivery = delivery
        self.search = search or Search(endpoint, None)
        self.peers = Peers(endpoint, delivery.reservation)
        self.services: dict[type[Any], Any] = {}  # one of each kind: see `service`
        self.closed = False
        self._closers: list[Closer] = []
        self._first: list[Closer] = []
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

    @property
    def dest_path(self) -> str:
        """Where files that others send are stored."""
        received: Received | None = self.services.get(Received)
        return os.getcwd() if received is None else received.path

    def meet_peers(self) -> None:
        """Reach for other programs of the same key, and say that this one is here; reactor thread."""
        self.search.want(Role.PEER)
        self.search.seek(Role.PEER, announce=True)

    def searching(self) -> str:
        """Where others are looked for, for reasons that people read (R-52)."""
        return self.search.described("this process")

    def on_close(self, close: Closer, *, first: bool = False) -> None:
        """Await `close()` on the reactor when the network closes, the latest one first.

        first  before the others, and side by side: each may take as long as tasks may take to end.
        """
        (self._first if first else self._closers).append(close)

    def drop_close(self, close: Closer) -> None:
        """Take `on_close` back; nothing if it was called. Any thread."""
        for closers in (self._first, self._closers):
            with contextlib.suppress(ValueError):
                closers.remove(close)

    def close(self) -> None:
        """Close everything on it and end its thread. May be repeated; any thread but the reactor's."""
        if self.closed:
            return
        self.closed = True
        try:
            self.reactor.wait(self._close(), CLOSE_WITHIN)
        except Exception:
            log.exception("the network did not close in order")
        self.delivery.close()
        self.reactor.stop()

    async def _close(self) -> None:
        # More may come meanwhile: a client that has just found its scheduler has a turn to end, too.
        while self._first or self._closers:
            first, self._first = self._first, []
            await asyncio.gather(*map(_close_part, first))
            if not self._first and self._closers:
                await _close_part(self._closers.pop())
        self.search.close()
        await self.endpoint.close()


async def _close_part(close: Closer) -> None:
    try:
        await asyncio.wait_for(close(), PART_WITHIN)
    except Exception:
        log.exception("a part of the network did not close in order")


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
        OSError says which address can't be listened at, InvalidKey and InvalidCertificate what is
        wrong with a file.
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
        source = None
        if keyring is None:
            loopback = all(addresses.is_loopback(host) for host in hosts)
            source = KeySource(options.secret, loopback_only=loopback)
            keyring = source.load()
        tls = Tls(options.certificates) if options.certificates else None
        loop = kernel_loop.default()
        reactor = Reactor.in_thread()

        async def listen() -> Network:
            name = options.name or socket.gethostname()
            endpoint = Endpoint(
                reactor, roles=options.roles, keyring=keyring, limits=options.limits, name=name, tls=tls
            )
            try:
                await endpoint.listen(hosts, options.tcp_port, announce=options.announce)
            except BaseException:
                await endpoint.close()
                raise
            endpoint.hear_with(loop)
            Stuck(loop, endpoint)
            search = Search(endpoint, options.udp_port, multicast=options.multicast)
            network = Network(loop.kernel, reactor, endpoint, Delivery(loop.kernel, endpoint), search)
            received = Received(endpoint, options.dest_path, options.max_file_size, options.limits)
            network.service(Received, lambda: received)
            network.on_close(received.close)
            Rotation(endpoint, source).start()
            if options.meets_peers:
                network.meet_peers()
            return network

        try:
            network = reactor.wait(listen())
        except BaseException:
            reactor.stop()
            raise
        loop.at_exit(AFTER_TASKS, self.stop, network)
        return network


# One for each process; a forked child begins anew.
runtime = Runtime()


def _after_fork() -> None:
    # The network's threads stayed in the parent, and what its descriptors carry is the parent's.
    network = runtime._network
    runtime.__init__()  # type: ignore[misc]  # everybody has imported this object
    if network is not None:
        network.closed = True
        network.endpoint.disown()
        network.delivery.close()


forks.in_child(_after_fork)
