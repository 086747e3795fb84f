"""Keys: what comes from a terminal in raw form, as names.

Pure. Layer 8.
"""

from __future__ import annotations

_NAMED = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down",
    b"\x1b[C": "right", b"\x1bOC": "right", b"\x1b[D": "left", b"\x1bOD": "left",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down",
    b"\x1b[H": "home", b"\x1bOH": "home", b"\x1b[1~": "home",
    b"\x1b[F": "end", b"\x1bOF": "end", b"\x1b[4~": "end",
    b"\x1b[Z": "back tab",
    b"\r": "enter", b"\n": "enter", b"\t": "tab", b"\x7f": "backspace", b"\x08": "backspace",
    b"\x03": "interrupt", b"\x0c": "redraw",
}  # fmt: skip
_UTF8 = ((0xF5, 1), (0xF0, 4), (0xE0, 3), (0xC0, 2))  # from which first byte on, and how many bytes
_LONGEST = 32  # bytes of one sequence; longer is none


class Keys:
    """Reads bytes as they come. A sequence may come in parts."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def undecided(self) -> bool:
        """Something came that may be Esc, or the beginning of more."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """The names of keys that are whole now: `up`, `enter`, or the character."""
        self._rest += data
        found = []
        while self._rest:
            length = self._length(self._rest)
            if length == 0:
                break
            key, self._rest = self._rest[:length], self._rest[length:]
            name = _NAMED.get(key) or _character(key)
            if name:
                found.append(name)
        return found

    def settle(self) -> list[str]:
        """Nothing followed in time: what came was Esc, and whatever stands behind it."""
        rest, self._rest = self._rest, b""
        return ["escape"] if rest.startswith(b"\x1b") else []

    def _length(self, data: bytes) -> int:
        """Bytes of the first key; 0: it isn't whole yet."""
        if data[0] != 0x1B:
            # A character of UTF-8; what is none ends where it stops to be one.
            wanted = next((size for least, size in _UTF8 if data[0] >= least), 1)
            for at in range(1, min(wanted, len(data))):
                if data[at] & 0xC0 != 0x80:
                    return at
            return wanted if len(data) >= wanted else 0
        if len(data) == 1:
            return 0
        if data[1:2] == b"O":
            return 3 if len(data) >= 3 else 0
        if data[1:2] != b"[":
            return 2  # Alt and a key: no name of ours
        for at in range(2, min(len(data), _LONGEST)):
            if 0x40 <= data[at] <= 0x7E:
                return at + 1
        return 0 if len(data) < _LONGEST else _LONGEST


def _character(key: bytes) -> str:
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return ""
    return text if len(text) == 1 and text.isprintable() else ""
