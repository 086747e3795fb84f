"""One dial of one location: its addresses in order, up to a peer or the reasons why not.

Who is dialled again, when, and for whom, is the business of `net.dialling`.

I/O half, reactor thread only. Layer 3. Rows DN-04, R-50.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from dispycos.config import Limits
from dispycos.errors import LocalProtocolError
from dispycos.model import Location
from dispycos.net import transport
from dispycos.net.auth import Proven
from dispycos.net.greeting import Ended, Greeting
from dispycos.net.peer import Peer
from dispycos.net.reactor import Reactor
from dispycos.net.tls import Tls, TlsFailed
from dispycos.net.transport import Stream

NEXT_AFTER = 0.3  # seconds that one address has to answer before the next one is tried, too
GIVES_WAY_AFTER = 0.7  # seconds that one handshake may take before the next address' begins beside it


class Host(Protocol):
    """What a dial needs of the endpoint, and reception as well."""

    reactor: Reactor
    limits: Limits
    tls: Tls | None

    def greet(self, stream: Stream, *, dialer: bool, reservation: int, ended: Ended) -> Greeting: ...
    def attach(self, greeting: Greeting, proven: Proven, dialled: Location | None) -> Peer | None: ...


class End(NamedTuple):
    """How a dial ended.

    code  "" if the key was proved there, "refused" if nobody listens there, "unreached", or one of
          `auth.Failed`.
    peer  who proved it; None: this side takes no session with it, or another connection to it.
    """

    code: str
    reason: str
    peer: Peer | None = None


class Dial:
    """Reaching for one location, once."""

    def __init__(self, host: Host, location: Location, reservation: int) -> None:
        self._host = host
        self._location = location
        self._reservation = reservation
        # Who listens at several of the addresses is to see one handshake at a time, and one proof.
        self._turn = asyncio.Lock()

    async def run(self) -> End:
        """Dial each address, the next one also while one is slow; the first that proves the key ends it."""
        if not self._location.others:
            return await self._reach(self._location)
        ahead = [Location(address, self._location.port) for address in self._location.addresses]
        under_way: set[asyncio.Task[End]] = set()
        failed: list[End] = []
        try:
            while ahead or under_way:
                if ahead:
                    under_way.add(asyncio.create_task(self._reach(ahead.pop(0))))
                done, under_way = await asyncio.wait(
                    under_way, timeout=NEXT_AFTER if ahead else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    if not (end := task.result()).code:
                        return end
                    failed.append(end)
        finally:
            for task in under_way:
                task.cancel()
        return _all_failed(failed)

    async def _reach(self, place: Location) -> End:
        try:
            within = self._host.limits.handshake_timeout
            sock = await transport.connect(self._host.reactor.loop, place, within, self._host.tls)
        except TimeoutError:
            return End("unreached", f"no answer from {place} in {within:g} s")
        except TlsFailed as exc:
            return End("tls", f"{place}: {exc}")
        except OSError as exc:
            code = "refused" if exc.errno == errno.ECONNREFUSED else "unreached"
            # asyncio puts words of its own, with the address once more, in the place of the system's.
            why = os.strerror(exc.errno) if exc.errno else str(exc)
            return End(code, f"can't reach {place}: {why}")
        try:
            async with asyncio.timeout(GIVES_WAY_AFTER):
                await self._turn.acquire()
            has_turn = True
        except TimeoutError:
            # Who takes a connection and says nothing holds up nobody else.
            has_turn = False
        except asyncio.CancelledError:
            transport.unfinished(sock)
            raise
        end = await self._handshake(sock, place)
        if end.code and has_turn:
            self._turn.release()
        return end

    async def _handshake(self, sock: Stream, place: Location) -> End:
        result: asyncio.Future[End] = self._host.reactor.loop.create_future()

        def ended(proven: Proven | None, code: str, text: str) -> None:
            if result.done():
                return
            if proven is None:
                result.set_result(End(code, f"{place}: {text}"))
                return
            # At once: what follows the proof belongs to the session, and may be here already.
            peer = self._host.attach(greeting, proven, self._location)
            result.set_result(End("", f"this side takes no session with {place}", peer))

        try:
            greeting = self._host.greet(sock, dialer=True, reservation=self._reservation, ended=ended)
        except LocalProtocolError as exc:
            transport.unfinished(sock)
            return End("unreached", str(exc))
        try:
            return await result
        except asyncio.CancelledError:
            if result.cancelled():
                greeting.close()
            raise


def _all_failed(ends: Sequence[End]) -> End:
    """One end for all addresses. Only if nobody listens at any of them is its process not there."""
    codes = [end.code for end in ends]
    mild = [code for code in ("unreached", "refused", "self") if code in codes]
    worst = next((code for code in codes if code not in mild), None) or mild[0]
    return End(worst, "; ".join(end.reason for end in ends))
