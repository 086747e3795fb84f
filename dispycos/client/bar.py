"""A progress bar: drawn in a terminal, HTML in a notebook, plain lines where output goes anywhere else.

It has no thread and no timer: it draws while it is advanced, at most `_DRAWS` times a
second, so that it costs the run it shows next to nothing.

I/O half. Row DC-66. Layer 5.
"""

from __future__ import annotations

import html
import shutil
import sys
import time
from types import TracebackType
from typing import TextIO

from dispycos.client import notebook
from dispycos.kernel import event_loop

_DRAWS = 10.0  # a second, in a terminal and a notebook: more than eyes follow
_LINES = 0.1  # a second, elsewhere: a log file stays readable
_CELLS = 30  # of the bar itself
_SAMPLE = 0.02  # of all steps: who has seen fewer can say neither pace nor end


class Bar:
    """How far something with a known number of steps has got.

    total   steps in all; 0 is done from the start.
    label   what is being done, at the start of the line.
    stream  where to draw; by default the notebook that this process serves, else standard error,
            so that piped results stay clean.
    """

    def __init__(self, total: int, label: str = "", stream: TextIO | None = None) -> None:
        self.total = total
        self.label = label
        self.done = 0
        self.failures = 0
        self._before = 0  # of those done: before the bar began
        self.note = ""
        self._display = notebook.Display() if stream is None and event_loop.serves_notebook() else None
        self._stream = stream or sys.stderr
        self._drawn = self._display is not None or bool(getattr(self._stream, "isatty", bool)())
        self._started = time.monotonic()
        self._ended: float | None = None  # when the last step was done
        self._next = self._started + (0.0 if self._drawn else 1 / _LINES)
        self._width = 0
        self._closed = False

    def __enter__(self) -> Bar:
        self.show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def advance(
        self, steps: int = 1, note: str | None = None, *, failed: bool = False, before: bool = False
    ) -> None:
        """`steps` more are done; `note` replaces the words at the end of the line.

        before  they were done before the bar began, and say nothing about the rate.
        """
        self.done += steps
        self.failures += steps if failed else 0
        self._before += steps if before else 0
        if note is not None:
            self.note = note
        self.show()

    def show(self) -> None:
        """Draw it, if that is due; the last state is drawn by `close`."""
        now = time.monotonic()
        if now < self._next or self._closed or self.done >= self.total:
            return
        self._next = now + 1 / (_DRAWS if self._drawn else _LINES)
        self._write(last=False)

    def close(self) -> None:
        """Show the last state and leave the line. May be repeated."""
        if not self._closed:
            self._closed = True
            self._ended = time.monotonic()
            self._write(last=True)

    # What it looks like.

    def _parts(self) -> list[str]:
        elapsed = max((self._ended or time.monotonic()) - self._started, 1e-6)
        parts = [f"{self.done:,} of {self.total:,}"]
        if self.done >= self.total:
            parts.append(f"{elapsed:.1f} s")
        elif (since := self.done - self._before) > 0 and since >= self.total * _SAMPLE:
            parts.append(f"{since / elapsed:,.0f}/s")
            parts.append(f"{_duration((self.total - self.done) * elapsed / since)} left")
        if self.failures:
            parts.append(f"{self.failures:,} failed")
        if self.note:
            parts.append(self.note)
        return parts

    def _share(self) -> float:
        return min(self.done / self.total, 1.0) if self.total else 1.0

    def __str__(self) -> str:
        bar = f"{self._cells()}  " if self._drawn else ""
        label = f"{self.label}  " if self.label else ""
        return f"  {label}{bar}{(' · ' if self._unicode() else ', ').join(self._parts())}"

    def __repr__(self) -> str:
        return str(self).strip()

    def _repr_html_(self) -> str:
        # Elements that need no script and no style sheet: they look right in a saved notebook too.
        label = f"{html.escape(self.label)} " if self.label else ""
        text = html.escape(" · ".join(self._parts()))
        return f'<div>{label}<progress max="1" value="{self._share():.4f}"></progress> {text}</div>'

    def _cells(self) -> str:
        full = int(self._share() * _CELLS)
        if self._unicode():
            return "━" * full + "─" * (_CELLS - full)
        return "#" * full + "-" * (_CELLS - full)

    def _unicode(self) -> bool:
        return (getattr(self._stream, "encoding", None) or "").lower().startswith("utf")

    def _write(self, last: bool) -> None:
        try:
            if self._display is not None:
                self._display.show(self)
            elif self._drawn:
                text = str(self)[: shutil.get_terminal_size().columns - 1]
                self._stream.write("\r" + text.ljust(self._width) + ("\n" if last else ""))
                self._width = len(text)
                self._stream.flush()
            else:
                self._stream.write(f"{self}\n")
                self._stream.flush()
        except (OSError, ValueError, RuntimeError):
            # A closed terminal or pipe: what is shown matters less than what is done.
            self._closed = True


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
