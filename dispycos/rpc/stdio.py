"""Standard streams that differ by connection: what one client redirects is its own calls' alone."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

NAMES: Final = ("stdin", "stdout", "stderr")

# The streams that the calls of this thread use, by name, where they are redirected.
_here = threading.local()
_lock = threading.Lock()
_users = 0  # connections that redirect


class _Switch:
    """Stands as sys.stdin, stdout or stderr, and is what the thread that uses it has in its place."""

    def __init__(self, name: str, ordinary: Any) -> None:
        put = object.__setattr__
        put(self, "_name", name)
        put(self, "_ordinary", ordinary)

    def _stream(self) -> Any:
        streams = getattr(_here, "streams", None)
        return self._ordinary if streams is None else streams.get(self._name, self._ordinary)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._stream(), name, value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream())

    def fileno(self) -> int:
        """Of the ordinary stream; what is redirected has none here."""
        if self._stream() is not self._ordinary:
            raise OSError("it is redirected to another machine, and has no descriptor here")
        number: int = self._ordinary.fileno()
        return number


class Redirection:
    """What one connection redirects."""

    def __init__(self) -> None:
        self._stack: list[dict[str, Any]] = []

    def push(self, **streams: Any) -> None:
        """Use these streams from now on."""
        if not self._stack:
            _install()
        self._stack.append(streams)

    def pop(self) -> None:
        """Use those from before."""
        if self._stack:
            self._stack.pop()
            if not self._stack:
                _remove()

    def clear(self) -> None:
        """Use the ordinary ones."""
        while self._stack:
            self.pop()

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """In the block this thread's streams are those of this connection."""
        before = getattr(_here, "streams", None)
        _here.streams = self._stack[-1] if self._stack else None
        try:
            yield
        finally:
            _here.streams = before


def _install() -> None:
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            for name in NAMES:
                setattr(sys, name, _Switch(name, getattr(sys, name)))


def _remove() -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            for name in NAMES:
                switch = getattr(sys, name)
                # Who replaced it meanwhile has a reason.
                if isinstance(switch, _Switch):
                    setattr(sys, name, switch._ordinary)
