"""Logger: what `pycos.logger` is, a log on standard output with little machinery.

What dispycos itself has to say goes into the same log, in a program that `carry` was called in.

I/O half. Layer 7. Row CO-10.
"""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Any, ClassVar, Self, TextIO

_log = logging.getLogger("dispycos")


class Logger:
    """Write lines `YYYY-mm-dd HH:MM:SS name - text` to a stream.

    stream  None: what sys.stdout is at the moment.
    level   lines of lower ones are dropped; None: INFO.
    log_ms  show milliseconds.
    """

    DEBUG: ClassVar[int] = 10
    INFO: ClassVar[int] = 20
    WARN: ClassVar[int] = 30
    WARNING: ClassVar[int] = 30
    ERROR: ClassVar[int] = 40
    CRITICAL: ClassVar[int] = 50
    FATAL: ClassVar[int] = 50

    def __init__(
        self, name: str, stream: TextIO | None = None, level: int | None = None, log_ms: bool = False
    ) -> None:
        self.name = name
        self.stream = stream
        self.level = level or Logger.INFO
        self.log_ms = log_ms

    def setLevel(self, level: int) -> None:  # noqa: N802 - as pycos names it
        """Drop lines below `level` from now on."""
        self.level = level

    def show_ms(self, flag: bool) -> None:
        """Whether milliseconds are shown."""
        self.log_ms = bool(flag)

    def log(self, message: Any, *args: Any) -> None:
        """Write `message % args`, whatever the level is."""
        self.write(_text(message, args))

    def nolog(self, message: Any, *args: Any) -> None:
        """Write nothing."""

    def debug(self, message: Any, *args: Any) -> None:
        """Write `message % args` if the level is DEBUG or lower."""
        self._log_at(Logger.DEBUG, message, args)

    def info(self, message: Any, *args: Any) -> None:
        """Write `message % args` if the level is INFO or lower."""
        self._log_at(Logger.INFO, message, args)

    def warning(self, message: Any, *args: Any) -> None:
        """Write `message % args` if the level is WARNING or lower."""
        self._log_at(Logger.WARNING, message, args)

    warn = warning

    def error(self, message: Any, *args: Any) -> None:
        """Write `message % args` if the level is ERROR or lower."""
        self._log_at(Logger.ERROR, message, args)

    def critical(self, message: Any, *args: Any) -> None:
        """Write `message % args` if the level is CRITICAL or lower."""
        self._log_at(Logger.CRITICAL, message, args)

    fatal = critical

    def _log_at(self, level: int, message: Any, args: tuple[Any, ...]) -> None:
        if level >= self.level:
            self.write(_text(message, args))

    def write(self, text: str) -> None:
        """Write one line. A stream that can't take it loses it: a log ends no task."""
        stream = self.stream or sys.stdout
        now = time.time()
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        if self.log_ms:
            when += f".{int(now % 1 * 1000):03d}"
        try:
            stream.write(f"{when} {self.name} - {text}\n")
        except (OSError, ValueError, AttributeError):
            pass  # it is closed, a broken pipe, or there is none

    def flush(self) -> None:
        """Flush the stream."""
        (self.stream or sys.stdout).flush()

    shutdown = flush

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.shutdown()


def _text(message: Any, args: tuple[Any, ...]) -> str:
    try:
        return str(message % args) if args else str(message)
    except Exception:  # whatever a user's __str__ raises
        return f"{message!r} can't be formatted with {args!r}"


logger = Logger("pycos")


class _Carrier(logging.Handler):
    """Takes what dispycos logs into the program's log."""

    def emit(self, record: logging.LogRecord) -> None:
        # A program that wants its own debug lines does not ask for each frame of ours.
        least = logging.INFO if logger.level <= Logger.DEBUG else max(logger.level, logging.WARNING)
        if record.levelno >= least:
            logger.write(self.format(record))


def carry() -> None:
    """Let what dispycos logs go where the program's log goes, in place of standard error."""
    for handler in list(_log.handlers):
        _log.removeHandler(handler)
    _log.addHandler(_Carrier())
    _log.setLevel(logging.INFO)
    _log.propagate = False
