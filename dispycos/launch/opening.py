"""Opening: from a stream with some Python at its far end to one that speaks with us.

The near end sends a line that is a program (`launch.boot`), a line that says what to do, and the
modules that are missing there. The far end answers with a token that nobody else knows; what
came before it was printed by something else. Then both ends prove a key made for this stream.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dispycos.config import Limits
from dispycos.errors import HostNotFound, PeerLost, VersionMismatch
from dispycos.keyfile import throwaway
from dispycos.launch.bundle import ROOT, bundle
from dispycos.net.link import Meeting, prove
from dispycos.net.stream import Stream

# What a Python is told to run, as its argument -c.
COMMAND: Final = "import sys;exec(eval(getattr(sys.stdin,'buffer',sys.stdin).readline()))"

_MOST_BEFORE: Final = 64 * 1024  # bytes that a login may print before our own
_QUOTED: Final = 200  # characters of them in an error
_BOOT: Final = Path(__file__).with_name("boot.py")


@dataclass(frozen=True, slots=True)
class Errand:
    """What the far end is to do."""

    main: str  # the module whose `main(reader, writer, options)` it runs
    options: Mapping[str, Any]  # plain values
    also: tuple[str, ...] = ()  # modules that it may import later, inside functions
    has_package: bool = False  # it is this interpreter on this machine: nothing need travel


def open_far_end(stream: Stream, errand: Errand, limits: Limits, timeout: float) -> Meeting:
    """Have the far end run its errand: both ends have proved a key then.

    HostNotFound says what came instead; VersionMismatch names a Python that is too old;
    TimeoutError after `timeout` seconds.
    """
    keyring = throwaway()
    token = f"dispycos-{secrets.token_hex(16)}"
    deadline = time.monotonic() + timeout
    packed = b"" if errand.has_package else bundle(errand.main, *errand.also)
    order = {
        "token": token,
        "main": errand.main,
        "path": str(ROOT.parent) if errand.has_package else "",
        "size": len(packed),
        "options": {**errand.options, "key": keyring.own.reveal().hex()},
    }
    boot = _BOOT.read_text(encoding="utf-8")
    try:
        stream.write(f"{boot!r}\n{order!r}\n".encode("ascii", "backslashreplace") + packed, deadline)
        rest = _await_token(stream, token.encode(), deadline)
        return prove(
            stream, keyring, limits, dialer=False, timeout=max(deadline - time.monotonic(), 1.0), first=rest
        )
    except BrokenPipeError:
        raise PeerLost("it ended before it took what it was to run") from None


def _await_token(stream: Stream, token: bytes, deadline: float) -> bytes:
    seen = b""
    while True:
        found = seen.find(token)
        if found >= 0 and (end := seen.find(b"\n", found)) >= 0:
            break
        if len(seen) > _MOST_BEFORE:
            raise HostNotFound(f"it prints and prints instead of starting: {_quote(seen)}")
        data = stream.read(4096, deadline)
        if not data:
            raise HostNotFound(f"it ended; it had printed {_quote(seen)}" if seen else "it ended")
        seen += data
    word = seen[found + len(token) : end].decode("ascii", "replace").strip()
    if word.startswith("python "):
        raise VersionMismatch(f"its Python is {word[7:27]}; 3.11 or newer is needed there")
    if word != "ready":
        raise HostNotFound(f"it answered {_quote(word.encode())}")
    return seen[end + 1 :]


def _quote(data: bytes) -> str:
    text = data.decode(errors="replace").strip()
    return repr(text if len(text) <= _QUOTED else text[:_QUOTED] + "...")
