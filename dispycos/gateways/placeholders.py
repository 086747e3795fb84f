"""Placeholders of channels: inert until all of a value is read.

A pickle tells its reader to call, to fill and to change what it made before. So no channel may
stand there while the bytes are read: only placeholders do, made by a word that can't be changed.
The channels take their places when the whole value is there.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from dispycos.errors import LoadError

MOST: Final = 10_000  # channels in one value

_LARGEST: Final = 2**32 - 1  # number of a channel, which has four bytes on the wire


class Placeholder:
    """Stands for the channel of a number."""

    __slots__ = ("number",)

    def __init__(self, number: Any) -> None:
        self.number = number


class Word:
    """What a pickle calls for a channel. It has nothing that a pickle could change."""

    __slots__ = ("_made",)

    _made: list[None]

    def __init__(self) -> None:
        object.__setattr__(self, "_made", [])

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a word can't be changed")

    def __call__(self, number: Any) -> Placeholder:
        if len(self._made) == MOST:
            raise LoadError(f"a value with more than {MOST} channels")
        self._made.append(None)
        return Placeholder(number)


class Settling:
    """Puts channels in the places of placeholders, throughout one value.

    channel  the channel of a number.
    """

    def __init__(self, channel: Callable[[int], Any]) -> None:
        self._channel = channel
        # By identity: what was seen, which has to stay for that, and what takes its place. What
        # stands in many places is looked at once.
        self._memo: dict[int, tuple[Any, Any]] = {}
        self._unfilled: list[Any] = []  # lists, sets and dicts; all that holds itself does so by one

    def __call__(self, value: Any) -> Any:
        """The value with all its channels. LoadError, RecursionError."""
        value = self._settled(value)
        while self._unfilled:
            self._fill(self._unfilled.pop())
        return value

    def _settled(self, value: Any) -> Any:
        kind = type(value)
        if kind is Word:
            raise LoadError("the bytes name what is no plain value")
        if kind not in (Placeholder, tuple, frozenset, list, set, dict):
            return value
        known = self._memo.get(id(value))
        if known is not None:
            return known[1]
        settled = value
        if kind is Placeholder:
            settled = self._found(value.number)
        elif kind is tuple or kind is frozenset:
            settled = kind(map(self._settled, value))
        else:
            self._unfilled.append(value)
        self._memo[id(value)] = value, settled
        return settled

    def _found(self, number: Any) -> Any:
        if type(number) is not int or not 0 < number <= _LARGEST:
            raise LoadError("a channel without a number")
        return self._channel(number)

    def _fill(self, value: Any) -> None:
        if type(value) is list:
            value[:] = map(self._settled, value)
        elif type(value) is set:
            held = list(map(self._settled, value))
            value.clear()
            value.update(held)
        else:
            items = [(self._settled(key), self._settled(item)) for key, item in value.items()]
            value.clear()
            value.update(items)
