"""The logger `dispycos`, which prints what it logs even if nobody set up logging.

`logger.setLevel(logging.DEBUG)` alone makes debug lines visible on stderr. A record whose
text does not fit its arguments is printed with both; it never raises in the task that logs.
Where a program prints the root logger's records to its terminal itself, ours are not
printed twice.
"""

from __future__ import annotations

import logging
import sys

FORMAT = "%(asctime)s %(name)s - %(message)s"
DATE_FORMAT = "%Y-%m-%d %H:%M:%S"


def _mend(record: logging.LogRecord) -> bool:
    """Make sure that the record's text can be had; a filter that drops nothing."""
    try:
        record.getMessage()
    except Exception:  # whatever a user's __str__ raises
        record.msg = f"{record.msg!r} can't be formatted with {record.args!r}"
        record.args = ()  # so that nothing is formatted any more
    return True


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Prints to what sys.stderr is at the moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter(FORMAT, DATE_FORMAT))
        self.addFilter(_mend)

    @property
    def stream(self) -> object:
        return sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is not None and not _is_printed(record):
            super().emit(record)


def _is_printed(record: logging.LogRecord) -> bool:
    """Whether a handler of the root logger writes the record to the terminal, too."""
    if not logger.propagate:
        return False
    return any(
        isinstance(handler, logging.StreamHandler)
        and handler.stream in (sys.stderr, sys.stdout)
        and record.levelno >= handler.level
        for handler in logging.getLogger().handlers
    )


logger = logging.getLogger("dispycos")

if not any(isinstance(handler, _Handler) for handler in logger.handlers):
    logger.addFilter(_mend)
    logger.addHandler(_Handler())
