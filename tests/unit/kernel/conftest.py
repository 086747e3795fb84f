"""A fresh kernel for each test, which must be left consistent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.kernel.world import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    # Each live task is in exactly one state, and no task is queued twice (K1).
    ready = list(world.kernel.ready)
    assert len(ready) == len(set(map(id, ready)))
    for task in world.kernel.tasks.values():
        assert task.is_alive()
        assert (task in ready) == (task._waiting is None), task
