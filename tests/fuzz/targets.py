"""What is fuzzed: each target takes any bytes, and raises only what is a fault of ours.

An input that is refused as it should be is a good one: its errors are caught here, by name. What reads
in pieces is fed in pieces, whose size the first byte says.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

from dispycos import messages as m
from dispycos.chaos import faults
from dispycos.configuration import file as configuration
from dispycos.configuration.names import CLIENT, SHARED, BadConfiguration
from dispycos.errors import RemoteProtocolError
from dispycos.launch.spec import XSpec
from dispycos.launch.target import Target
from dispycos.model import CodeHash, End, Location, Outcome, Payload, TaskSpec
from dispycos.net import codec, frame
from dispycos.net.datagram import DATAGRAM_BYTES, Heard, Watch
from dispycos.net.frame import FrameError, FrameReader, body_limits
from dispycos.net.keys import TAG_BYTES, Keyring, MacKey
from dispycos.net.session import Session, SessionState, Violation
from dispycos.node.pipe import MAX_DESCRIPTORS, Decoder, Said, encode
from dispycos.records import record
from dispycos.scheduler.events import KeepClient, KeepLease
from dispycos.scheduler.journal import Journal, JournalError
from tests.unit.net.pairs import SMALL, A, B, K, dialer, listener, random

MAX_SECONDS = 5.0  # of one input; most take less than a thousandth
MAX_MEMORY = 64 << 20  # bytes that one input may have us hold
MAX_INPUT = 1 << 16  # bytes that are tried


@record
class Fuzzed:
    """One reader of bytes."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]  # good inputs, to begin with


def pieces(data: bytes) -> Iterator[bytes]:
    """The rest of the input, in pieces of as many bytes as the first says."""
    size = data[0] + 1 if data else 1
    for at in range(1, len(data), size):
        yield data[at : at + size]


# The wire.


def handshake(data: bytes) -> None:
    """A stranger's first bytes, to both ends."""
    for end in (listener(), dialer()):
        end.opening()
        for piece in pieces(data):
            _answer, result = end.received(piece)
            if result is not None:
                assert not hasattr(result, "peer"), "somebody proved a key that he can't know"
                break


def frames(data: bytes) -> None:
    """Frames without tags."""
    reader = FrameReader(None, body_limits(SMALL), lambda kind, word, seq, length: None)
    try:
        for piece in pieces(data):
            left = memoryview(piece)
            while left:
                room = reader.get_buffer()
                count = min(len(room), len(left))
                room[:count] = left[:count]
                left = left[count:]
                for kind, _word, _seq, _ack, body in reader.advance(count):
                    assert len(body) <= body_limits(SMALL)[kind]
    except FrameError:
        pass


def session(data: bytes) -> None:
    """What a peer that has proved the key says."""
    victim = Session(B, A, SMALL)
    none: MacKey | None = None
    victim.attach(none, none, False, dialer=False, session_id=random("half", 16), now=0.0)
    victim.take()
    for number, piece in enumerate(pieces(data)):
        events = victim.feed(piece, float(number))
        victim.check()
        if victim.state is SessionState.CLOSED:
            assert not events or not isinstance(events[0], Violation) or len(events) == 1
            return
        victim.take()


def messages(data: bytes) -> None:
    """One message: the first two bytes say how long its head is."""
    length = int.from_bytes(data[:2], "big")
    head, tail = data[2 : 2 + length], data[2 + length :]
    try:
        message = codec.decode(head, memoryview(tail))
    except RemoteProtocolError:
        return
    # What we accept we can say, and mean the same.
    again, attachments = codec.encode(message)
    assert codec.decode(again, memoryview(b"".join(attachments))) == message


def beacon(data: bytes) -> None:
    """A datagram, from somebody with the key and from somebody without."""
    keys = Keyring(K).discovery_keys()
    watch = Watch(lambda: keys, A, SMALL)
    watch.received(data, "192.0.2.7", 0.0, 1_800_000_000)
    body = data[: DATAGRAM_BYTES - TAG_BYTES]
    verdict = watch.received(body + keys[0].tag(body, b""), "192.0.2.7", 1.0, 1_800_000_000)
    if isinstance(verdict, Heard):
        assert len(verdict.record.encode(keys[0])) == DATAGRAM_BYTES
    watch.check()


def pipe(data: bytes) -> None:
    """What a zygote or a server says to its node."""
    decoder = Decoder(max_body=1 << 20)
    try:
        for piece in pieces(data):
            for said in decoder.feed(piece, lost=True):
                assert len(said.descriptors) <= MAX_DESCRIPTORS
    except RemoteProtocolError:
        pass


# Texts of users.


def specification(data: bytes) -> None:
    """Where a Python or a machine is."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        spec = XSpec(text)
        assert str(spec) == text and spec == XSpec(str(spec))
        assert spec.kind
    for parse in (Target.parse, Target.parse_ssh, Target.parse_connection):
        with contextlib.suppress(ValueError):
            target = parse(text)
            assert not target.host.startswith("-") and not target.user.startswith("-")
            assert Target.parse(str(target)).host == target.host
    with contextlib.suppress(ValueError):
        place = Location.parse(text, 9706)
        assert Location.parse(str(place), 0) == place


def settings(data: bytes) -> None:
    """A configuration file."""
    path = _folder() / "config.toml"
    path.write_bytes(data)
    problems: list[BadConfiguration] = []
    with contextlib.suppress(BadConfiguration):
        configuration.read(str(path), {"node": SHARED, "scheduler": SHARED, "client": CLIENT}, problems)
    for problem in problems:
        assert str(path) in str(problem)


def chaos(data: bytes) -> None:
    """The value of DISPYCOS_CHAOS."""
    with contextlib.suppress(faults.BadChaos):
        faults.parse(data.decode("utf-8", "replace"))


# Files of ours that somebody damaged.


def journal(data: bytes) -> None:
    """A scheduler's journal: read, or moved aside; what is there afterwards is read again."""
    folder = _folder()
    path = folder / "journal"
    path.write_bytes(data)
    try:
        for _ in range(2):
            opened = Journal(str(path), A)
            try:
                opened.write([KeepLease(7, 1, B, Location("10.0.0.1", 9706))])
                assert opened.restored.last_lease > 0
            finally:
                opened.close()
    except JournalError:
        pass
    finally:
        for left in folder.iterdir():
            left.unlink()


_OURS: dict[int, tempfile.TemporaryDirectory[str]] = {}


def _folder() -> Path:
    """A folder of this process."""
    if os.getpid() not in _OURS:
        _OURS[os.getpid()] = tempfile.TemporaryDirectory(prefix="dispycos-fuzz-")
    return Path(_OURS[os.getpid()].name)


# Good inputs.


def _framed() -> bytes:
    writer = frame.FrameWriter(None)
    writer.put(frame.ATTACH, 0, 0, 0, [random("their half", 16) + bytes(16)], 32)
    writer.put(frame.MESSAGE, 3, 1, 0, [b"headtail"], 8)
    writer.put(frame.KEEPALIVE, 0, 0, 0, [], 0)
    return b"\x10" + b"".join(writer.take())


def _message(message: m.Message) -> bytes:
    head, attachments = codec.encode(message)
    return len(head).to_bytes(2, "big") + bytes(head) + b"".join(attachments)


def _journal() -> bytes:
    path = _folder() / "seed"
    opened = Journal(str(path), A)
    client = KeepClient(1, 1, True, B, 2, "c", Location("10.0.0.9", 9800), (), 1.0, 5.0, False, 4711)
    opened.write([client, KeepLease(5, 1, A, Location("10.0.0.1", 9706))])
    opened.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    data = path.read_bytes()
    path.unlink()
    return data


def _beacon() -> bytes:
    from tests.unit.net.test_datagram import record as made

    return made().encode(Keyring(K).discovery_keys()[0])


_TASK = TaskSpec(1, 1, CodeHash(b"f" * 16), Payload(b"args", (b"one", b"two")))

TARGETS: dict[str, Fuzzed] = {
    "handshake": Fuzzed(handshake, (b"\xff" + dialer().opening(),)),
    "frames": Fuzzed(frames, (_framed(),)),
    "session": Fuzzed(session, (_framed(),)),
    "messages": Fuzzed(
        messages,
        (
            _message(m.Submit(3, [_TASK])),
            _message(m.Outcomes(1, [Outcome(1, 1, End.FINISHED, Payload(b"value"), "")], 0.5)),
            _message(m.Pulse(1, m.Avail(), [])),
            _message(m.AddRule(1, m.Rule("*", 9706, "", 0, 0, 0))),
        ),
    ),
    "beacon": Fuzzed(beacon, (_beacon(),)),
    "pipe": Fuzzed(pipe, (b"\x20" + encode(Said("forked", {"index": 1, "pid": 7}, b"", ())),)),
    "specification": Fuzzed(
        specification, (b"ssh=user@host:22//python=python3//env:A=b", b"[::1]:9706", b"-p 22 -J a,b u@host")
    ),
    "settings": Fuzzed(settings, (b'udp_port = 9705\n[node]\ncpus = -1\n[client]\nscheduler = "head"\n',)),
    "chaos": Fuzzed(chaos, (b"seed=7,drop:pulse=0.2,cut:session@poisson=2s,fail:write(journal)=ENOSPC@5s",)),
    "journal": Fuzzed(journal, (_journal(), b"")),
}


def check(target: Fuzzed, data: bytes) -> None:
    """One input, with its limits: AssertionError if it takes too long, or too much memory."""
    tracemalloc.start()
    try:
        began = time.process_time()
        target.run(data)
        seconds = time.process_time() - began
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < MAX_SECONDS, f"{len(data)} bytes took {seconds:.1f} s"
    assert most < MAX_MEMORY, f"{len(data)} bytes had us hold {most >> 20} MiB"
