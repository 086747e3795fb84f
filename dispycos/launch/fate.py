"""How a process ended, in words.

Layer 3.
"""

from __future__ import annotations

import signal


def killed_by(number: int) -> str:
    """By a signal."""
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"killed by signal {number}"
