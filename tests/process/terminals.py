"""A terminal for programs to run in: a real pseudo-terminal, and what a person would see on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pyte

from tests.helpers import ROOT, environment, wait_until

DISPYCOS = (sys.executable, "-m", "dispycos")


class Terminal:
    """A program and its terminal. A thread of its own reads what the program draws."""

    def __init__(self, pid: int, descriptor: int, rows: int, columns: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.before: list[Any] = termios.tcgetattr(descriptor)
        self.drawn = bytearray()  # all that came
        self.code: int | None = None
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:
                return  # the program and its terminal are gone
            if not data:
                return
            with self._lock:
                self.drawn += data
                self._stream.feed(data)

    @property
    def text(self) -> str:
        """What stands on the screen now."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    def wait_for(self, *wanted: str, timeout: float = 15.0) -> str:
        """Until all of these stand on the screen at a time; the screen."""
        seen = ""

        def there() -> bool:
            nonlocal seen
            seen = self.text
            return all(text in seen for text in wanted)

        try:
            wait_until(there, timeout)
        except AssertionError:
            raise AssertionError(f"no {wanted!r} on the screen in {timeout} s:\n{seen}") from None
        return seen

    def wait_gone(self, text: str, timeout: float = 15.0) -> None:
        """Until that stands on the screen no more."""
        wait_until(lambda: text not in self.text, timeout, f"{text!r} to leave the screen")

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        with self._lock:
            self._screen.resize(rows, columns)
        _set_size(self._descriptor, rows, columns)

    @property
    def settings(self) -> list[Any]:
        """How the terminal is set now, as termios has it."""
        return termios.tcgetattr(self._descriptor)

    def end(self, timeout: float = 15.0) -> int:
        """Until the program has ended; its exit status."""

        def ended() -> bool:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            return self.code is not None

        if self.code is None:
            try:
                wait_until(ended, timeout)
            except AssertionError:
                raise AssertionError(f"the program did not end in {timeout} s:\n{self.text}") from None
        self._reader.join(timeout)
        assert self.code is not None
        return self.code

    def close(self) -> None:
        """End it, if it runs."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.end()
        os.close(self._descriptor)


@contextlib.contextmanager
def terminal(
    *command: str, rows: int = 24, columns: int = 100, env: Mapping[str, str | None] | None = None
) -> Iterator[Terminal]:
    """Run a command in a terminal of that size."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        _set_size(0, rows, columns)
        os.execvpe(
            command[0], command, environment({"TERM": "xterm-256color", "NO_COLOR": None, **(env or {})})
        )
    made = Terminal(pid, descriptor, rows, columns)
    try:
        yield made
    finally:
        made.close()


def _set_size(descriptor: int, rows: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
