"""Pickles of a lone simple value, which are the most of all: told by their length, read at once.

They have one opcode, so they can name nothing; whoever reads them needs no Unpickler of his own.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import Final

from dispycos.model import Buffer

SIMPLE: Final = frozenset({type(None), bool, int, float, str, bytes})  # nothing is inside them

# Opcodes that begin such a pickle: so many bytes follow, the end included; or as many more as the
# first of them says. Nothing else has room.
_FIXED: Final = {ord("N"): 1, 0x88: 1, 0x89: 1, ord("K"): 2, ord("M"): 3, ord("J"): 5, ord("G"): 9}
_COUNTED: Final = {0x8C: 3, ord("C"): 3, 0x8A: 2}  # str, bytes, int
_FRAME: Final = 0x95  # 8 bytes of length follow
_MEMOIZE: Final = 0x94
_LONG: Final = 0x8A
_END: Final = 0x2E
_MOST_BYTES: Final = 300  # no such pickle is longer


def is_lone(data: Buffer) -> bool:
    """Whether these bytes of a pickle of protocol 5 can be nothing but one simple value, or damaged.

    False also for those that are long.
    """
    size = len(data)
    if not 3 < size < _MOST_BYTES or data[0] != 0x80 or data[1] != 5 or data[-1] != _END:
        return False
    place, code = 3, data[2]
    if code == _FRAME:
        if size < 13:
            return False
        place, code = 12, data[11]
    fixed = _FIXED.get(code)
    if fixed is not None:
        return size - place == fixed
    if code in _COUNTED:
        # A text is remembered, one byte before the end.
        return size - place == data[place] + _COUNTED[code] and (code == _LONG or data[-2] == _MEMOIZE)
    return False
