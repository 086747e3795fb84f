"""A progress bar: drawn in a terminal, plain lines where output goes anywhere else.

It has no thread and no timer: it draws while it is advanced, at most `_DRAWS` times a
second, so that it costs the run it shows next to nothing.

Rows DC-66. Layer 5.
"""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import TextIO

_DRAWS = 10.0  # a second, in a terminal: more than eyes follow
_LINES = 0.1  # a second, elsewhere: a log file stays readable
_CELLS = 30  # of the bar itself


class Bar:
    """How far something with a known number of steps has got.

    total   steps in all; 0 is done from the start.
    label   what is being done, at the start of the line.
    stream  where to draw; standard error by default, so that piped results stay clean.
    """

    def __init__(self, total: int, label: str = "", stream: TextIO | None = None) -> None:
        self.total = total
        self.label = label
        self.done = 0
        self.failures = 0
        self.note = ""
        self._stream = stream or sys.stderr
        self._drawn = bool(getattr(self._stream, "isatty", bool)())
        self._started = time.monotonic()
        self._next = self._started + (0.0 if self._drawn else 1 / _LINES)
        self._width = 0
        self._closed = False

    def __enter__(self) -> Bar:
        self._show(time.monotonic())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def advance(self, steps: int = 1, note: str | None = None, *, failed: bool = False) -> None:
        """`steps` more are done; `note` replaces the words at the end of the line."""
        self.done += steps
        self.failures += steps if failed else 0
        if note is not None:
            self.note = note
        self._show(time.monotonic())

    def close(self) -> None:
        """Show the last state and leave the line. May be repeated."""
        if not self._closed:
            self._closed = True
            self._write(self._text(time.monotonic()), last=True)

    def _show(self, now: float) -> None:
        # The last state is `close`'s to show.
        if now < self._next or self._closed or self.done >= self.total:
            return
        self._next = now + 1 / (_DRAWS if self._drawn else _LINES)
        self._write(self._text(now), last=False)

    def _text(self, now: float) -> str:
        elapsed = max(now - self._started, 1e-6)
        share = min(self.done / self.total, 1.0) if self.total else 1.0
        parts = [f"{self.done:,} of {self.total:,}"]
        if self.done >= self.total:
            parts.append(f"{elapsed:.1f} s")
        elif self.done:
            parts.append(f"{self.done / elapsed:,.0f}/s")
            parts.append(f"{_duration((self.total - self.done) * elapsed / self.done)} left")
        if self.failures:
            parts.append(f"{self.failures:,} failed")
        if self.note:
            parts.append(self.note)
        bar = f"{self._cells(share)}  " if self._drawn else ""
        label = f"{self.label}  " if self.label else ""
        return f"  {label}{bar}{' · '.join(parts) if self._unicode() else ', '.join(parts)}"

    def _cells(self, share: float) -> str:
        full = int(share * _CELLS)
        if self._unicode():
            return "━" * full + "─" * (_CELLS - full)
        return "#" * full + "-" * (_CELLS - full)

    def _unicode(self) -> bool:
        return (getattr(self._stream, "encoding", None) or "").lower().startswith("utf")

    def _write(self, text: str, last: bool) -> None:
        try:
            if self._drawn:
                text = text[: shutil.get_terminal_size().columns - 1]
                self._stream.write("\r" + text.ljust(self._width) + ("\n" if last else ""))
                self._width = len(text)
            else:
                self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # A closed terminal or pipe: what is shown matters less than what is done.
            self._closed = True


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
