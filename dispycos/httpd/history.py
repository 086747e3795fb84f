"""Histories: the samples of an hour and of a day, as packed numbers (MO-13).

A row of samples is taken every 5 s. What is unknown is NaN in here and None outside.

Pure. Layer 2.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

STEP = 5.0  # seconds between samples
HOUR = 720  # samples of 5 s
MINUTE = 12  # samples that make one of a day's
DAY = 1440  # samples of a minute

SERIES = ("cpu", "memory", "running", "rate")
_NAN = float("nan")


class Ring:
    """The last `size` samples of a few series."""

    __slots__ = ("_data", "_width", "count", "size")

    def __init__(self, size: int, width: int = len(SERIES)) -> None:
        self.size = size
        self.count = 0  # samples ever taken
        self._width = width
        # Grows up to its size: 1,000 nodes that came a minute ago take little.
        self._data = array("f")

    def add(self, values: Sequence[float | None]) -> None:
        numbers = [_NAN if value is None else value for value in values]
        if self.count < self.size:
            self._data.extend(numbers)
        else:
            at = self.count % self.size * self._width
            self._data[at : at + self._width] = array("f", numbers)
        self.count += 1

    def last(self, most: int) -> list[list[float | None]]:
        """Up to `most` samples, the oldest first."""
        count = min(most, self.count, self.size)
        found = []
        for number in range(self.count - count, self.count):
            at = number % self.size * self._width
            found.append([_known(value) for value in self._data[at : at + self._width]])
        return found

    @property
    def bytes(self) -> int:
        """Memory that the samples take."""
        return len(self._data) * self._data.itemsize


class Day:
    """An hour by 5 s and a day by minute of the same series."""

    __slots__ = ("_minute", "day", "hour")

    def __init__(self) -> None:
        self.hour = Ring(HOUR)
        self.day = Ring(DAY)
        self._minute: list[Sequence[float | None]] = []

    @property
    def whole_minute(self) -> bool:
        """The last sample completed a minute."""
        return not self._minute

    def add(self, values: Sequence[float | None]) -> None:
        self.hour.add(values)
        self._minute.append(values)
        if len(self._minute) == MINUTE:
            self.day.add([_mean(series) for series in zip(*self._minute, strict=True)])
            self._minute = []


def _known(value: float) -> float | None:
    # NaN is the only number that differs from itself.
    return round(value, 3) if value == value else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
