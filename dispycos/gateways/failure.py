"""How remote code failed, as text: the one form that any two Pythons understand."""

from __future__ import annotations

import traceback
from typing import Final

from dispycos import errors, forks, frames

_BEGINNING: Final = "Traceback (most recent call last):\n"


class RemoteError(errors.RemoteError):
    """Remote code raised an exception; `formatted` is its traceback as it was printed there."""

    def __init__(self, formatted: str) -> None:
        super().__init__(formatted)
        self.formatted = formatted


def describe(error: BaseException) -> str:
    """The traceback of an exception as text, without the lines of ours that lead to what was called."""
    trace = frames.beyond_ours(frames.traceback_of(error))
    with forks.parent_goes_on():
        text = "".join(traceback.format_exception(type(error), error, trace))
    # Python says no such thing of an error without frames, as one of syntax.
    return text if text.startswith(_BEGINNING) else _BEGINNING + text
