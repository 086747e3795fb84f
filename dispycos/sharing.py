"""Sharing: what the shared tuples of a pickle would cost to hash, told before it is read.

A pickle can put one tuple into the next twice, and that one twice into another. To hash the last of
n such tuples takes 2**n steps, in one call that nothing ends; a dict or set hashes it while the
pickle is read. So whoever reads pickles of others looks first: most hold no tuple, or share little,
which two searches find; only the rest is followed instruction by instruction.

Pure: no I/O, clock or randomness. Layer 0. Rule N4.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final

from dispycos.errors import LoadError
from dispycos.model import Buffer

MOST: Final = 10_000_000  # values that may be looked at to hash, and so many more for each byte
_MORE: Final = 20

_STOP: Final = ord(".")
_MARK: Final[Any] = None  # on the stack

_SIMPLE: Final = (
    rb"[N\x88\x89(01\]})\x8fadelsu\x90\x93\x94Rb\x81\x92]|[K\x80q].|M..|[Jr].{4}|[G\x95].{8}|"
    rb"[ILFSVp][^\n]*\n|c[^\n]*\n[^\n]*\n"
)
_TUPLES: Final = rb"[\x85-\x87t\x91]"
_SHARED: Final = rb"h.|j.{4}|2|g[^\n]*\n"


@functools.cache
def _passing(more: bytes) -> re.Pattern[bytes]:
    # Any number of simple instructions, and of these. Made when it is used, for that takes
    # milliseconds: many a far end reads lone values only.
    # Short texts, bytes and numbers, behind a length of one byte.
    lengths = (re.escape(bytes([number])) + b".{%d}" % number for number in range(256))
    counted = b"[\\x8cCU\\x8a](?:" + b"|".join(lengths) + b")"
    return re.compile(b"(?:" + b"|".join((_SIMPLE, counted, more)) + b")*+", re.DOTALL)


# Instructions with a length, and how many bytes that takes: long texts, bytes and numbers.
_LONG: Final = {ord("X"): 4, ord("B"): 4, ord("T"): 4, 0x8B: 4, 0x8D: 8, 0x8E: 8, 0x96: 8}
# Instructions that may be counted, with their sizes.
_COUNTED: Final = {0x85: 1, 0x86: 1, 0x87: 1, ord("t"): 1, 0x91: 1, ord("h"): 2, ord("j"): 5, ord("2"): 1}
# What follows other instructions, in bytes.
_FIXED: Final = {ord("K"): 1, ord("M"): 2, ord("J"): 4, ord("G"): 8, 0x80: 1, 0x95: 8}
_PUSHED: Final = frozenset(b"NKMJGUCXBT\x88\x89\x8a\x8b\x8c\x8d\x8e\x96")  # one value that holds no other
_EMPTY: Final = frozenset(b"]})\x8f")
_NOT_PUSHED: Final = frozenset(b"\x80\x95")


def check(data: Buffer) -> None:
    """LoadError if reading this pickle would hash for long. One that is damaged is left to its reader."""
    view = memoryview(data).cast("B")
    size = len(view)
    passed = _passing(_TUPLES).match(view)
    assert passed is not None  # nothing is a match as well
    if passed.end() >= size - 1:
        return  # nothing is shared up to its last byte: the usual case, made short
    # Each that is shared may double what is hashed.
    enough = (_budget(view) // size).bit_length()
    if _count(view, _passing(_TUPLES), enough) < enough or _count(view, _passing(_SHARED), 1) == 0:
        return
    _Followed(view).to_the_end()


def _budget(view: memoryview) -> int:
    return MOST + _MORE * len(view)


def _count(view: memoryview, passed: re.Pattern[bytes], most: int) -> int:
    # How many instructions there are beside those that are passed; no more than `most` are counted,
    # and as many if there is one that is seldom sent.
    place = count = 0
    while count < most:
        found = passed.match(view, place)
        assert found is not None  # nothing is a match as well
        place = found.end()
        if place >= len(view) or view[place] == _STOP:
            break
        size = _long(view, place)
        if size is None:
            count += 1
            size = _COUNTED.get(view[place])
            if size is None:
                return most  # whatever it is, it is to be followed
        place += size
    return count


def _long(view: memoryview, place: int) -> int | None:
    # Bytes of a long instruction here; None: it is none.
    width = _LONG.get(view[place])
    if width is None:
        return None
    return 1 + width + int.from_bytes(view[place + 1 : place + 1 + width], "little")


class _Followed:
    """A reader that builds nothing: of each value it knows only how much hashing it takes."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._place = 0
        self._stack: list[Any] = []
        self._memo: dict[int, int] = {}
        self._hashed = 0
        self._most = _budget(view)

    def to_the_end(self) -> None:
        """Until it stops, or hashes too much: LoadError."""
        try:
            while (code := self._view[self._place]) != _STOP:
                self._place += 1
                self._step(code)
        except LoadError:
            raise
        except (IndexError, KeyError, TypeError, ValueError):
            return  # damaged: its reader finds that too, and before it has hashed more than we counted

    def _step(self, code: int) -> None:
        stack = self._stack
        if code in _PUSHED:
            self._skip(code)
            stack.append(1)
        elif code in _EMPTY:
            stack.append(1)
        elif code in _NOT_PUSHED:
            self._skip(code)
        else:
            steps = _STEPS.get(code)
            if steps is None:
                raise LoadError("the bytes are not those of a value that is sent here")
            steps(self)

    def _skip(self, code: int) -> None:
        if code in b"UC\x8a\x8c":
            self._place += 1 + self._view[self._place]
        elif code in _LONG:
            size = _long(self._view, self._place - 1)
            assert size is not None
            self._place += size - 1
        else:
            self._place += _FIXED.get(code, 0)

    def _number(self, width: int) -> int:
        number = int.from_bytes(self._view[self._place : self._place + width], "little")
        self._place += width
        return number

    def _marked(self) -> list[int]:
        stack = self._stack
        place = len(stack) - 1
        while stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise IndexError
        found = stack[place + 1 :]
        del stack[place:]
        return found

    def _hash(self, weights: list[int]) -> None:
        self._hashed += sum(weights)
        if self._hashed > self._most:
            raise LoadError("the value shares tuples in a way that would take for ever to hash")

    # What an instruction does to the stack.

    def _mark(self) -> None:
        self._stack.append(_MARK)

    def _pop(self) -> None:
        self._stack.pop()

    def _pop_marked(self) -> None:
        self._marked()

    def _twice(self) -> None:
        self._stack.append(self._stack[-1])

    def _put(self, weights: list[int]) -> None:
        # As much as hashing it takes: to look at it, and at what is inside.
        self._stack.append(min(1 + sum(weights), self._most + 1))

    def _tuple(self, size: int) -> None:
        found = self._stack[-size:]
        del self._stack[-size:]
        self._put(found)

    def _long_tuple(self) -> None:
        self._put(self._marked())

    def _list(self) -> None:
        self._marked()
        self._stack.append(1)

    def _dict(self) -> None:
        self._hash(self._marked()[::2])
        self._stack.append(1)

    def _set_item(self) -> None:
        self._stack.pop()
        self._hash([self._stack.pop()])

    def _set_items(self) -> None:
        self._hash(self._marked()[::2])

    def _add_items(self) -> None:
        self._hash(self._marked())

    def _frozenset(self) -> None:
        found = self._marked()
        self._hash(found)
        self._stack.append(1 + len(found))  # it keeps their hashes

    def _make(self) -> None:
        # What is made of arguments hashes as they do, at most.
        arguments = self._stack.pop()
        self._stack[-1] = arguments

    def _make_by_name(self) -> None:
        named, arguments = self._stack.pop(), self._stack.pop()
        self._stack[-1] = min(named + arguments, self._most + 1)

    def _memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _remember(self, width: int) -> None:
        self._memo[self._number(width)] = self._stack[-1]

    def _recall(self, width: int) -> None:
        self._stack.append(self._memo[self._number(width)])

    def _line(self) -> bytes:
        start = self._place
        while self._view[self._place] != ord("\n"):
            self._place += 1
        self._place += 1
        return bytes(self._view[start : self._place])

    def _simple_in_a_line(self) -> None:
        self._line()
        self._stack.append(1)

    def _global_in_lines(self) -> None:
        self._line()
        self._simple_in_a_line()

    def _remember_by_line(self) -> None:
        self._memo[int(self._line())] = self._stack[-1]

    def _recall_by_line(self) -> None:
        self._stack.append(self._memo[int(self._line())])

    def _global(self) -> None:
        self._stack.pop()
        self._stack[-1] = 1


_STEPS: Final[dict[int, Callable[[_Followed], None]]] = {
    ord("("): _Followed._mark,
    ord("0"): _Followed._pop,
    ord("1"): _Followed._pop_marked,
    ord("2"): _Followed._twice,
    0x85: lambda one: one._tuple(1),
    0x86: lambda one: one._tuple(2),
    0x87: lambda one: one._tuple(3),
    ord("t"): _Followed._long_tuple,
    ord("l"): _Followed._list,
    ord("d"): _Followed._dict,
    ord("a"): _Followed._pop,
    ord("e"): _Followed._pop_marked,
    ord("s"): _Followed._set_item,
    ord("u"): _Followed._set_items,
    0x90: _Followed._add_items,
    0x91: _Followed._frozenset,
    ord("R"): _Followed._make,
    ord("b"): _Followed._pop,
    0x81: _Followed._make,
    0x92: _Followed._make_by_name,
    ord("c"): _Followed._global_in_lines,
    ord("p"): _Followed._remember_by_line,
    ord("g"): _Followed._recall_by_line,
    0x93: _Followed._global,
    0x94: _Followed._memoize,
    ord("q"): lambda one: one._remember(1),
    ord("r"): lambda one: one._remember(4),
    ord("h"): lambda one: one._recall(1),
    ord("j"): lambda one: one._recall(4),
}
_STEPS.update((code, _Followed._simple_in_a_line) for code in b"ILFSV")
