"""Which monitor a command means: a link, a port of this machine, what is typed, or the only one.

I/O half. Layer 8.
"""

from __future__ import annotations

import sys

from dispycos.httpd import asking
from dispycos.httpd.asking import Link


def chosen(text: str | None) -> Link:
    """The monitor that is meant. ValueError for what is no link; OSError says why there is none.

    text  its printed address; the port of one of this account's; `-`: the address is read from
          standard input, where other users can't see it; None: the only one of this account.
    """
    if text is None:
        return asking.find()
    if text == "-":
        text = sys.stdin.readline()
    if text.strip().isascii() and text.strip().isdecimal():
        return asking.find(int(text))
    return asking.link(text)
