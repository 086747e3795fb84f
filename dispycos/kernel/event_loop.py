"""Event loops of asyncio, as those meet them who wait in one or would hold one up.

Nothing is imported for it: where no program uses asyncio there is no loop.

I/O half. Layer 3. Row DC-60.
"""

from __future__ import annotations

import sys
from typing import Any


def running() -> Any:
    """The loop that runs in this thread, or None."""
    events: Any = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()


def serves_notebook() -> bool:
    """Whether this process is the kernel of a notebook; IPython in a terminal is none."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def is_held_up() -> bool:
    """Whether this thread runs a loop that others count on, so that waiting here is a mistake.

    The loop of a notebook runs its cells, and has nothing else to do until they end.
    """
    return running() is not None and not serves_notebook()
