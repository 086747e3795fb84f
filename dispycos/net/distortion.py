"""Distortion: what is heard under `DISPYCOS_CHAOS`, where messages are lost, late or there twice.

What is late holds back all that the same peer says after it, as a slow link would: the order of a
session is promised (N2). The reactor's thread hears everything, so that there is one order.

I/O half. Layer 3. Rule R-63.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from dispycos.chaos.faults import ANNOUNCE, KINDS, Faults
from dispycos.chaos.present import chance, present
from dispycos.net import session as sessions
from dispycos.net.hearing import Hearing, Host
from dispycos.net.peer import Peer
from dispycos.net.transport import Connection

_TOGETHER = 0.001  # seconds between what is due together: timers are no finer


class DistortedHearing(Hearing):
    """All that one process hears, and what it does not."""

    __slots__ = ("_chance", "_delays", "_drops", "_dups", "_held")

    def __init__(self, host: Host, faults: Faults, who: str) -> None:
        super().__init__(host)
        self._chance = chance(faults, who)
        self._drops = _by_kind(faults.drop)
        self._dups = _by_kind(faults.dup)
        self._delays = _by_kind(faults.delay)
        # What each peer said that is not heard yet, and when it will be. As much as comes within a
        # delay, which is the tester's choice.
        self._held: dict[Peer, deque[tuple[float, Callable[[], None]]]] = {}

    def _heard_aside(self, peer: Peer, event: sessions.Event) -> bool:
        return False

    def _hear(self, peer: Peer, message: Any) -> None:
        kind = type(message)
        if self._chance.random() < self._drops.get(kind, 0.0):
            return
        for _ in range(1 + (self._chance.random() < self._dups.get(kind, 0.0))):
            self._in_time(peer, self._delays.get(kind, 0.0), lambda: Hearing._hear(self, peer, message))

    def _session_event(self, peer: Peer, event: sessions.Event, connection: Connection) -> None:
        if isinstance(event, sessions.Ended):
            # Its last word, and as late as those before.
            self._in_time(peer, 0.0, lambda: Hearing._session_event(self, peer, event, connection))
        else:
            super()._session_event(peer, event, connection)

    def _in_time(self, peer: Peer, delay: float, hear: Callable[[], None]) -> None:
        held = self._held.get(peer)
        if held is None and not delay:
            hear()
            return
        due = self._reactor.loop.time() + delay
        if held is None:
            held = self._held[peer] = deque()
            self._reactor.loop.call_at(due, self._go_on, peer)
        # Never before what was said earlier.
        held.append((max(due, held[-1][0]) if held else due, hear))

    def _go_on(self, peer: Peer) -> None:
        """Hear what is due."""
        held = self._held[peer]
        while held and held[0][0] <= self._reactor.loop.time() + _TOGETHER:
            _due, hear = held.popleft()
            if not peer.lost:
                hear()
        if held:
            self._reactor.loop.call_at(held[0][0], self._go_on, peer)
        else:
            del self._held[peer]
        self._host.write_dirty()


def _by_kind(words: dict[str, float] | None) -> dict[type[Any], float]:
    return {kind: value for word, value in (words or {}).items() for kind in KINDS[word]}


def hearing(host: Host, who: str) -> Hearing:
    """What a process hears with. BadChaos."""
    faults = present()
    return DistortedHearing(host, faults, who) if faults is not None and faults.of_messages else Hearing(host)


def datagrams(heard: Callable[..., None], call_later: Callable[..., object], who: str) -> Callable[..., None]:
    """What hears datagrams in the place of `heard`: that itself, where nothing happens to them."""
    faults = present()
    if faults is None or not any(
        ANNOUNCE in (words or ()) for words in (faults.drop, faults.dup, faults.delay)
    ):
        return heard
    drop = (faults.drop or {}).get(ANNOUNCE, 0.0)
    dup = (faults.dup or {}).get(ANNOUNCE, 0.0)
    delay = (faults.delay or {}).get(ANNOUNCE, 0.0)
    decide: random.Random = chance(faults, who)

    def distorted(*args: Any) -> None:
        if decide.random() < drop:
            return
        for _ in range(1 + (decide.random() < dup)):
            call_later(delay, heard, *args)

    return distorted
