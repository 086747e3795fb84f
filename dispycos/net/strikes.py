"""Strikes: what `DISPYCOS_CHAOS` does to a whole process at its time: cut, kill, set the clock.

Made with the endpoint, since each process that takes part in a network has one; where the variable is
not set it plans nothing. I/O half. Layer 3. Rules R-63, R-25.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import random
import signal
from collections.abc import Callable
from typing import Protocol

from dispycos.chaos.faults import VARIABLE, When, is_a
from dispycos.chaos.present import jump_clock, present
from dispycos.model import Role
from dispycos.net.peer import Peer
from dispycos.net.reactor import Reactor

log = logging.getLogger("dispycos")


class Host(Protocol):
    """What they need of the endpoint."""

    name: str
    roles: Role
    reactor: Reactor

    def peers(self) -> list[Peer]: ...


class Strikes:
    """All that is planned for one process."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._planned: dict[int, asyncio.TimerHandle] = {}  # by what strikes
        self._random = random.Random()

    @classmethod
    def of(cls, host: Host) -> Strikes:
        """Plan what the environment says, and warn that it does. BadChaos."""
        strikes, faults = cls(host), present()
        if faults is None:
            return strikes
        if not host.roles & Role.SERVER:
            # Once in a program, not in each server of a node.
            log.warning("%s is set: %s makes faults by itself: %s", VARIABLE, host.name, os.environ[VARIABLE])
        # A process that is started in the place of another does not end at the same moment of its life.
        strikes._random.seed(f"{faults.seed} {host.name} {os.getpid()}")
        for when in faults.cuts:
            strikes._plan(when, strikes._cut)
        for role, when in faults.kills:
            if is_a(role, host.roles):
                strikes._plan(when, strikes._kill)
        for seconds, when in faults.clock:
            strikes._plan(when, functools.partial(jump_clock, seconds))
        return strikes

    def _plan(self, when: When, strike: Callable[[], None], number: int | None = None) -> None:
        number = len(self._planned) if number is None else number
        seconds = self._random.expovariate(1 / when.seconds) if when.random else when.seconds

        def due() -> None:
            if when.repeated:
                self._plan(when, strike, number)
            strike()

        self._planned[number] = self._host.reactor.loop.call_later(seconds, due)

    def _cut(self) -> None:
        for peer in self._host.peers():
            peer.reconnect(f"{VARIABLE} cut it")

    def _kill(self) -> None:
        log.warning("%s kills %s", VARIABLE, self._host.name)
        os.kill(os.getpid(), signal.SIGKILL)

    def stop(self) -> None:
        """Nothing strikes any more; reactor thread. May be repeated."""
        for timer in self._planned.values():
            timer.cancel()
        self._planned.clear()
