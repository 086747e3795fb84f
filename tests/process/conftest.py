"""The fixtures of tests with real processes; each stands in the file of what it makes."""

from __future__ import annotations

from tests.process.clusters import cluster, program
from tests.process.daemons import key_file, local, master
from tests.process.schedulers import place

__all__ = ["cluster", "key_file", "local", "master", "place", "program"]
