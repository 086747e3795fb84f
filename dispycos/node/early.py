"""Messages for tasks that have not begun: kept until they do, or until nobody knows of them.

A client may hand on the handle of a task before its server began it (D2), and what a third
process then says may even overtake the task itself. Bounded: beyond it the sender is told.

Kernel thread only. I/O half. Layer 5. Rules N3, N4, R-91.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from dispycos.config import Limits
from dispycos.kernel.core import Kernel
from dispycos.messages import Ask, Deliver, Undelivered
from dispycos.model import CLIENT_MADE, Incarnation
from dispycos.net.delivery import Delivery

MAX_EARLY = 10_000  # messages in all
MAX_EARLY_OF_TASK = 1000

_LOOK_EVERY = 1.0  # seconds between looks for tasks that will not come


class EarlyMessages:
    """What was said to tasks that are not here yet.

    waits  whether a task of that number waits here for its turn.
    """

    def __init__(
        self, kernel: Kernel, delivery: Delivery, limits: Limits, waits: Callable[[int], bool]
    ) -> None:
        self._kernel = kernel
        self._delivery = delivery
        self._limits = limits
        self._waits = waits
        self.kept: dict[int, list[tuple[Incarnation, Deliver | Ask]]] = {}  # at most MAX_EARLY
        self._count = 0
        self._until: dict[int, float] = {}  # when a task that does not wait here is given up
        self._ended: OrderedDict[int, None] = OrderedDict()  # the one that ended first goes first
        self._looking = False
        delivery.absent = self.keep

    def keep(self, peer: Incarnation, message: Deliver | Ask) -> bool:
        """Nobody here has the number: keep the message? False: its sender is to be told."""
        number = message.to
        if not number & CLIENT_MADE or number in self._ended or self._count >= MAX_EARLY:
            return False
        kept = self.kept.setdefault(number, [])
        if len(kept) >= MAX_EARLY_OF_TASK:
            return False
        kept.append((peer, message))
        self._count += 1
        self._until.setdefault(number, self._kernel.now + self._limits.request_timeout)
        if not self._looking:
            self._looking = True
            self._kernel.call_later(_LOOK_EVERY, self._look)
        return True

    def begun(self, number: int) -> None:
        """The task lives: it gets what was said to it, before anything newer."""
        if number in self.kept:
            for peer, message in self._take(number):
                self._delivery.take(peer, message)

    def ended(self, number: int) -> None:
        """The task is no more: what is said to it from now on comes back."""
        self._ended[number] = None
        if len(self._ended) > self._limits.max_ended_records:
            self._ended.popitem(last=False)
        if self.kept and number in self.kept:
            self._give_back(number, "it has ended")

    def _take(self, number: int) -> list[tuple[Incarnation, Deliver | Ask]]:
        kept = self.kept.pop(number)
        self._until.pop(number)
        self._count -= len(kept)
        return kept

    def _give_back(self, number: int, reason: str) -> None:
        for peer, message in self._take(number):
            self._delivery.endpoint.say(peer, Undelivered(number, message.ticket, reason))

    def _look(self) -> None:
        now = self._kernel.now
        for number, until in list(self._until.items()):
            if self._waits(number):
                self._until[number] = now + self._limits.request_timeout
            elif now >= until:
                self._give_back(number, "no task of that number came to that server, or it was taken back")
        self._looking = bool(self.kept)
        if self._looking:
            self._kernel.call_later(_LOOK_EVERY, self._look)
