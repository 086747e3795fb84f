"""Hosts that may have a node each: which one is next, and when one that failed is tried again.

A host that failed waits, ever longer, while others are used: who refuses a login may lock out who
asks too often. One whose node refuses its options would do so again, and is given up. Among those
that are free the one that never failed comes first, then the one whose failure is the oldest.

Pure: no I/O, clock or randomness. Layer 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from dispycos.records import record

RETRY_FIRST: Final = 10.0  # seconds until a host that failed is tried again; doubles ...
RETRY_MAX: Final = 600.0  # ... up to this


@record(frozen=False, eq=False)
class _Host:
    taken: bool = False  # it has a node, or is to get one
    failures: int = 0  # in a row
    reason: str = ""  # of the last one; "": it did not fail since it had a node
    failed: float = -math.inf  # when
    again: float = -math.inf  # not tried before


class Hosts:
    """Those of one cluster, by the names that the user gave them. ValueError for one that stands twice."""

    def __init__(self, names: Iterable[str]) -> None:
        self._hosts: dict[str, _Host] = {}
        for name in names:
            if name in self._hosts:
                raise ValueError(f"host {name!r} stands twice; each has one node")
            self._hosts[name] = _Host()

    def __len__(self) -> int:
        return len(self._hosts)

    def take(self, now: float) -> str | None:
        """One for another node; None: there is none at this moment."""
        free = [name for name, host in self._hosts.items() if self._is_free(host, now)]
        if not free:
            return None
        name = min(free, key=lambda name: self._hosts[name].failed)
        self._hosts[name].taken = True
        return name

    def came(self, name: str) -> None:
        """Its node is here: what failed before is past."""
        host = self._hosts[name]
        host.failures, host.reason, host.failed = 0, "", -math.inf

    def leave(self, name: str) -> None:
        """It has no node any more, as was asked for."""
        self._hosts[name].taken = False

    def fail(self, name: str, reason: str, now: float) -> float:
        """It refused, or its node died; after how many seconds it is tried again."""
        host = self._hosts[name]
        wait = min(RETRY_MAX, RETRY_FIRST * 2.0 ** min(host.failures, 30))
        host.taken = False
        host.failures += 1
        host.reason, host.failed, host.again = reason, now, now + wait
        return wait

    def give_up(self, name: str, reason: str) -> None:
        """It will never have a node."""
        host = self._hosts[name]
        host.taken = False
        host.reason, host.again = reason, math.inf

    def given_up(self) -> dict[str, str]:
        """Those, and why."""
        return {name: host.reason for name, host in self._hosts.items() if host.again == math.inf}

    def free(self, now: float) -> int:
        """How many `take` would give at this moment."""
        return sum(self._is_free(host, now) for host in self._hosts.values())

    def next_deadline(self, now: float) -> float | None:
        """When more of them become free by themselves; None: never."""
        waiting = [
            host.again for host in self._hosts.values() if not host.taken and now < host.again < math.inf
        ]
        return min(waiting, default=None)

    def failed(self) -> dict[str, str]:
        """Those that have no node because of a failure, and which one."""
        return {name: host.reason for name, host in self._hosts.items() if host.reason and not host.taken}

    @staticmethod
    def _is_free(host: _Host, now: float) -> bool:
        return not host.taken and now >= host.again
