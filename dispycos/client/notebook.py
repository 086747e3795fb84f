"""Showing something in a notebook, if this process serves one.

IPython is no dependency: where a notebook runs, it is imported already.

I/O half. Layer 5. Row DC-66.
"""

from __future__ import annotations

import sys
from typing import Any


class Display:
    """A place in the output of the present cell, which shows one thing after the other."""

    def __init__(self) -> None:
        self._handle: Any = None  # until the first is shown

    def show(self, thing: Any) -> None:
        """Show it in place of what was shown before; any thread."""
        if self._handle is None:
            self._handle = sys.modules["IPython"].display.display(thing, display_id=True)
        else:
            self._handle.update(thing)
