"""Proofs: both ends of a stream prove the key, and then there is a session.

For plain threads, and for whoever feeds a Handshake by himself. I/O half. Layer 3. Rule N1.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from dispycos.config import Limits
from dispycos.errors import DispycosError, PeerLost, Timeout
from dispycos.model import Incarnation, Role
from dispycos.net.auth import Failed, Handshake, Proven
from dispycos.net.hello import NONCE_BYTES
from dispycos.net.keys import Keyring
from dispycos.net.single import SingleSession
from dispycos.net.stream import Stream


class Meeting(NamedTuple):
    """Both ends have proved the key: what a Link goes on with."""

    session: SingleSession
    left_over: bytes  # came behind the proof


def handshake(
    keyring: Keyring, max_message_bytes: int, *, dialer: bool, stream: Stream | None = None
) -> Handshake:
    """One end's half of a proof.

    max_message_bytes  that this end takes.
    stream             frames have no tags if nobody can stand between its ends (SE-17).
    """
    ours, theirs = (stream and stream.ends) or (None, None)
    return Handshake(
        dialer=dialer,
        incarnation=Incarnation(os.urandom(16)),
        roles=Role.PEER,
        keyring=keyring,
        nonce=os.urandom(NONCE_BYTES),
        max_message_bytes=max_message_bytes,
        ours=ours,
        theirs=theirs,
        unix_same_uid=stream is not None and stream.private,
    )


def meet(proven: Proven, limits: Limits) -> Meeting:
    """What comes of a proof."""
    keys = (proven.send_key, proven.receive_key) if proven.tags else None
    limits = replace(limits, max_message_bytes=proven.max_message_bytes)
    return Meeting(SingleSession(limits, keys), proven.left_over)


def prove(
    stream: Stream, keyring: Keyring, limits: Limits, *, dialer: bool, timeout: float, first: bytes = b""
) -> Meeting:
    """Have both ends prove the key, in the calling thread.

    first  bytes of the other end that were read already.
    AuthenticationError, VersionMismatch, RemoteProtocolError, Timeout, PeerLost if the other end
    closed without a word, or an OSError of the stream.
    """
    ours = handshake(keyring, limits.max_message_bytes, dialer=dialer, stream=stream)
    deadline = time.monotonic() + timeout
    proven: Proven | Failed | None = None
    silent = True
    try:
        stream.write(ours.opening(), deadline)
        while proven is None:
            data = first or stream.read(4096, deadline)
            first = b""
            if data:
                silent = False
                answer, proven = ours.received(data)
                stream.write(answer, deadline)
            elif silent:
                raise PeerLost("the other end closed the stream before it said anything")
            else:
                proven = ours.broken()
    except TimeoutError:
        raise Timeout(
            f"the other end did not prove the key in {timeout:g} s; we waited for {ours.state.value}"
        ) from None
    if isinstance(proven, Failed):
        raise proven.error()
    return meet(proven, limits)


@contextlib.contextmanager
def dialled(name: str) -> Iterator[None]:
    """In the block, what fails before the key is proved says whom we dialled."""
    try:
        yield
    except (PeerLost, ConnectionResetError, BrokenPipeError):
        raise PeerLost(
            f"{name} ended the connection before the key was proved; may this machine connect there?"
        ) from None
    except (DispycosError, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            # Its text is made once, and not of its args.
            raise type(exc)(exc.errno, f"{name}: {exc.strerror}") from None
        exc.args = (f"{name}: {exc}",)
        raise
