"""The endpoint: this process's face to the others.

It holds one session per incarnation, whatever connection carries it at the moment, and
says when a peer is up, suspect, back or lost. Who knocks is met by `net.reception`, who is
sought is reached by `net.dialling`, and what comes is heard by `net.hearing`. It knows
nothing of tasks: see `net.delivery`.

Any thread may say (`say`, `queue`, `flush`, `write_dirty`), ask whether there is room
(`writable`, `when_writable`) and look who is here (`peer`, `peers`); all else, and all that
watchers and handlers are told, belongs to the reactor thread, but for handlers that may be
called on the kernel's (`handle(..., aside=True)`). I/O half. Layer 4.
Rules N2, N3, N5, N7.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from dispycos.config import RELEASE, Limits, of_the_wire
from dispycos.errors import Closed, LocalProtocolError
from dispycos.events import DialFailed, PeerBack, PeerEvent, PeerGone, PeerSuspect
from dispycos.kernel.core import Kernel
from dispycos.kernel.loop import Loop
from dispycos.kernel.operation import Operation
from dispycos.messages import Introduction, Message
from dispycos.model import Incarnation, Location, Role
from dispycos.net import addresses, distortion, transport
from dispycos.net.auth import Proven
from dispycos.net.codec import encode
from dispycos.net.dialling import Dialler
from dispycos.net.doorkeeper import Repeats, nearly_full, others, room
from dispycos.net.greeting import Ended, Greeting
from dispycos.net.keys import Keyring
from dispycos.net.peer import Peer, turn_away
from dispycos.net.reactor import Reactor
from dispycos.net.reception import Reception
from dispycos.net.session import SessionState
from dispycos.net.strikes import Strikes
from dispycos.net.tls import Tls
from dispycos.net.transport import Stream, Traffic

log = logging.getLogger("dispycos")

REPROVE_WITHIN = 5.0  # seconds over which peers of a dropped key connect anew, not all at once
JOINED, FIRST = 1, 2  # of a message in a bundle
BURST = 0.003  # seconds that a task which does not yield may keep what it sent from leaving

# Codes of failed dials that may come right by themselves.
_MAY_PASS = frozenset({"refused", "unreached", "busy", "closed", "timeout", "self"})

M = TypeVar("M")


class Endpoint:
    """One per process.

    roles  what this process is. A role may be added while it runs, never taken away: sessions
           that begin later state it, and who met us before is to be met again (`forget`).
    limits ValueError if they differ where the wire allows no difference (`config.WIRE_LIMITS`).
    tls    what all its TCP streams speak; None: plain.
    """

    def __init__(
        self,
        reactor: Reactor,
        *,
        roles: Role,
        keyring: Keyring,
        limits: Limits,
        name: str,
        incarnation: Incarnation | None = None,
        tls: Tls | None = None,
    ) -> None:
        of_the_wire(limits)
        self.reactor = reactor
        self.roles = roles
        self.keyring = keyring
        self.limits = limits
        self.tls = tls
        self.name = name
        self.incarnation = incarnation or Incarnation(os.urandom(16))
        self.location: Location | None = None  # announced; None before `listen`
        self.traffic = Traffic()
        self._peers: dict[Incarnation, Peer] = {}
        self._watchers: list[Callable[[PeerEvent | DialFailed], None]] = []
        self.hearing = distortion.hearing(self, name)
        self._reception = Reception(self)
        self._dialler = Dialler(self)
        self._greetings: set[Greeting] = set()
        self._dirty: dict[Incarnation, Peer] = {}  # peers with something to write
        self._told = False  # the reactor has been told that some are dirty
        self._kernel: Kernel | None = None
        self._last_idle = -1  # kernel.idles when it last wrote from its own thread
        self._lines = Repeats(limits)  # about dials that failed, and sessions there is no room for
        self._closed = False
        self._ticker = reactor.loop.call_later(self._beat, self._tick)
        self._strikes = Strikes.of(self)  # those of DISPYCOS_CHAOS

    # Who is here.

    def peer(self, incarnation: Incarnation) -> Peer | None:
        """The peer of that incarnation, if there is a session with it."""
        return self._peers.get(incarnation)

    def peer_at(self, location: Location, reservation: int | None = None) -> Peer | None:
        """The peer that was reached at that location, or else one that says that it is there.

        reservation  believe only who holds that reservation's key, 0: this process's own key.
        """
        found = None
        key = reservation or self.keyring.own.reservation or 0
        for peer in self._peers.values():
            if peer.dialled == location:
                return peer
            if reservation is not None and peer.reservation != key:
                continue
            # What the holder of the cluster's key says weighs more than what a server says.
            known = peer.location
            if known and known.includes(location) and (found is None or found.reservation > peer.reservation):
                found = peer
        return found

    def peers(self) -> list[Peer]:
        """Everyone who has introduced himself and is not lost."""
        return [peer for peer in list(self._peers.values()) if peer.introduced]

    @property
    def refusals(self) -> dict[str, int]:
        """Connections that were not let in so far, by reason."""
        return self._reception.refusals

    def watch(self, watcher: Callable[[PeerEvent | DialFailed], None]) -> None:
        """`watcher` is called with each PeerUp, PeerSuspect, PeerBack, PeerGone and DialFailed."""
        self._watchers.append(watcher)

    def handle(
        self, kind: type[M], handler: Callable[[Incarnation, M], None], *, who: Role, aside: bool = False
    ) -> None:
        """Bring messages of this kind to `handler`, if their sender has one of the roles `who`.

        aside  it may be called on the kernel's thread, too, never by both threads for one peer at
               once. It runs no code of users and waits for nothing.

        Anyone else who sends one has broken the rules: his session ends (SE-19). A second
        handler hears it after the first: a private scheduler and its client share an endpoint.
        """
        self.hearing.handle(kind, handler, who, aside)

    def take_keys(self, keys: Keyring) -> None:
        """Go by these keys from now on; reactor thread.

        Who is connected by a key that is dropped has to prove another one soon: sessions and what
        they carry go on (SE-08).
        """
        self.keyring.take(keys)
        for peer in self._peers.values():
            if self.keyring.find(peer.key_id) is None:
                self.reactor.loop.call_later(random.uniform(0, REPROVE_WITHIN), self._reprove, peer)

    def _reprove(self, peer: Peer) -> None:
        if not self._closed and not peer.lost and self.keyring.find(peer.key_id) is None:
            peer.reconnect("the key that it had proved was dropped")

    # Listening and dialling.

    async def listen(self, hosts: Sequence[str], port: int = 0, *, announce: Sequence[str] = ()) -> Location:
        """Listen at each host, all with one port (0: a free one).

        announce  the addresses that peers are told to dial, where they differ (a NAT's outside).
        OSError names address and port and what is wrong with them, ValueError what nobody can dial.
        """
        outside = addresses.announced(announce)
        first = self._reception.listen(hosts, port)
        if self.tls is not None and self.tls.notice and not self.roles & Role.SERVER:
            # Once, not in each server of a node.
            log.warning("%s; peers accept it all the same, by the key that they prove", self.tls.notice)
        reached = outside or addresses.reached([where.addr for where in self.listening])
        self.location = Location(reached[0], first.port, reached[1:])
        return self.location

    @property
    def listening(self) -> list[Location]:
        """Where this process listens itself; `location` is what it announces."""
        return self._reception.listening

    def dial(
        self, location: Location, *, reservation: int = 0, once: bool = False, owner: object = None
    ) -> None:
        """Reach for whoever listens there, again and again until it is up or `stop_dialling`.

        once   one try is enough, unless somebody else wants more; DialFailed tells of it, too.
        owner  who wants it: `stop_dialling` of one owner does not stop another's dial.
        """
        self._dialler.dial(location, reservation, once=once, owner=owner)

    def dialling(self, location: Location) -> int | None:
        """The reservation that this location is being dialled for, 0: none; None: nobody dials it."""
        return self._dialler.under_way(location)

    def stop_dialling(self, location: Location, owner: object = None) -> None:
        """`owner` does not want that location any more."""
        self._dialler.stop(location, owner)

    def refused(self, greeting: Greeting, reason: str) -> None:
        """A proven connection is not what it says it is."""
        self._reception.refused(greeting, reason)

    def greet(self, stream: Stream, *, dialer: bool, reservation: int, ended: Ended) -> Greeting:
        """Begin the handshake on a connected socket; LocalProtocolError if we lack the key for it."""
        key = self.keyring.reservation(reservation) if reservation else self.keyring.own

        def over(proven: Proven | None, code: str, text: str) -> None:
            self._greetings.discard(greeting)
            ended(proven, code, text)

        greeting = Greeting(
            self.reactor,
            stream,
            dialer=dialer,
            incarnation=self.incarnation,
            roles=self.roles,
            keyring=self.keyring,
            key=key,
            port=self.location.port if self.location else 0,
            limits=self.limits,
            traffic=self.traffic,
            ended=over,
        )
        self._greetings.add(greeting)
        greeting.begin()
        return greeting

    # Sessions.

    def attach(self, greeting: Greeting, proven: Proven, dialled: Location | None) -> Peer | None:
        """A connection has proved whose it is: let it carry that peer's session."""
        if self._closed:
            greeting.connection.close()
            return None
        their = proven.peer.incarnation
        peer = self._peers.get(their)
        if peer is None:
            if not self._has_room(greeting, proven):
                return None
            limits = replace(self.limits, max_message_bytes=proven.max_message_bytes)
            peer = Peer(self, their, proven.peer.roles, limits)
            self._peers[their] = peer
        if not peer.adopt(greeting, proven, dialled):
            greeting.connection.close()
        return peer  # perhaps lost already: `settled` says why

    def _has_room(self, greeting: Greeting, proven: Proven) -> bool:
        """May there be one session more? If not, whoever wants it is told why (N4)."""
        sessions = len(self._peers)
        most, bound = room(self.limits, transport.max_descriptors())
        now = time.monotonic()
        if sessions < most:
            if nearly_full(sessions, most) and self._lines.due("sessions", now) is not None:
                log.warning("%d sessions are open, and %d are possible: %s", sessions, most, bound)
            return True
        left_out = self._lines.due("no room", now)
        if left_out is not None:
            text = "refused a session with %s: %d are open; %s%s"
            log.warning(text, greeting, sessions, bound, others(left_out))
        turn_away(greeting, proven, self.incarnation, self.limits, "it has no room for one more session")
        return False

    def redial(self, peer: Peer) -> None:
        """Dial a peer whose connection broke, once."""
        self._dialler.redial(peer)

    # Saying.

    def say(self, to: Incarnation, message: Message) -> None:
        """Send a message; legal from any thread.

        A lone message leaves at once, in the caller's thread where that is possible; a burst
        becomes one write (N7). To a peer that is lost, or unknown, it has no effect: watchers
        are told of losses. Closed if this endpoint is; MessageTooLarge over the limit.
        """
        if self.queue(to, message):
            self.flush()

    def queue(self, to: Incarnation, message: Message, urgent: bool = False) -> bool:
        """As `say`, but leave the writing to a `flush` that must follow. False: nobody to write to.

        urgent  it goes ahead of what is not, also between two slices of a long message.
        """
        if self._closed:
            raise Closed("this process has closed its endpoint")
        if to == self.incarnation:
            self.reactor.call(self.hearing.hear_own, message)
            return False
        peer = self._peers.get(to)
        if peer is None:
            return False
        head, attachments = encode(message)
        with peer.lock:
            if peer.lost:
                return False
            if not urgent and self.reactor.here and not peer.session.has_room:
                # Nobody here could wait, and whoever caused this message may be another one
                # than he who does not read: it is he who goes.
                self.reactor.call(self.lose, peer, "it does not take what is said to it")
                return False
            try:
                if peer.bundle.waits and not urgent:
                    peer.send_bundle()
                peer.session.send(head, attachments, urgent)
            except Closed:
                # It has just ended, and the reactor is about to tell the watchers.
                return False
        self._dirty[to] = peer
        return True

    def bundle(self, to: Incarnation, number: int, value: bytes) -> int:
        """As `queue`, a small pickled message for the receiver of that number: it leaves with others.

        JOINED: others wait before it, and are going to be written. FIRST: `flush` must follow.
        0: it is to be queued as any other message.
        """
        peer = self._peers.get(to)
        if peer is None or self._closed:
            return 0
        with peer.lock:
            bundle = peer.bundle
            if bundle.open:
                bundle.add(number, value)
                return JOINED
            if peer.lost or peer.session.state is SessionState.CLOSED or not peer.session.has_room:
                return 0
            if bundle.waits:  # and is full
                peer.send_bundle()
            bundle.add(number, value)
        self._dirty[to] = peer
        return FIRST

    def could_not_say(self, to: Incarnation, message: Message, error: Exception) -> None:
        """`queue` raised this: the session ends, for its two ends would not agree any more; any thread."""
        if isinstance(error, Closed):
            return  # this process or that session has ended: nobody waits
        peer, what = self.peer(to), type(message).__name__
        # Only our bug raises anything else: then where it did matters.
        bug = None if isinstance(error, LocalProtocolError) else error
        log.error("%s can't be told %s: %s", peer or to.hex()[:8], what, error, exc_info=bug)
        if peer is not None:
            self.reactor.call(self.lose, peer, f"it can't be told {what}: {error}")

    def writable(self, to: Incarnation) -> bool:
        """False: so much is queued for this peer that the sender ought to wait (N4)."""
        peer = self._peers.get(to)
        return peer is None or peer.session.writable

    def when_writable(self, to: Incarnation) -> Operation:
        """Done when there is room again in what is queued for this peer, or when it is lost."""
        operation = Operation()
        self.reactor.call(self._wait_writable, to, operation)
        return operation

    def _wait_writable(self, to: Incarnation, operation: Operation) -> None:
        peer = self._peers.get(to)
        if peer is None or peer.session.writable:
            operation.complete()
        else:
            peer.waiting.append(operation)

    def bind_kernel(self, kernel: Kernel) -> None:
        """Let tasks of this kernel write from its thread: see `flush`."""
        self._kernel = kernel
        kernel.before_wait.append(self.write_dirty)

    def flush(self) -> None:
        """See to it that what was queued gets written.

        On the kernel's thread the first message since the kernel last waited is written at
        once: a question goes out without a detour. What follows before it waits again is a
        burst, which the kernel writes when it waits, or now and then while it does not; only
        if a task keeps it from that does the reactor write. Answers to what was read in one
        go leave together.
        """
        kernel = self._kernel
        if kernel is not None and kernel.here:
            if kernel.idles != self._last_idle:
                self._last_idle = kernel.idles
                self.write_dirty()
            elif not self._told:
                self._told = True
                self.reactor.later(BURST, self._write_told)
        elif not self.reactor.here:
            if not self._told:
                self._told = True
                self.reactor.call(self._write_told)
        elif not self.hearing.under_way:
            self.reactor.call(self.write_dirty)

    def _write_told(self) -> None:
        self._told = False
        self.write_dirty()

    def write_dirty(self) -> None:
        """Write what waits for the sockets; any thread."""
        dirty = self._dirty
        while dirty:
            try:
                _, peer = dirty.popitem()
            except KeyError:  # another thread took the last one
                return
            peer.write()

    # Hearing.

    def hear_with(self, loop: Loop) -> None:
        """Have that loop's thread read what comes for its tasks while it waits; see `net.ears`."""
        self.hearing.hear_with(loop)

    def when_kept(self, call: Callable[[], object]) -> bool:
        """Call this on the reactor while a task keeps the kernel from writing; False: nobody will."""
        return self.hearing.when_kept(call)

    def read_out(self, incarnation: Incarnation) -> None:
        """Hear all that a peer has said so far, before anything else is heard; reactor thread."""
        peer = self._peers.get(incarnation)
        if peer is not None and peer.connection is not None:
            peer.connection.read_out()

    # Coming and going.

    def introduction(self) -> Introduction:
        """What we say first on each new session."""
        return Introduction(
            name=self.name,
            roles=self.roles,
            location=self.location,
            python=sys.version.partition(" ")[0],
            release=RELEASE,
        )

    def up(self, peer: Peer) -> None:
        self._tell(peer.event())

    def suspect(self, peer: Peer) -> None:
        if peer.introduced:
            self._tell(PeerSuspect(peer.incarnation))

    def back(self, peer: Peer) -> None:
        if peer.introduced:
            self._tell(PeerBack(peer.incarnation))

    def lose(self, peer: Peer, reason: str) -> None:
        """The peer is gone; watchers are told once."""
        if self._peers.get(peer.incarnation) is peer:
            del self._peers[peer.incarnation]
        if peer.end(reason) and peer.introduced:
            self._tell(PeerGone(peer.incarnation, reason))

    def forget(self, incarnation: Incarnation, reason: str = "") -> None:
        """End the session with a peer by choice; watchers are not told."""
        peer = self._peers.pop(incarnation, None)
        if peer is not None:
            peer.farewell(reason)

    def dial_failed(self, event: DialFailed, code: str) -> None:
        """A location that somebody asked for was not reached this time."""
        if code not in _MAY_PASS:
            # Waiting mends no wrong key and no other version: the user has to know.
            left_out = self._lines.due(str(event.location), time.monotonic(), code)
            if left_out is not None:
                log.warning("can't join %s%s", event.reason, others(left_out))
            event = replace(event, told=True)
        self._tell(event)

    def _tell(self, event: PeerEvent | DialFailed) -> None:
        for watcher in list(self._watchers):
            try:
                watcher(event)
            except Exception:
                # The others are to know all the same.
                log.exception("a watcher failed at %s", type(event).__name__)

    # Time.

    @property
    def _beat(self) -> float:
        return self.limits.keepalive / 4

    def _tick(self) -> None:
        for peer in list(self._peers.values()):
            peer.tick()
        if not self._closed:
            self._ticker = self.reactor.loop.call_later(self._beat, self._tick)

    def disown(self) -> None:
        """In a forked child: what the parent's connections carry is the parent's."""
        self._closed = True
        self._peers.clear()
        self._dirty.clear()
        self.hearing.disown()

    async def close(self) -> None:
        """Say goodbye to everyone, stop listening; may be repeated."""
        if self._closed:
            return
        for incarnation in list(self._peers):
            self.forget(incarnation, "its process closed")
        self._closed = True
        self._strikes.stop()
        self.hearing.close()
        self._ticker.cancel()
        self._reception.close()
        for greeting in list(self._greetings):
            greeting.close()
        await self._dialler.close()
