"""Exports: the objects of this end that the other end refers to.

An object is kept as long as the other end holds references to it: each time that one is sent it
counts, and the other end says how many of them it dropped. All are let go when the other end is
lost. Not safe for threads: its owner has a lock.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import Any, Final

from dispycos.records import record

ROOT: Final = 1  # the object that the other end knows from the start

# References to different objects that one end may hold. More is a leak of its program's.
MOST: Final = 1_000_000


class TooMany(Exception):
    """The other end holds more references than it may."""


@record(frozen=False)
class Export:
    """One object, and how many references to it were sent and not dropped."""

    object: Any
    count: int


class Exports:
    """See the module's docstring. An object has one number, however often it is sent."""

    def __init__(self, root: Any) -> None:
        self._by_number: dict[int, Export] = {ROOT: Export(root, 1)}
        # By identity: equal objects are not the same one. The object is alive as long as it stands here.
        self._numbers: dict[int, int] = {id(root): ROOT}
        self._next = ROOT + 1

    def add(self, value: Any) -> int:
        """Count one more reference to an object; its number. TooMany beyond MOST."""
        number = self._numbers.get(id(value))
        if number is None:
            if len(self._by_number) >= MOST:
                raise TooMany(f"the other end holds references to {MOST} objects and drops none of them")
            number, self._next = self._next, self._next + 1
            self._numbers[id(value)] = number
            self._by_number[number] = Export(value, 0)
        self._by_number[number].count += 1
        return number

    def __getitem__(self, number: int) -> Any:
        """The object of this number. KeyError if the other end has no reference to it."""
        return self._by_number[number].object

    def drop(self, number: int, count: int) -> Any:
        """The other end dropped so many references; the object if it was let go by that, else None.

        KeyError or ValueError if it did not have them.
        """
        export = self._by_number[number]
        if not 0 < count <= export.count:
            raise ValueError(f"{count} references dropped of {export.count}")
        export.count -= count
        if export.count or number == ROOT:
            return None
        del self._by_number[number]
        del self._numbers[id(export.object)]
        return export.object

    def clear(self) -> list[Any]:
        """Let go of all: the objects, for the caller to drop outside of any lock."""
        objects = [export.object for export in self._by_number.values()]
        self._by_number.clear()
        self._numbers.clear()
        return objects

    def __len__(self) -> int:
        return len(self._by_number)
