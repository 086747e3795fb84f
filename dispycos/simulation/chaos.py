"""Chaos: faults by chance, for a while.

Layer 7. For tests only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dispycos.simulation.stage import Stage


class Chaos:
    """Random faults for a while: each of `verbs`, about every `mean` seconds one of them."""

    def __init__(
        self, world: Stage, verbs: Sequence[Callable[[], None]], mean: float, duration: float
    ) -> None:
        self.world = world
        self.verbs = verbs
        self.mean = mean
        self.end = world.now + duration
        self._next()

    def _next(self) -> None:
        wait = self.world.random.expovariate(1 / self.mean)
        if self.world.now + wait < self.end:
            self.world.plan(wait, self._strike)

    def _strike(self) -> None:
        self.world.random.choice(self.verbs)()
        self._next()
