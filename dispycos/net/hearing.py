"""Hearing: what connections brought goes to the handlers that were registered for it.

Each kind of message is registered together with who may say it (N5). What came is heard in
order, by the thread that read it: the kernel's hears what the handlers allow (`aside`), and
leaves the rest to the reactor with everything that follows; see docs/design.md, who reads.
Whoever breaks the rules of the wire, or says what is not his to say, loses his session.

I/O half. Layer 3. Rules N1, N2, N5, N7; SE-16, SE-19, R-75.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from dispycos.config import Limits
from dispycos.errors import RemoteProtocolError
from dispycos.kernel.loop import Loop
from dispycos.messages import Goodbye, Introduction, Message
from dispycos.model import Incarnation, Role
from dispycos.net import ears
from dispycos.net import session as sessions
from dispycos.net.codec import decode
from dispycos.net.doorkeeper import Repeats, others
from dispycos.net.ears import Ears
from dispycos.net.peer import Peer
from dispycos.net.reactor import Reactor
from dispycos.net.transport import Connection

log = logging.getLogger("dispycos")

Handler = Callable[[Incarnation, Any], None]

# Whose messages are for tasks, which run on the kernel's thread.
_OVERHEARD = Role.SERVER | Role.CLIENT


class Host(Protocol):
    """What hearing needs of the endpoint."""

    incarnation: Incarnation
    limits: Limits
    reactor: Reactor

    def up(self, peer: Peer) -> None: ...
    def lose(self, peer: Peer, reason: str) -> None: ...
    def write_dirty(self) -> None: ...


class _Entry(NamedTuple):
    """Who hears messages of one kind."""

    handler: Handler
    who: int  # roles; as a number, because a Flag's own operators are slow Python code
    aside: bool


class Hearing:
    """All that one process hears."""

    __slots__ = ("_audit", "_ears", "_handlers", "_host", "_loop", "_reactor", "under_way")

    def __init__(self, host: Host) -> None:
        self.under_way = False  # the reactor hands out what was read, and will write afterwards
        self._host = host
        self._reactor = host.reactor
        self._handlers: dict[type[Any], _Entry] = {}
        self._loop: Loop | None = None
        self._ears: Ears | None = None  # where its thread waits, if it hears there
        self._audit = Repeats(host.limits)  # about sessions that ended by a violation

    def handle(self, kind: type[Any], handler: Handler, who: Role, aside: bool) -> None:
        """Bring messages of this kind to `handler`, too; see `Endpoint.handle`."""
        known = self._handlers.get(kind)
        if known is None:
            self._handlers[kind] = _Entry(handler, who.value, aside)
            return
        first, roles, first_aside = known

        def both(peer: Incarnation, message: Any) -> None:
            first(peer, message)
            handler(peer, message)

        self._handlers[kind] = _Entry(both, roles | who.value, aside and first_aside)

    # Who reads.

    def hear_with(self, loop: Loop) -> None:
        """Have that loop's thread read what comes for its tasks while it waits; see `net.ears`."""
        if ears.AVAILABLE:
            self._loop, self._ears = loop, Ears(loop.kernel, self._reactor)
            loop.wait_in(self._ears)

    def when_kept(self, call: Callable[[], object]) -> bool:
        """Call this on the reactor while a task keeps the kernel from writing; False: nobody will."""
        if self._ears is None:
            return False
        self._ears.when_kept.append(call)
        return True

    def overhear(self, peer: Peer, connection: Connection) -> None:
        """A connection carries the session of this peer from now on."""
        if self._ears is not None and peer.roles & _OVERHEARD:
            connection.watch(self._ears)

    # What was read.

    def hear_events(self, peer: Peer, events: Sequence[sessions.Event], connection: Connection) -> None:
        """What came of the bytes that a peer's connection brought; reactor thread."""
        if peer.left:
            events = [*peer.left, *events]
            peer.left.clear()
        self.under_way = True
        try:
            for event in events:
                if peer.lost:
                    break
                if type(event) is sessions.Message:
                    self._hear_bytes(peer, event.head, memoryview(event.tail))
                else:
                    self._session_event(peer, event, connection)
        finally:
            self.under_way = False
        self._host.write_dirty()

    def hear_aside(self, peer: Peer, events: Sequence[sessions.Event], connection: Connection) -> None:
        """As `hear_events`, on the kernel's thread; what is not for it is left to the reactor, in order."""
        left = peer.left
        for event in events:
            if left or not self._heard_aside(peer, event):
                left.append(event)
        if left:
            self._reactor.call(self._hear_left, peer, connection)

    def _heard_aside(self, peer: Peer, event: sessions.Event) -> bool:
        if type(event) is not sessions.Message or not peer.introduced or peer.lost:
            return False
        try:
            message = decode(event.head, memoryview(event.tail))
        except Exception:
            return False  # the reactor will see it again, and end the session
        entry = self._handlers.get(type(message))
        if entry is None or not entry.aside or not entry.who & peer.roles._value_:
            return False
        self._call(entry.handler, peer, message)
        return True

    def _hear_left(self, peer: Peer, connection: Connection) -> None:
        with connection.reading:
            if peer.left and not peer.lost:
                self.hear_events(peer, (), connection)

    def hear_own(self, message: Message) -> None:
        """What this process says to itself; reactor thread."""
        entry = self._handlers.get(type(message))
        if entry is None:
            log.error("nobody here handles %s", type(message).__name__)
            return
        entry.handler(self._host.incarnation, message)

    # One event; reactor thread.

    def _session_event(self, peer: Peer, event: sessions.Event, connection: Connection) -> None:
        if isinstance(event, sessions.Writable):
            peer.let_go()
        elif isinstance(event, sessions.Violation):
            self._violation(peer, event.reason)
        elif isinstance(event, sessions.Fresh):
            self._host.lose(peer, "it has no memory of this session")
        elif isinstance(event, sessions.Ended):
            self._host.lose(peer, "it ended the session")
        elif isinstance(event, sessions.Undelivered):
            self._violation(peer, f"sent {event.size} bytes for which there is no memory")
        elif isinstance(event, sessions.Stale):
            connection.close()
            peer.broke(connection, "it still holds an older session")

    def _hear_bytes(self, peer: Peer, head: Any, tail: memoryview) -> None:
        """A message of a peer as it came from the wire."""
        try:
            message = decode(head, tail)
        except Exception as exc:
            self._violation(peer, str(exc))
            return
        self._hear(peer, message)

    def _hear(self, peer: Peer, message: Message) -> None:
        kind = type(message)
        if not peer.introduced:
            if kind is Goodbye:
                self._host.lose(peer, message.reason or "it said goodbye")
                return
            if kind is not Introduction:
                self._violation(peer, f"said {kind.__name__} before it introduced itself")
                return
            peer.introduce(message)
            self._host.up(peer)
            return
        if kind is Goodbye:
            self._host.lose(peer, message.reason or "it said goodbye")
            return
        entry = self._handlers.get(kind)
        if entry is None or not entry.who & peer.roles._value_:
            self._violation(peer, f"said {kind.__name__}, which is not for {peer.roles!r} to say here")
            return
        self._call(entry.handler, peer, message)

    def _call(self, handler: Handler, peer: Peer, message: Message) -> None:
        """Either thread."""
        try:
            handler(peer.incarnation, message)
        except RemoteProtocolError as exc:
            if self._reactor.here:
                self._violation(peer, str(exc))
            else:
                self._reactor.call(self._violation, peer, str(exc))
        except Exception:
            # One handler's fault ends this session, nothing else.
            kind = type(message).__name__
            log.exception("handling %s of %s failed", kind, peer)
            reason = f"a fault of ours while handling {kind}"
            if self._reactor.here:
                self._host.lose(peer, reason)
            else:
                self._reactor.call(self._host.lose, peer, reason)

    def _violation(self, peer: Peer, reason: str) -> None:
        """The peer broke the wire's rules: its session ends for good (SE-16)."""
        source = peer.source
        left_out = self._audit.due(source, time.monotonic(), reason)
        if left_out is not None:
            log.warning("session with %s from %s ended: %s%s", peer, source, reason, others(left_out))
        self._host.lose(peer, f"it broke the rules of the wire: {reason}")

    # The end.

    def disown(self) -> None:
        """In a forked child: what the parent's thread listens to is the parent's."""
        if self._ears is not None:
            self._ears.disown()

    def close(self) -> None:
        """The loop's thread waits as it did before. May be repeated."""
        if self._ears is not None and self._loop is not None:
            self._loop.leave(self._ears)
            self._ears.close()
            self._ears = None
