"""The ledgers of a chaos run, and what may not stand in them (R-31, R-57)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from dispycos.records import record


@record
class Books:
    """What the client's program and all servers wrote down."""

    allowed: dict[int, int]  # id -> attempts
    ended: dict[int, list[str]]  # id -> how, each time
    told: Counter[int]  # how often status_task was told that it ended
    begun: Counter[int]
    done: Counter[int]

    def problems(self) -> list[str]:
        """A sentence for each thing that may not be."""
        found = []
        for task, attempts in self.allowed.items():
            ends, begun, done = self.ended.get(task, []), self.begun[task], self.done[task]
            if len(ends) != 1:
                found.append(f"task {task} ended {len(ends)} times: {ends}")
            if self.told[task] != 1:
                found.append(f"status_task was told {self.told[task]} times how task {task} ended")
            if begun > attempts:
                found.append(f"task {task} began {begun} times, and {attempts} attempts were allowed")
            if ends == ["finished"] and not done:
                found.append(f"task {task} finished and was done by nobody")
            if done > begun:
                found.append(f"task {task} was done {done} times and began {begun} times")
        for task in (self.ended.keys() | self.begun.keys() | self.told.keys()) - self.allowed.keys():
            found.append(f"nobody submitted task {task}")
        return found

    def __str__(self) -> str:
        ends = Counter(how for all_of_it in self.ended.values() for how in all_of_it)
        again = sum(count > 1 for count in self.begun.values())
        told = ", ".join(f"{count} {how}" for how, count in ends.most_common())
        return f"{len(self.allowed)} tasks: {told}; {again} began more than once"


def empty() -> Books:
    """Books in which nothing stands."""
    return Books({}, {}, Counter(), Counter(), Counter())


def read(folder: Path) -> Books:
    """All ledgers of a folder."""
    books = empty()
    for path in folder.iterdir():
        put(books, path.read_text().splitlines())
    return books


def put(books: Books, lines: Iterable[str]) -> None:
    """Add what stands in one ledger."""
    for line in lines:
        word, task, *rest = line.split(maxsplit=2)
        number = int(task)
        if word == "submitted":
            books.allowed[number] = int(rest[0])
        elif word == "ended":
            books.ended.setdefault(number, []).append(rest[0])
        elif word == "told":
            books.told[number] += 1
        elif word == "begun":
            books.begun[number] += 1
        elif word == "done":
            books.done[number] += 1
