"""Progress: how far several Futures are, as they complete.

    for f in progress(fs)          in a plain thread: each Future as it completes
    yield progress(fs)             in a task; `await`, `.result()` elsewhere: all of them
    progress(fs)                   as the last line of a notebook's cell: shown, and not waited for

I/O half. Layer 5. Rows DC-60, DC-66.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Never, TextIO

from dispycos.client.bar import Bar
from dispycos.client.waiting import Completed, has_failed
from dispycos.guidance import habits, hints
from dispycos.kernel import event_loop
from dispycos.kernel.task import Task


class Progress(Completed):
    """Futures as they complete, with a bar; see `progress`."""

    def __init__(self, fs: Iterable[Any], label: str, stream: TextIO | None) -> None:
        self._label = label
        self._stream = stream
        self._bar: Bar | None = None  # who does not wait sees none
        self._fresh = True  # what is done now was done before anybody looked
        super().__init__(fs, None)

    def _take(self) -> list[Any] | None:
        bar = self._begun()
        batch = super()._take()
        if batch:
            failed = sum(map(has_failed, batch))
            bar.advance(len(batch) - failed, before=self._fresh)
            bar.advance(failed, failed=True, before=self._fresh)
        self._fresh = False
        return batch

    def _begun(self) -> Bar:
        if self._bar is None:
            self._bar = Bar(self.total, self._label, self._stream)
            self._bar.show()
        return self._bar

    def _release(self) -> None:
        super()._release()
        if self._bar is not None:
            self._bar.close()

    def __repr__(self) -> str:
        return (
            f"<progress of {self.total:,} futures: {self.total - self._left:,} taken; wait for it to see it>"
        )

    # In a notebook.

    def _ipython_display_(self) -> None:
        if not event_loop.serves_notebook():
            raise NotImplementedError  # IPython in a terminal: a bar would draw over its prompt
        # Here, where the cell is known. A task goes on with it: the next cell may run.
        self._begun()
        Task(self._watched).set_daemon()

    def _watched(self) -> Any:
        yield self._all()


def progress(fs: Iterable[Any], label: str = "", stream: TextIO | None = None, **unknown: Never) -> Progress:
    """Futures as they complete, as `as_completed` gives them, with a bar that shows how many are done.

    It shows total, rate, time left and failures while somebody waits here: `for f in progress(fs)`,
    or `yield`, `await`, `.result()` for all.
    label   what is being done, at the start of the line.
    stream  where to draw: by default the notebook, else standard error; plain lines, one in ten
            seconds, where that is no terminal.
    """
    hints.refuse(progress, unknown, habits.OF_WAITING)
    return Progress(fs, label, stream)
