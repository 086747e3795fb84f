"""Opening: from a stream with some Python at its far end to one that speaks with us.

The near end sends a program (`launch.program`). The far end answers with a token that nobody else
knows; what came before it was printed by something else. Then both ends prove a key made for this
stream. Behind a socket server the program travels in a session of its own, whose key the server
was started with.
"""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from dispycos.config import Limits
from dispycos.errors import HostNotFound, PeerLost, Timeout, VersionMismatch
from dispycos.keyfile import throwaway
from dispycos.launch.program import program
from dispycos.launch.sources import ROOT, pack_sources
from dispycos.launch.wire import GATEWAY, NONCE_BYTES
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.proof import Meeting, prove
from dispycos.net.stream import Stream
from dispycos.wording import harmless

_MOST_BEFORE: Final = 64 * 1024  # bytes that a login may print before our own
_QUOTED: Final = 200  # characters of them in an error
_SERVER_PROOF: Final = 5.0  # seconds for a socket server to prove its key


@dataclass(frozen=True, slots=True)
class Errand:
    """What the far end is to do.

    main  the module whose `settle(options)` and then `main(reader, writer, options)` it runs.
    """

    main: str
    options: Mapping[str, Any]  # plain values
    also: tuple[str, ...] = ()  # modules that it may import later, inside functions
    has_package: bool = False  # it is this interpreter on this machine: nothing need travel
    becomes: str = "a gateway"  # what the far end is to be, for errors

    def at_home(self) -> Errand:
        """The same for this interpreter on this machine."""
        return replace(self, has_package=True)

    def with_options(self, **more: Any) -> Errand:
        """The same with more options."""
        return replace(self, options={**self.options, **more})


def open_far_end(stream: Stream, errand: Errand, limits: Limits, timeout: float) -> Meeting:
    """Have a Python that waits for its program run the errand: both ends have proved a key then.

    HostNotFound says what came instead; VersionMismatch names a Python that is too old;
    TimeoutError after `timeout` seconds.
    """
    keyring = throwaway()
    deadline = time.monotonic() + timeout
    order, packed = _order(errand)
    order["options"]["key"] = keyring.own.reveal().hex()
    try:
        stream.write(program(_boot(), order, packed), deadline)
    except BrokenPipeError:
        raise PeerLost("it ended before it took what it was to run") from None
    return _meet(stream, keyring, order["token"], limits, deadline)


def open_behind_server(
    stream: Stream, keyring: Keyring, errand: Errand, python: Sequence[str], limits: Limits, timeout: float
) -> Meeting:
    """Have a socket server start a Python for this connection, and that one run the errand.

    python  its words; none: the server's own.
    Errors: those of `open_far_end`, and AuthenticationError if the server has another key.
    """
    deadline = time.monotonic() + timeout
    try:
        server = prove(stream, keyring, limits, dialer=True, timeout=min(_SERVER_PROOF, timeout))
    except Timeout as exc:
        raise HostNotFound(f"{exc}; is it a socket server of dispycos?") from None
    order, packed = _order(errand)
    order["duplex"] = True
    nonce = secrets.token_bytes(NONCE_BYTES)
    message = {"boot": _boot(), "order": order, "packed": packed, "python": list(python), "nonce": nonce}
    server.session.put(GATEWAY, (repr(message).encode(),))
    while buffers := server.session.take():
        stream.write(b"".join(buffers), deadline)
    assert isinstance(keyring.own, ClusterKey)
    # The far end never sees the server's key, only what is derived from it for this connection.
    return _meet(stream, Keyring(keyring.own.derive_gateway(nonce)), order["token"], limits, deadline)


def _order(errand: Errand) -> tuple[dict[str, Any], bytes]:
    packed = b"" if errand.has_package else pack_sources(errand.main, *errand.also)
    order = {
        "token": f"dispycos-{secrets.token_hex(16)}",
        "main": errand.main,
        "path": str(ROOT.parent) if errand.has_package else "",
        "size": len(packed),
        "duplex": False,
        "options": dict(errand.options),
    }
    return order, packed


@functools.cache
def _boot() -> str:
    here = Path(__file__)
    return "".join(here.with_name(name).read_text(encoding="utf-8") for name in ("travelled.py", "boot.py"))


def _meet(stream: Stream, keyring: Keyring, token: str, limits: Limits, deadline: float) -> Meeting:
    rest = _await_token(stream, token.encode(), deadline)
    timeout = max(deadline - time.monotonic(), 1.0)
    return prove(stream, keyring, limits, dialer=False, timeout=timeout, first=rest)


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
    kind, _, rest = seen[found + len(token) : end].decode("ascii", "replace").strip().partition(" ")
    if kind == "python":
        raise VersionMismatch(f"its Python is {rest[:20]}; 3.11 or newer is needed there")
    if kind == "unsettled":
        raise HostNotFound(f"it could not take up what the specification says: {harmless(rest)[:_QUOTED]}")
    if kind == "unstarted":
        raise HostNotFound(harmless(rest)[:_QUOTED])
    if kind != "ready":
        raise HostNotFound(f"it answered {_quote(kind.encode())}")
    return seen[end + 1 :]


def _quote(data: bytes) -> str:
    text = data.decode(errors="replace").strip()
    return ascii(text if len(text) <= _QUOTED else text[:_QUOTED] + "...")
