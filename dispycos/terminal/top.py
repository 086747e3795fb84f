"""`dispycos top`: whether it can be shown here, and what is missing if not.

I/O half. Layer 8.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from dispycos.errors import DispycosError
from dispycos.httpd.asking import Link


class NoTerminal(DispycosError, OSError):
    """It can't be shown here; the text is one sentence that says why and what to do."""


def run(where: Callable[[], Link]) -> str:
    """Show a cluster until the person has seen enough; answers a line about its last state.

    where  answers the monitor's link; OSError and ValueError say why there is none.
    """
    if not (os.isatty(0) and os.isatty(1)):
        raise NoTerminal("its input and output must be a terminal; `dispycos status` prints once, anywhere")
    try:
        from dispycos.terminal.show import Show
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing not in ("rich", "termios"):
            raise
        raise NoTerminal(
            f"it needs the module {missing}, which is not here: pip install 'dispycos[top]'; "
            "`dispycos status` prints once, without it"
        ) from None
    return asyncio.run(Show(where).run())
