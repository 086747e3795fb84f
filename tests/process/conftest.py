"""The fixtures of tests with real processes; each stands in the file of what it makes."""

from __future__ import annotations

from tests.process.clusters import cluster, lively, own_cluster, program, short_grace
from tests.process.daemons import key_file, local, master, own_local
from tests.process.schedulers import place
from tests.process.standing import standing

__all__ = [
    "cluster", "key_file", "lively", "local", "master", "own_cluster", "own_local", "place", "program",
    "short_grace", "standing",
]  # fmt: skip
