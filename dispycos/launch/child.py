"""Children: the local process at the near end of a stream, be it a Python, ssh or docker."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from dispycos.launch.fate import ended
from dispycos.net.stream import Stream
from dispycos.wording import harmless

_KEPT_LINES: Final = 20  # of what it wrote to standard error, for the text of an error
_SECRETS: Final = "DISPYCOS_SECRET"  # names of ours that begin so are not for far ends
_MOST_LINE: Final = 4096  # bytes of a line; more of it is another one


class Child:
    """A started process, whose standard input and output are a stream.

    keep_errors  what it writes to standard error is kept for `last_words`; from `opened` on it is
                 passed on to ours.
    apart        in a session of its own: no terminal asks its user through it or interrupts it.
    Raises OSError if the program can't be started.
    """

    def __init__(self, command: Sequence[str], *, keep_errors: bool = False, apart: bool = False) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if keep_errors else None,
            bufsize=0,
            env={name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)},
            start_new_session=apart,
        )
        self._name = os.path.basename(command[0])
        self._words: deque[str] = deque(maxlen=_KEPT_LINES)
        self._lock = threading.Lock()  # of passing on
        self._is_open = False
        self._passing: threading.Thread | None = None
        if keep_errors:
            self._passing = threading.Thread(target=self._pass_on, name="dispycos stderr", daemon=True)
            self._passing.start()
        assert self._process.stdin is not None and self._process.stdout is not None
        self.stream = Stream(
            self._process.stdout.fileno(), self._process.stdin.fileno(), self._close, private=True
        )

    @property
    def pid(self) -> int:
        """Of the local process."""
        return self._process.pid

    def _close(self) -> None:
        for file in (self._process.stdin, self._process.stdout):
            assert file is not None
            with contextlib.suppress(OSError):
                file.close()

    def _pass_on(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as errors:
            for line in iter(lambda: errors.readline(_MOST_LINE), b""):
                text = harmless(line.decode(errors="replace").rstrip("\r\n"))
                with self._lock:
                    self._words.append(text)
                    if self._is_open:
                        _print(text)

    def opened(self) -> None:
        """The far end speaks: what it wrote to standard error is no reason of a failure."""
        with self._lock:
            self._is_open = True
            for text in self._words:
                _print(text)

    def last_words(self) -> str:
        """What it wrote to standard error last, once it has ended; "" if nothing was kept."""
        if self._passing is not None and self._process.poll() is not None:
            # What it started may hold the pipe open.
            self._passing.join(1.0)
        with self._lock:
            return "; ".join(line for line in self._words if line)

    def wait(self, timeout: float | None) -> bool:
        """Whether it ended within `timeout` seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def fate(self) -> str:
        """How it ended, in words; "" if it runs."""
        code = self._process.poll()
        return "" if code is None else ended(code)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def __repr__(self) -> str:
        return f"<Child {self._name} pid={self.pid}>"


def _print(text: str) -> None:
    # Standard error may be closed, or nothing at all.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text + "\n")
