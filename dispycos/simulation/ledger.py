"""The ledger: what happened to each task, kept apart from every party.

Layer 7. For tests only.
"""

from __future__ import annotations

from dispycos.model import End


class Ledger:
    """What happened to each task, kept apart from every party; asserts what may never be (R-31)."""

    def __init__(self) -> None:
        self.allowed: dict[int, int] = {}  # task -> attempts that it may use
        self.begun: dict[int, dict[int, str]] = {}  # task -> attempt -> where
        self.finals: dict[int, End] = {}

    def submitted(self, id: int, attempts: int = 1) -> None:
        assert id not in self.allowed, f"task {id} was submitted twice"
        self.allowed[id] = attempts

    def began(self, id: int, attempt: int, where: str) -> None:
        """A server enters the task's generator."""
        assert id in self.allowed, f"{where} begins task {id}, which nobody submitted"
        places = self.begun.setdefault(id, {})
        assert attempt not in places, (
            f"attempt {attempt} of task {id} begins at {where} and began at {places[attempt]}"
        )
        places[attempt] = where
        assert len(places) <= self.allowed[id], f"task {id} began {len(places)} times: {places}"

    def ended(self, id: int, end: End) -> None:
        """The client's program is told the task's outcome."""
        assert id in self.allowed, f"an outcome for task {id}, which nobody submitted"
        assert id not in self.finals, f"task {id} ended twice: {self.finals[id].name}, then {end.name}"
        if end is End.FINISHED:
            assert self.begun.get(id), f"task {id} finished and never began"
        self.finals[id] = end

    @property
    def open(self) -> list[int]:
        """Tasks without an outcome."""
        return [task for task in self.allowed if task not in self.finals]

    def balance(self) -> None:
        """At the end of a run: every task has its outcome."""
        assert not self.open, f"tasks without an outcome: {self.open}"
