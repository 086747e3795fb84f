"""How a process ended, in words.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

import signal


def killed_by(number: int) -> str:
    """By a signal."""
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"killed by signal {number}"
