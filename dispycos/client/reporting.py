"""Reporting: what a client's scheduler hears of its tasks.

Their counts with each pulse, for whoever asks who has the cluster (D4); and what work there is, where the
scheduler says that a cluster beside it wants to know. What it heard last it does not hear again, unless it
asks anew. Called under the driver's lock.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dispycos.client import demand
from dispycos.client.demand import Work
from dispycos.client.dispatch import Dispatch
from dispycos.client.fleet import Fleet
from dispycos.events import Say
from dispycos.messages import Counts


class Reporting:
    """What one client's scheduler was told.

    monitor  where the client's web monitor listens; "": it has none.
    say      takes what is to be said.
    """

    def __init__(
        self, fleet: Fleet, dispatch: Dispatch, monitor: Callable[[], str], say: Callable[[Say], None]
    ) -> None:
        self._fleet = fleet
        self._dispatch = dispatch
        self._monitor = monitor
        self._say = say
        self._counted: Say | None = None  # what it was told last ...
        self._demanded: Work | None = None  # ... and of the work that there is

    def say_counts(self) -> None:
        """Tell it the counts, if it has not heard them."""
        dispatch, turn = self._dispatch, self._fleet.turn
        if turn.scheduler is None:
            return
        tasks = Counts(turn.reservation, dispatch.submitted, dispatch.done, self._monitor())
        counts = Say(turn.scheduler, tasks)
        if counts != self._counted:
            self._counted = counts
            self._say(counts)

    def demand(self) -> Work:
        """The work that the client's tasks are, and the servers that are waited for."""
        return replace(self._dispatch.demand(), servers=self._fleet.prospects.awaited.most)

    def say_demand(self, anew: bool) -> None:
        """Tell it the work that there is; only if it changed, unless it is to be told anew."""
        work, turn = self.demand(), self._fleet.turn
        if turn.scheduler is None or (work == self._demanded and not anew):
            return
        self._demanded = work
        self._say(Say(turn.scheduler, demand.said(work, turn.reservation)))
