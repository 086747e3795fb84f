"""What anyone says to anyone about files.

Pure. Layer 0.
"""

from __future__ import annotations

import enum
from typing import Any

from dispycos.model import Payload
from dispycos.records import record


@record
class FileOffer:
    """A file is coming. The answer is FileAnswer: go on, have it already, or refused."""

    ticket: int
    name: str  # relative POSIX path (SE-47)
    size: int
    mode: int  # permission bits
    modified: float  # seconds since the epoch
    digest: bytes  # SHA-256 of the content
    overwrite: bool


@record
class FileSlice:
    """The next part of a file; an empty one gives the transfer up.

    The first SEND allows `2 * Limits.file_window` slices, each later one `file_window` more.
    """

    ticket: int
    offset: int
    data: Payload


class FileVerdict(enum.IntEnum):
    """What becomes of a file that was offered."""

    SEND = 1
    STORED = 2  # stored, or the identical file was there
    REFUSED = 3


@record
class FileAnswer:
    """Go on, it is stored, or it is refused and why."""

    ticket: int
    verdict: FileVerdict
    reason: str = ""


@record
class FileDelete:
    """Remove a file that I sent; answered by FileAnswer."""

    ticket: int
    name: str


NUMBERS: dict[int, type[Any]] = {
    8: FileOffer,
    9: FileSlice,
    10: FileAnswer,
    11: FileDelete,
}
