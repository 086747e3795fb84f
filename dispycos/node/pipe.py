"""What daemon, zygote and servers say to each other, over unix socket pairs.

A message is a JSON object of plain values, a body of bytes and at most three descriptors.
Bodies are user data, which the daemon hands through and never looks into. What a zygote or
server says is checked like a stranger's words: client code runs there.

`Pipe` blocks and is for the zygote, which has no loop; `LoopPipe` is for asyncio.

I/O half. Layer 5. Rules N4, SE-24, SE-51.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from typing import Any

from dispycos.errors import RemoteProtocolError
from dispycos.model import Buffer
from dispycos.records import record

_HEAD = struct.Struct("!IQ")  # length of the JSON, length of the body
MAX_JSON = 256 * 1024  # bytes; the longest is a reason with its last output
MAX_DESCRIPTORS = 3  # of one message
_CHUNK = 256 * 1024


@record(frozen=False)
class Said:
    """One message. Whoever receives it owns its descriptors."""

    what: str  # names the message
    values: dict[str, Any] = field(default_factory=dict)
    body: Buffer = b""
    descriptors: tuple[int, ...] = ()

    def text(self, name: str) -> str:
        """A text among the values. RemoteProtocolError if it is none."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise RemoteProtocolError(f"{self.what!r} came with {name}={value!r}, which should be a text")
        return value

    def number(self, name: str) -> int:
        """A whole number among the values. RemoteProtocolError if it is none."""
        value = self.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise RemoteProtocolError(f"{self.what!r} came with {name}={value!r}, which should be a number")
        return value


def encode(said: Said) -> bytes:
    """All of a message but its body and descriptors."""
    values = {"what": said.what, "descriptors": len(said.descriptors), **said.values}
    text = json.dumps(values, separators=(",", ":")).encode()
    return _HEAD.pack(len(text), memoryview(said.body).nbytes) + text


class Decoder:
    """Makes messages of bytes and descriptors as they come. Pure."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._buffer = bytearray()
        # At most MAX_DESCRIPTORS wait per message that is under way.
        self._descriptors: deque[int] = deque()
        self._lost = False  # some of the next message that has any

    def feed(self, data: Buffer, descriptors: Sequence[int] = (), lost: bool = False) -> list[Said]:
        """The messages that are complete now. RemoteProtocolError: the peer is not to be spoken to.

        lost  this process could not take all that was sent to it: the message comes with fewer.
        """
        self._buffer += data
        self._descriptors.extend(descriptors)
        self._lost |= lost
        found = []
        while (said := self._next()) is not None:
            found.append(said)
        if len(self._descriptors) > MAX_DESCRIPTORS:
            raise RemoteProtocolError("more descriptors than any message may have")
        return found

    def _next(self) -> Said | None:
        if len(self._buffer) < _HEAD.size:
            return None
        length, size = _HEAD.unpack_from(self._buffer)
        if length > MAX_JSON or size > self._max_body:
            raise RemoteProtocolError(f"a message of {length} and {size} bytes exceeds the limits")
        if len(self._buffer) < _HEAD.size + length + size:
            return None
        try:
            values = json.loads(bytes(self._buffer[_HEAD.size : _HEAD.size + length]))
            what, count = values.pop("what"), values.pop("descriptors")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise RemoteProtocolError("a message is no JSON object with a name") from None
        if not isinstance(what, str) or type(count) is not int or not 0 <= count <= MAX_DESCRIPTORS:
            raise RemoteProtocolError("a message is no JSON object with a name and its descriptors")
        if count > len(self._descriptors):
            if not self._lost:
                raise RemoteProtocolError("a message came without its descriptors")
            count, self._lost = len(self._descriptors), False
        body = bytes(self._buffer[_HEAD.size + length : _HEAD.size + length + size])
        del self._buffer[: _HEAD.size + length + size]
        return Said(what, values, body, tuple(self._descriptors.popleft() for _ in range(count)))

    def close(self) -> None:
        """Close the descriptors of a message that never became complete."""
        while self._descriptors:
            os.close(self._descriptors.popleft())


def _receive(sock: socket.socket) -> tuple[bytes, list[int], bool]:
    """Bytes, descriptors, and whether some of these were lost because this process has no room for more."""
    data, descriptors, flags, _address = socket.recv_fds(
        sock, _CHUNK, MAX_DESCRIPTORS, getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    )
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, descriptors, bool(flags & socket.MSG_CTRUNC)


class Pipe:
    """Blocking end, for one thread."""

    def __init__(self, sock: socket.socket, max_body: int) -> None:
        self.socket = sock
        sock.setblocking(True)
        self._decoder = Decoder(max_body)
        self._ready: deque[Said] = deque()  # what one read brought; at most _CHUNK of it

    def say(self, said: Said) -> None:
        """Send a message and close the descriptors that went with it. OSError: nobody is there."""
        try:
            data = encode(said)
            if said.descriptors:
                sent = socket.send_fds(self.socket, [data], said.descriptors)
                data = data[sent:]
            self.socket.sendall(data)
            self.socket.sendall(said.body)
        finally:
            close_all(said.descriptors)

    def hear(self) -> Said | None:
        """The next message, waiting for it; None when the other side is gone.

        It has fewer descriptors than were sent if this process has no room for them.
        """
        while not self._ready:
            try:
                data, descriptors, lost = _receive(self.socket)
            except ConnectionError:
                return None
            if not data:
                return None
            self._ready.extend(self._decoder.feed(data, descriptors, lost))
        return self._ready.popleft()

    @property
    def waiting(self) -> bool:
        """Is a message here that was read already?"""
        return bool(self._ready)

    def close(self) -> None:
        self._decoder.close()
        self.socket.close()


class LoopPipe:
    """An end on an asyncio loop.

    heard  called with each message, on the loop.
    ended  called once, when the other side is gone or broke the rules; says why.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        heard: Callable[[Said], None],
        ended: Callable[[str], None],
        max_body: int = 0,
    ) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._socket = sock
        self._heard = heard
        self._ended = ended
        self._decoder = Decoder(max_body)
        # Bounded by what the machine asks for: code and setup once, then a few words a server.
        self._queue: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._writing = False
        self._closed = False
        loop.add_reader(sock.fileno(), self._readable)

    def say(self, said: Said) -> None:
        """Send a message soon; the descriptors are ours to close. No effect once closed."""
        if self._closed:
            close_all(said.descriptors)
            return
        self._queue.append((memoryview(encode(said)), said.descriptors))
        if memoryview(said.body).nbytes:
            self._queue.append((memoryview(said.body).cast("B"), ()))
        if not self._writing:
            self._write()

    def _write(self) -> None:
        try:
            while self._queue:
                data, descriptors = self._queue[0]
                if descriptors:
                    count = socket.send_fds(self._socket, [data], descriptors)
                    close_all(descriptors)
                else:
                    count = self._socket.send(data)
                if count == data.nbytes:
                    self._queue.popleft()
                else:
                    self._queue[0] = (data[count:], ())
        except (BlockingIOError, InterruptedError):
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._socket.fileno(), self._write)
            return
        except OSError:
            # The reader learns the same and reports it, after what was said before.
            self._drop_queue()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        try:
            data, descriptors, lost = _receive(self._socket)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._end(f"reading failed: {exc.strerror or exc}")
            return
        if not data:
            self._end("the other side closed the pipe")
            return
        try:
            for said in self._decoder.feed(data, descriptors, lost):
                self._heard(said)
                if self._closed:
                    return
        except RemoteProtocolError as exc:
            self._end(str(exc))

    def drain(self) -> None:
        """Hear what is there already, without waiting: last words of a process that is gone."""
        with contextlib.suppress(OSError):
            while not self._closed and _has_bytes(self._socket):
                self._readable()

    def _end(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._ended(reason)

    def close(self) -> None:
        """Close this end, at once; `ended` is not called. May be repeated."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket.fileno())
        if self._writing:
            self._loop.remove_writer(self._socket.fileno())
        self._drop_queue()
        self._decoder.close()
        self._socket.close()

    def _drop_queue(self) -> None:
        for _data, descriptors in self._queue:
            close_all(descriptors)
        self._queue.clear()


def _has_bytes(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except (BlockingIOError, ConnectionError):
        return False


def close_all(descriptors: Iterable[int]) -> None:
    """Close what came with a message, or was to go with one."""
    for descriptor in descriptors:
        os.close(descriptor)
