"""Dialling: reaching for whoever listens somewhere, again and again (R-50).

Two reasons to dial: a location that somebody here asked for, which goes on until it is
reached or no longer wanted; and a peer whose connection broke, whose `Liveness` says when
to dial again and what refusals mean. If another incarnation answers at a peer's address,
the peer is gone (RELIABILITY, section 1).

I/O half, reactor thread only. Layer 3.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
from typing import Protocol

from dispycos.config import Limits
from dispycos.errors import LocalProtocolError
from dispycos.events import DialFailed
from dispycos.model import Location
from dispycos.net import transport
from dispycos.net.auth import Proven
from dispycos.net.greeting import Ended, Greeting
from dispycos.net.liveness import Redial
from dispycos.net.peer import Peer
from dispycos.net.reactor import Reactor
from dispycos.net.tls import Tls, TlsFailed
from dispycos.net.transport import Stream

log = logging.getLogger("dispycos")


class Host(Protocol):
    """What dialling needs of the endpoint."""

    reactor: Reactor
    limits: Limits
    tls: Tls | None

    def greet(self, stream: Stream, *, dialer: bool, reservation: int, ended: Ended) -> Greeting: ...
    def attach(self, greeting: Greeting, proven: Proven, dialled: Location | None) -> Peer | None: ...
    def peer_at(self, location: Location, reservation: int | None = None) -> Peer | None: ...
    def dial_failed(self, event: DialFailed, code: str) -> None: ...
    def lose(self, peer: Peer, reason: str) -> None: ...


class Dialler:
    """All dials of one process."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._wanted: dict[tuple[Location, int], asyncio.Task[None]] = {}  # asked for, not reached
        self._owners: dict[tuple[Location, int], list[object]] = {}  # who wants them
        self._once: set[tuple[Location, int]] = set()  # of these, the ones that one try is enough for
        self._redials: set[asyncio.Task[None]] = set()
        self._closed = False

    # Locations that somebody asked for.

    def dial(self, location: Location, reservation: int, *, once: bool, owner: object) -> None:
        """Reach for that location until it is reached or `stop`ped, or `once`.

        Who wants it reached at all costs prevails over who is content with one try, and one
        `owner` who wants it no more does not keep the others from it.
        """
        key = (location, reservation)
        if self._closed:
            return
        if key in self._wanted:
            if not any(other is owner for other in self._owners[key]):
                self._owners[key].append(owner)
            if not once:
                self._once.discard(key)
            return
        # Whoever holds a lesser key can say of any location that it is his.
        if self._host.peer_at(location, reservation):
            return
        if once:
            self._once.add(key)
        self._owners[key] = [owner]
        self._wanted[key] = self._host.reactor.spawn(self._reach(location, reservation))

    def under_way(self, location: Location) -> int | None:
        """The reservation that whoever listens there is being dialled for; None: nobody dials it."""
        return next((reservation for place, reservation in self._wanted if place == location), None)

    def stop(self, location: Location, owner: object) -> None:
        """`owner` does not want that location any more."""
        for key in [key for key in self._wanted if key[0] == location]:
            owners = self._owners[key] = [other for other in self._owners[key] if other is not owner]
            if not owners:
                self._wanted.pop(key).cancel()
                self._once.discard(key)
                del self._owners[key]

    async def _reach(self, location: Location, reservation: int) -> None:
        key = (location, reservation)
        delays = Redial(self._host.limits, self._host.limits.redial_max)
        try:
            while True:
                peer, code, reason = await self._try(location, reservation)
                if peer is not None:
                    # It is up when it has said who it is; who breaks off before was not reached.
                    reason = await peer.settled()
                    if not reason:
                        return
                self._host.dial_failed(DialFailed(location, reason, refused=code == "refused"), code)
                if code == "self" or key in self._once:
                    return  # to itself it will always lead (SE-67)
                await asyncio.sleep(delays.delay(random.random()))
        finally:
            if self._wanted.get(key) is asyncio.current_task():
                del self._wanted[key], self._owners[key]
                self._once.discard(key)

    # Peers whose connection broke.

    def redial(self, peer: Peer) -> None:
        """Dial that peer once; it is told if that fails, and decides what it means."""
        if not self._closed:
            task = self._host.reactor.spawn(self._redial(peer))
            self._redials.add(task)
            task.add_done_callback(self._redials.discard)

    async def _redial(self, peer: Peer) -> None:
        location = peer.reachable
        if location is None:
            peer.no_address()
            return
        found, code, reason = await self._try(location, peer.reservation)
        if found is None:
            log.debug("can't get back to %s: %s", peer, reason)
            peer.dial_failed(code == "refused")
        elif found is not peer:
            self._host.lose(peer, f"another process answers at {location}")

    # One dial.

    async def _try(self, location: Location, reservation: int) -> tuple[Peer | None, str, str]:
        """Dial once: the peer reached, or None with a code and the reason.

        The code is "refused" if nobody listens there, "unreached", "busy" if this side took
        another connection, or one of `auth.Failed`.
        """
        host = self._host
        try:
            within = host.limits.handshake_timeout
            sock = await transport.connect(host.reactor.loop, location, within, host.tls)
        except TimeoutError:
            return (None, "unreached", f"no answer from {location} in {within:g} s")
        except TlsFailed as exc:
            return (None, "tls", f"{location}: {exc}")
        except OSError as exc:
            code = "refused" if exc.errno == errno.ECONNREFUSED else "unreached"
            # asyncio puts words of its own, with the address once more, in the place of the system's.
            why = os.strerror(exc.errno) if exc.errno else str(exc)
            return (None, code, f"can't reach {location}: {why}")
        result: asyncio.Future[tuple[Proven | None, str, str]] = host.reactor.loop.create_future()

        def ended(proven: Proven | None, code: str, text: str) -> None:
            if not result.done():
                result.set_result((proven, code, text))

        try:
            greeting = host.greet(sock, dialer=True, reservation=reservation, ended=ended)
        except LocalProtocolError as exc:
            transport.unfinished(sock)
            return (None, "unreached", str(exc))
        try:
            proven, code, text = await result
        except asyncio.CancelledError:
            greeting.close()
            raise
        if proven is None:
            return (None, code, f"{location}: {text}")
        peer = host.attach(greeting, proven, location)
        return (peer, "busy", f"this side takes no session with {location}")

    async def close(self) -> None:
        """Give all dials up."""
        self._closed = True
        for task in [*self._wanted.values(), *self._redials]:
            task.cancel()
        self._wanted.clear()
        self._owners.clear()
