"""Attackers for the tests of this folder: raw connections, scripted peers, a man in the middle.

What stands here speaks to a real Endpoint over real loopback sockets. It is not a test.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import select
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psutil

from dispycos.config import Limits
from dispycos.events import PeerGone, PeerUp
from dispycos.messages import Deliver, Introduction
from dispycos.model import Incarnation, Location, Payload, Role
from dispycos.net import frame as wire
from dispycos.net.auth import Failed, Handshake, Proven
from dispycos.net.codec import encode
from dispycos.net.endpoint import Endpoint
from dispycos.net.hello import HELLO, Hello
from dispycos.net.keys import ClusterKey, Key, Keyring
from dispycos.net.reactor import Reactor
from dispycos.net.tls import Tls
from tests.helpers import wait_until

K = ClusterKey(os.urandom(32))  # the cluster's
OTHER = ClusterKey(os.urandom(32))  # another cluster's

EVERYONE = Role.CLIENT | Role.SCHEDULER | Role.NODE | Role.SERVER | Role.PEER

# Handshakes are given up after half a second, so that what waits for that ends soon.
LIMITS = replace(Limits(), keepalive=0.5, suspect_after=3.0, handshake_timeout=1.5)

EXCHANGE = 1 << 50  # numbers from here on are those of `exchange`

KEY_ID_AT = slice(18, 26)  # in a HELLO, see docs/protocol.md
ROLES_AT = slice(14, 16)
NONCE_AT = slice(42, 74)

CLOSE_WITH_RESET = struct.pack("ii", 1, 0)


class Party:
    """An honest process: one endpoint on a reactor of its own, with all that it heard."""

    def __init__(
        self,
        name: str,
        keyring: Keyring,
        *,
        roles: Role = Role.PEER | Role.CLIENT,
        limits: Limits = LIMITS,
        incarnation: Incarnation | None = None,
        tls: Tls | None = None,
    ) -> None:
        self.reactor = Reactor.in_thread(name)
        self.endpoint = Endpoint(
            self.reactor,
            roles=roles,
            keyring=keyring,
            limits=limits,
            name=name,
            incarnation=incarnation,
            tls=tls,
        )
        self.keyring = keyring
        self.events: list[Any] = []
        self.heard: list[Deliver] = []
        self.endpoint.watch(self.events.append)
        self.endpoint.handle(Deliver, lambda _peer, message: self.heard.append(message), who=EVERYONE)
        self.location = self.do(self.endpoint.listen(["127.0.0.1"]))
        self._closed = False

    def do(self, coroutine: Any) -> Any:
        return self.reactor.run(coroutine).result(5)

    def ask(self, function: Callable[[], Any]) -> Any:
        """What `function` answers on the reactor's thread."""

        async def call() -> Any:
            return function()

        return self.do(call())

    def dial(self, location: Location, *, reservation: int = 0) -> None:
        self.reactor.call(lambda: self.endpoint.dial(location, reservation=reservation))

    def say(self, other: Incarnation, number: int) -> None:
        self.endpoint.say(other, Deliver(number, Payload(b"x")))

    def saw(self, kind: type, of: Incarnation | None = None) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind) and of in (None, _whom(event))]

    def numbers(self) -> list[int]:
        """To whom the messages were that it heard, without those of `exchange`."""
        return [message.to for message in list(self.heard) if message.to < EXCHANGE]

    def has_heard(self, number: int) -> bool:
        return any(message.to == number for message in list(self.heard))

    @property
    def known(self) -> set[Incarnation]:
        """Everybody with whom there is a session."""
        return set(self.endpoint._peers)

    def forget(self, *others: Incarnation) -> None:
        """End these sessions; by now nobody else would."""
        for other in others:
            self.ask(lambda other=other: self.endpoint.forget(other))

    def at_rest(self) -> bool:
        """No handshake is under way."""
        return self.ask(
            lambda: not self.endpoint._greetings and not self.endpoint._reception._door._unfinished
        )

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.do(self.endpoint.close())
            self.reactor.stop()


def _whom(event: Any) -> Incarnation | None:
    return getattr(event, "peer", None)


def meet(one: Party, other: Party, location: Location | None = None) -> None:
    one.dial(location or other.location)
    wait_until(lambda: one.saw(PeerUp, other.endpoint.incarnation), 5, "PeerUp here")
    wait_until(lambda: other.saw(PeerUp, one.endpoint.incarnation), 5, "PeerUp there")


_counter = itertools.count(EXCHANGE)


def exchange(one: Party, other: Party) -> None:
    """A message each way."""
    there, back = next(_counter), next(_counter)
    one.say(other.endpoint.incarnation, there)
    other.say(one.endpoint.incarnation, back)
    wait_until(lambda: other.has_heard(there) and one.has_heard(back), 5, "a message each way")


@contextlib.contextmanager
def unharmed(one: Party, other: Party) -> Iterator[None]:
    """Whatever is done to `one`, its session with `other` lives and nothing of the attack stays."""
    exchange(one, other)
    before = one.known
    yield
    exchange(one, other)
    wait_until(one.at_rest, 5, "the end of all handshakes")
    wait_until(lambda: one.known <= before, 5, "the end of the attackers' sessions")
    assert not one.saw(PeerGone, other.endpoint.incarnation)
    assert not other.saw(PeerGone, one.endpoint.incarnation)


# Memory, in bytes.


def traced_bytes() -> int:
    """What Python objects hold, while the fixture `traced` is in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def resident_bytes() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


def reset_peak() -> int:
    """From now on `peak_bytes` counts; the resident memory now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return peak_bytes()


def peak_bytes() -> int:
    """The most resident memory since `reset_peak`."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


# Raw connections.


class Stranger:
    """A connection to a listener, or an accepted one, that says whatever it is told to."""

    def __init__(self, to: Location | socket.socket, timeout: float = 5.0) -> None:
        if isinstance(to, Location):
            self.sock = socket.create_connection((to.addr, to.port), timeout=timeout)
        else:
            self.sock = to
            self.sock.settimeout(timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got = b""  # everything that was read

    def send(self, data: bytes) -> bool:
        """False: the other side has closed."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def read(self, count: int) -> bytes:
        """So many bytes, or fewer if the other side closes before."""
        data = b""
        while len(data) < count:
            try:
                more = self.sock.recv(count - len(data))
            except ConnectionResetError:
                break
            if not more:
                break
            data += more
        self.got += data
        return data

    def rest(self) -> bytes:
        """Everything until the other side closes; TimeoutError if it does not."""
        return self.read(1 << 30)

    def wait_end(self, seconds: float) -> bool:
        """Wait that long for the other side to close, reading nothing."""
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        return bool(poll.poll(seconds * 1000))

    def drip(self, data: bytes, pause: float) -> None:
        """Send one byte after the other, until the other side has enough."""
        for byte in data:
            if not self.send(bytes([byte])) or self.wait_end(pause):
                return

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_WITH_RESET)
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def hello(key: Key, **changes: Any) -> bytes:
    """A HELLO that is in order but for `changes`."""
    fields: dict[str, Any] = {
        "incarnation": Incarnation(os.urandom(16)),
        "roles": Role.CLIENT,
        "nonce": os.urandom(32),
        "key_id": key.key_id,
    }
    return Hello(**{**fields, **changes}).encode()


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def is_refusal(answer: bytes) -> bool:
    """One HELLO that names no key: all that a listener may tell who can't go on (SE-56)."""
    return len(answer) == HELLO.size and answer[KEY_ID_AT] == bytes(8)


# Scripted peers.


class Player(Stranger):
    """A peer that holds a key and proves it; afterwards it makes its frames one by one.

    tags    True: it does not see the mirror of SE-17, so frames carry tags.
    change  what becomes of the bytes that it sends, by their place in the stream.
    """

    def __init__(
        self,
        to: Location | socket.socket,
        key: Key,
        *,
        dialer: bool = True,
        roles: Role = Role.CLIENT,
        incarnation: Incarnation | None = None,
        tags: bool = False,
        change: Callable[[int, bytes], bytes] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(to)
        self.incarnation = incarnation or Incarnation(os.urandom(16))
        ends = (
            {} if tags else {"ours": _end(self.sock.getsockname()), "theirs": _end(self.sock.getpeername())}
        )
        self.handshake = Handshake(
            dialer=dialer,
            incarnation=self.incarnation,
            roles=roles,
            keyring=Keyring(key),
            key=key,
            nonce=os.urandom(32),
            **{**ends, **options},
        )
        self.roles = roles
        self.half = os.urandom(16)
        self.proven: Proven | None = None
        self.count = 0  # frames so far
        self.seq = 0  # numbered ones
        self._change = change
        self._sent = 0

    def send(self, data: bytes) -> bool:
        if self._change is not None:
            data = self._change(self._sent, data)
        self._sent += len(data)
        return super().send(data)

    def prove(self) -> Proven | Failed:
        """Shake hands to the end."""
        self.send(self.handshake.opening())
        while True:
            try:
                data = self.sock.recv(512)
            except ConnectionResetError:
                data = b""
            self.got += data
            if not data:
                return self.handshake.broken()
            answer, end = self.handshake.received(data)
            self.send(answer)
            if isinstance(end, Proven):
                self.proven = end
            if end is not None:
                return end

    def frame(self, kind: int, *, word: int = 0, seq: int = 0, ack: int = 0, body: bytes = b"") -> bytes:
        """The next frame of this connection."""
        assert self.proven is not None
        key = self.proven.send_key if self.proven.tags else None
        made = wire.encode(key, self.count, kind, word, seq, ack, [body])
        self.count += 1
        return b"".join(made)

    def attach(self, *, half: bytes | None = None, theirs: bytes = bytes(16), ack: int = 0) -> bytes:
        return self.frame(wire.ATTACH, ack=ack, body=(half or self.half) + theirs)

    def message(self, head: bytes, tail: bytes = b"") -> bytes:
        self.seq += 1
        return self.frame(wire.MESSAGE, word=len(head), seq=self.seq, body=head + tail)

    def begin(self, size: int, head: bytes = b"\x90", stream: int = 0) -> bytes:
        self.seq += 1
        body = struct.pack("!Q", size) + head
        return self.frame(wire.BEGIN, word=stream, seq=self.seq, body=body)

    def slice(self, data: bytes, stream: int = 0) -> bytes:
        self.seq += 1
        return self.frame(wire.SLICE, word=stream, seq=self.seq, body=data)

    def says(self, message: Any) -> bytes:
        """The frame of a short message."""
        head, attachments = encode(message)
        return self.message(head, b"".join(map(bytes, attachments)))

    def introduction(self, name: str = "player", location: Location | None = None) -> bytes:
        return self.says(Introduction(name, self.roles, location, "3.11.7", "0.1.0"))

    def open(self, *, name: str = "player", location: Location | None = None) -> Player:
        """Prove, attach and introduce itself, as an honest peer would."""
        ended = self.prove()
        assert isinstance(ended, Proven), ended
        self.send(self.attach() + self.introduction(name, location))
        return self

    def ended(self) -> bool:
        """The other side closes; what it said meanwhile is frames. TimeoutError if it does not."""
        self.rest()
        return True

    def __enter__(self) -> Player:
        return self


def _end(address: Any) -> Location:
    return Location(address[0], address[1])


# Hostile listeners.


class Trap:
    """A listener that somebody is made to dial; `play` is run with each connection."""

    def __init__(self, play: Callable[[socket.socket], None], host: str = "127.0.0.1") -> None:
        self._play = play
        self._listener = socket.create_server((host, 0))
        self._listener.settimeout(0.05)
        self.location = _end(self._listener.getsockname())
        self.dials = 0
        self.failures: list[BaseException] = []
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="trap")
        self._thread.start()

    def _run(self) -> None:
        while not self._ending:
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.dials += 1
            with sock:
                sock.settimeout(5)
                try:
                    self._play(sock)
                except (ConnectionResetError, BrokenPipeError):
                    pass
                except BaseException as exc:  # told to the test by `close`
                    self.failures.append(exc)

    def __enter__(self) -> Trap:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._thread.join(10)
        self._listener.close()
        assert not self.failures, self.failures


# The path between two.


class Path:
    """A loopback forwarder: what is dialled at `location` reaches `to`, if `change` lets it.

    change   (connection, from the dialer?, offset, data) -> data; None: cut this connection.
    record   [(from the dialer?, data), ...] of each connection, before any change.
    """

    def __init__(
        self, to: Location, change: Callable[[int, bool, int, bytes], bytes | None] | None = None
    ) -> None:
        self.change = change
        self.records: list[list[tuple[bool, bytes]]] = []
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.location = _end(self._listener.getsockname())
        self._pairs: dict[socket.socket, tuple[socket.socket, int, bool]] = {}
        self._offsets: dict[tuple[int, bool], int] = {}
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="path")
        self._thread.start()

    def recorded(self, connection: int, from_dialer: bool) -> bytes:
        return b"".join(data for side, data in self.records[connection] if side == from_dialer)

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, self._woken, *self._pairs], [], [])
            if self._woken in ready:
                break
            for sock in ready:
                if sock is self._listener:
                    self._join(sock.accept()[0])
                elif sock in self._pairs:
                    self._carry(sock)
        for sock in list(self._pairs):
            sock.close()

    def _join(self, near: socket.socket) -> None:
        number = len(self.records)
        self.records.append([])
        try:
            far = socket.create_connection((self._to.addr, self._to.port))
        except OSError:
            near.close()
            return
        for sock in (near, far):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs[near] = (far, number, True)
        self._pairs[far] = (near, number, False)

    def _carry(self, sock: socket.socket) -> None:
        other, number, from_dialer = self._pairs[sock]
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        passed: bytes | None = data
        if data:
            self.records[number].append((from_dialer, data))
            offset = self._offsets.get((number, from_dialer), 0)
            self._offsets[number, from_dialer] = offset + len(data)
            if self.change is not None:
                passed = self.change(number, from_dialer, offset, data)
        try:
            if passed:
                other.sendall(passed)
        except OSError:
            passed = None
        if passed is None or not data:
            for end in (sock, other):
                del self._pairs[end]
                end.close()

    def __enter__(self) -> Path:
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.send(b"x")
        self._thread.join(10)
        for sock in (self._listener, self._wake, self._woken):
            sock.close()


@contextlib.contextmanager
def cluster(key: ClusterKey = K) -> Iterator[Callable[..., Party]]:
    """Makes parties of one cluster, and closes them."""
    made: list[Party] = []

    def make(name: str, *, keyring: Keyring | None = None, **options: Any) -> Party:
        made.append(Party(name, keyring or Keyring(key), **options))
        return made[-1]

    try:
        yield make
    finally:
        for party in made:
            party.close()
