"""How a process ended, in words.

Layer 3. Row R-05.
"""

from __future__ import annotations

import signal


def ended(code: int) -> str:
    """By an exit code as `subprocess` has it: `exit code 3`; below 0 `killed by signal 9 (SIGKILL)`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"real-time signal {-code}"
    return f"killed by signal {-code} ({name})"
