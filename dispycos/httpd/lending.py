"""Lending: how a shared scheduler speaks of who has its servers, and where tasks are seen.

Tasks go from a client straight to the servers that it was lent, and a scheduler sees none of
them: whoever asks it for tasks is told whom to ask instead.

Pure. Layer 2. Rows MO-14, MO-23; rule 4.
"""

from __future__ import annotations

import re

NOBODY = "This scheduler lends servers and sees no tasks: the monitor of the client that has them shows them."
_ADDRESS = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?", re.ASCII)
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")


def who(name: str, location: str | None, pid: int | None) -> str:
    """A client, so that people find it: name, place, process."""
    at = f" at {location}" if location else ""
    return f"{name}{at}{f' (process {pid})' if pid else ''}"


def address(said: str) -> str:
    """The address of a monitor as a client said it; "" if it is none that a browser should be sent to."""
    return said if len(said) <= 300 and _ADDRESS.fullmatch(said) else ""


def elsewhere(name: str, monitor: str | None) -> str:
    """Where the tasks of the client that has the cluster are seen.

    monitor  its address; "": it has none; None: that was not told yet.
    """
    lent = f"The servers are lent to {name}, and only that client sees its tasks"
    if monitor is None:
        return f"{lent}; it has not told yet whether it has a monitor."
    if not monitor:
        return f"{lent}. It has no monitor: HTTPServer(client) in that program shows them."
    found = _ADDRESS.fullmatch(monitor)
    there = " on its machine" if found is not None and found[1] in _LOOPBACK else ""
    return f"{lent}: its monitor at {monitor}{there} shows them, by the link that it printed."
