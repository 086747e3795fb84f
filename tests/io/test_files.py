"""Files over real loopback sockets: what is stored, what is refused, and that nothing partial stays."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dispycos.config import Limits
from dispycos.errors import FileRefused, PeerLost, Timeout
from dispycos.events import PeerUp
from dispycos.messages import FileAnswer, FileDelete, FileOffer, FileSlice, FileVerdict
from dispycos.model import Incarnation, Payload, Role
from dispycos.net.endpoint import Endpoint
from dispycos.net.files import FileReceiver, FileSender
from dispycos.net.filestore import FileStore, parts_of
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.reactor import Reactor
from tests.helpers import wait_until

LIMITS = replace(
    Limits(), keepalive=0.2, suspect_after=0.6, file_idle=5.0, max_client_bytes=64 << 20, max_client_files=50
)


class Host:
    """One endpoint on a reactor of its own."""

    def __init__(self, key: ClusterKey, name: str) -> None:
        self.reactor = Reactor.in_thread(name)
        self.endpoint = Endpoint(
            self.reactor, roles=Role.PEER, keyring=Keyring(key), limits=LIMITS, name=name
        )
        self.up: list[Incarnation] = []
        self.endpoint.watch(lambda event: self.up.append(event.peer) if isinstance(event, PeerUp) else None)
        self.location = self.do(self.endpoint.listen(["127.0.0.1"]))

    def do(self, coroutine: Any, timeout: float = 20) -> Any:
        return self.reactor.run(coroutine).result(timeout)

    def close(self) -> None:
        self.do(self.endpoint.close())
        self.reactor.stop()


class Pair:
    """A sender, and a receiver with a folder for it."""

    def __init__(self, folder: Path, limits: Limits, max_file_bytes: int = 0) -> None:
        key = ClusterKey(os.urandom(32))
        self.there, self.here = Host(key, "receiver"), Host(key, "sender")
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self.store = FileStore(folder, limits, max_file_bytes=max_file_bytes)
        self.stores: dict[Incarnation, FileStore] = {self.me: self.store}
        self.receiver = FileReceiver(self.there.endpoint, self.stores.get)
        self.sender = FileSender(self.here.endpoint)
        self.answers: list[FileAnswer] = []
        self.answered_once = asyncio.Event()
        self.here.endpoint.handle(FileAnswer, self._hear, who=Role.PEER)
        self.here.reactor.call(self.here.endpoint.dial, self.there.location)
        wait_until(lambda: self.here.up and self.there.up, 5)

    def _hear(self, peer: Incarnation, answer: FileAnswer) -> None:
        self.answers.append(answer)
        self.answered_once.set()

    @property
    def me(self) -> Incarnation:
        return self.here.endpoint.incarnation

    @property
    def to(self) -> Incarnation:
        return self.there.endpoint.incarnation

    def send(self, path: Path, name: str, **options: Any) -> None:
        self.here.do(self.sender.send_file(self.to, path, name, **options))

    def delete(self, name: str) -> None:
        self.here.do(self.sender.delete_file(self.to, name))

    def say(self, message: Any) -> None:
        self.here.endpoint.say(self.to, message)

    def answered(self, ticket: int, verdict: FileVerdict) -> FileAnswer:
        def found() -> FileAnswer | None:
            return next((a for a in self.answers if a.ticket == ticket and a.verdict is verdict), None)

        answer = wait_until(found, 5, f"{verdict.name} for {ticket}")
        assert answer is not None
        return answer

    def offer(self, ticket: int, content: bytes, **changed: Any) -> None:
        digest = hashlib.sha256(content).digest()
        self.say(replace(FileOffer(ticket, "x", len(content), 0o600, 1e9, digest, False), **changed))

    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if not path.is_dir()
        )

    def close(self) -> None:
        self.there.do(self.receiver.close())
        self.here.close()
        self.there.close()
        self.store.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path / "d", LIMITS, max_file_bytes=32 << 20)
    yield made
    made.close()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(content: bytes, name: str = "source", mode: int = 0o640) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        path.chmod(mode)
        os.utime(path, (1_500_000_000.25, 1_500_000_000.25))
        return path

    return write


@pytest.mark.row("KE-31", "DC-03")
@pytest.mark.parametrize("size", [0, 1, 100_000, 20 << 20])
def test_a_file_arrives_with_its_content_mode_and_time(
    pair: Pair, write: Callable[..., Path], size: int
) -> None:
    content = os.urandom(size)
    pair.send(write(content, mode=0o754), "sub/folder/file name.bin")
    stored = pair.folder / "sub" / "folder" / "file name.bin"
    assert stored.read_bytes() == content
    assert stat.S_IMODE(stored.stat().st_mode) == 0o700
    assert stored.stat().st_mtime == 1_500_000_000.25
    assert pair.files() == ["sub/folder/file name.bin"]


@pytest.mark.row("KE-31")
def test_the_identical_file_is_not_sent_again(pair: Pair, write: Callable[..., Path]) -> None:
    path = write(b"content" * 1000)
    pair.send(path, "x")
    pair.answers.clear()
    pair.send(path, "x")
    assert [answer.verdict for answer in pair.answers] == [FileVerdict.STORED]


@pytest.mark.row("KE-31")
def test_another_file_is_replaced_only_if_asked(pair: Pair, write: Callable[..., Path]) -> None:
    pair.send(write(b"old"), "x")
    with pytest.raises(FileRefused, match="not to be overwritten"):
        pair.send(write(b"new!", "other"), "x")
    assert (pair.folder / "x").read_bytes() == b"old"
    pair.send(write(b"new!", "other"), "x", overwrite=True)
    assert (pair.folder / "x").read_bytes() == b"new!"
    assert pair.files() == ["x"]


@pytest.mark.row("KE-31", "GN-04")
def test_a_file_is_deleted_with_the_folders_made_for_it(pair: Pair, write: Callable[..., Path]) -> None:
    (pair.folder / "kept").mkdir()
    path = write(b"content")
    pair.send(path, "a/b/x")
    pair.send(path, "kept/x")
    pair.delete("a/b/x")
    pair.delete("kept/x")
    assert sorted(os.listdir(pair.folder)) == ["kept"]
    with pytest.raises(FileRefused, match="no such file"):
        pair.delete("kept/x")
    pair.send(path, "a/b/x")


@pytest.mark.row("KE-31", "DN-08", "SE-48")
def test_a_file_above_a_limit_is_refused_before_it_is_sent(pair: Pair, write: Callable[..., Path]) -> None:
    with pytest.raises(FileRefused, match="max_file_size"):
        pair.send(write(bytes((32 << 20) + 1)), "sub/x")
    pair.send(write(os.urandom(32 << 20)), "one")
    pair.send(write(bytes((32 << 20) - 100), "second"), "two")
    with pytest.raises(FileRefused, match="max_client_bytes"):
        pair.send(write(bytes(101)), "three")
    pair.delete("two")
    pair.send(write(bytes(101)), "three")
    assert sorted(os.listdir(pair.folder)) == ["one", "three"]


@pytest.mark.row("SE-48")
def test_more_files_than_the_limit_are_refused(pair: Pair, write: Callable[..., Path]) -> None:
    path = write(b"")
    for number in range(LIMITS.max_client_files):
        pair.send(path, f"{number}")
    with pytest.raises(FileRefused, match="max_client_files"):
        pair.send(path, "one more")


@pytest.mark.row("GN-04", "SE-87", "SE-22")
def test_who_has_no_folder_here_is_refused(
    pair: Pair, write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    pair.stores.clear()
    for _ in range(3):
        with pytest.raises(FileRefused, match="no files are taken from you"):
            pair.send(write(b"x"), "x\x1b[2J")
    with pytest.raises(FileRefused, match="you have no files here"):
        pair.delete("x")
    lines = [record.getMessage() for record in caplog.records if "refused file" in record.getMessage()]
    assert len(lines) == 1
    assert "\x1b" not in lines[0]


# Names.

NAMES = [
    "../x",
    "/etc/x",
    "a/../../x",
    "",
    ".",
    "..",
    "a/./x",
    "a//x",
    "a/",
    "~/x",
    "~x",
    "a\0b",
    "a\nb",
    "a\x1bb",
    "a\x7fb",
    "C:\\x",
    "x" * 256,
    "\N{SNOWMAN}" * 86,
    "1/2/3/4/5/6/7/8/9",
    "a\udc80b",
    "../d2/x",
]


@pytest.mark.row("SE-47", "SE-112", "SE-113")
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(FileRefused):
        parts_of(name, LIMITS)


@pytest.mark.row("SE-47")
@pytest.mark.parametrize("name", ["x", "a/b", "x" * 255, "1/2/3/4/5/6/7/8", "a~", "..x", "dé ø/ß", "- -"])
def test_an_ordinary_name_is_taken(name: str) -> None:
    assert "/".join(parts_of(name, LIMITS)) == name


@pytest.mark.row("SE-112", "SE-113", "SE-115", "GN-04")
def test_no_name_leads_out_of_the_folder(pair: Pair, write: Callable[..., Path], tmp_path: Path) -> None:
    outside = tmp_path / "d2"
    outside.mkdir()
    (outside / "victim").write_text("untouched")
    (pair.folder / "link").symlink_to(outside)
    (pair.folder / "file").symlink_to(outside / "victim")
    (pair.folder / "folder").mkdir()
    path = write(b"evil")
    for name in ("../d2/x", "link/x", "link/victim", "file", "folder", "file/x", "../d2/victim"):
        for overwrite in (False, True):
            with pytest.raises(FileRefused) as caught:
                pair.send(path, name, overwrite=overwrite)
            assert str(tmp_path) not in str(caught.value)
        with pytest.raises(FileRefused):
            pair.delete(name)
    assert os.listdir(outside) == ["victim"]
    assert (outside / "victim").read_text() == "untouched"
    assert sorted(os.listdir(pair.folder)) == ["file", "folder", "link"]


@pytest.mark.row("SE-112")
def test_a_folder_swapped_for_a_link_during_the_transfer_is_not_followed(pair: Pair, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    content = b"y" * 100
    pair.offer(900, content, name="sub/x")
    pair.answered(900, FileVerdict.SEND)
    (pair.folder / "sub").rename(pair.folder / "moved")
    (pair.folder / "sub").symlink_to(outside)
    pair.say(FileSlice(900, 0, Payload(content)))
    pair.answered(900, FileVerdict.REFUSED)
    assert os.listdir(outside) == os.listdir(pair.folder / "moved") == []


@pytest.mark.row("SE-49")
def test_a_folder_that_is_a_link_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="link"):
        FileStore(tmp_path / "link", LIMITS)


# Faulty and hostile senders.


@pytest.mark.row("SE-114")
def test_more_than_was_announced_is_refused(pair: Pair) -> None:
    pair.offer(901, b"1")
    pair.answered(901, FileVerdict.SEND)
    pair.say(FileSlice(901, 0, Payload(bytes(1 << 20))))
    assert "more bytes came" in pair.answered(901, FileVerdict.REFUSED).reason
    for _ in range(20):
        pair.say(FileSlice(901, 0, Payload(bytes(1 << 20))))
    pair.offer(902, b"")
    pair.answered(902, FileVerdict.STORED)
    assert pair.files() == ["x"]


@pytest.mark.row("SE-114")
def test_an_announced_size_without_measure_is_refused(pair: Pair, tmp_path: Path) -> None:
    pair.offer(903, b"", size=2**63 - 1)
    pair.answered(903, FileVerdict.REFUSED)
    folder = tmp_path / "unlimited"
    folder.mkdir()
    store = FileStore(folder, replace(LIMITS, max_client_bytes=2**63 - 1))
    try:
        with pytest.raises(FileRefused, match="the disk is full"):
            store.begin("x", 2**62, 0o600, 0.0, b"", False)
    finally:
        store.close()
    assert os.listdir(folder) == []


@pytest.mark.row("SE-114")
def test_no_mode_but_the_owner_s_bits_is_taken(pair: Pair) -> None:
    pair.offer(904, b"", mode=0o4777)
    pair.answered(904, FileVerdict.STORED)
    assert stat.S_IMODE((pair.folder / "x").stat().st_mode) == 0o700
    pair.offer(905, b"", mode=2**40, name="y")
    pair.answered(905, FileVerdict.STORED)
    assert stat.S_IMODE((pair.folder / "y").stat().st_mode) == 0


@pytest.mark.row("SE-114", "SE-48")
@pytest.mark.parametrize("fault", ["wrong offset", "wrong content", "too many slices", "buffers", "given up"])
def test_a_faulty_transfer_leaves_nothing(pair: Pair, fault: str) -> None:
    content = os.urandom(1000)
    pair.offer(906, content, name="deep/x")
    pair.answered(906, FileVerdict.SEND)
    if fault == "wrong offset":
        pair.say(FileSlice(906, 5, Payload(content[5:])))
    elif fault == "wrong content":
        pair.say(FileSlice(906, 0, Payload(bytes(1000))))
    elif fault == "too many slices":
        for at in range(100):
            pair.say(FileSlice(906, at, Payload(content[at : at + 1])))
    elif fault == "buffers":
        pair.say(FileSlice(906, 0, Payload(b"", (content,))))
    else:
        pair.say(FileSlice(906, 0, Payload(content[:10])))
        pair.say(FileSlice(906, 0, Payload(b"")))
    pair.answered(906, FileVerdict.REFUSED)
    assert os.listdir(pair.folder) == []
    # What it had reserved is free again.
    assert pair.store._bytes == pair.store._coming == 0


def test_a_time_that_no_file_can_have_is_refused(pair: Pair) -> None:
    pair.offer(907, b"", modified=1e300)
    pair.answered(907, FileVerdict.REFUSED)
    pair.offer(908, b"", modified=-1e9)
    pair.answered(908, FileVerdict.REFUSED)
    assert pair.files() == []


@pytest.mark.row("SE-48")
def test_two_files_of_one_name_in_transfer_do_not_mix(pair: Pair) -> None:
    one, two = os.urandom(1000), os.urandom(1000)
    pair.offer(909, one)
    pair.offer(910, two)
    pair.answered(909, FileVerdict.SEND)
    pair.answered(910, FileVerdict.SEND)
    pair.say(FileSlice(909, 0, Payload(one[:500])))
    pair.say(FileSlice(910, 0, Payload(two[:500])))
    pair.say(FileSlice(910, 500, Payload(two[500:])))
    pair.answered(910, FileVerdict.STORED)
    pair.say(FileSlice(909, 500, Payload(one[500:])))
    pair.answered(909, FileVerdict.REFUSED)
    assert (pair.folder / "x").read_bytes() == two
    assert pair.files() == ["x"]


def test_many_transfers_of_one_peer_at_a_time_are_refused(pair: Pair) -> None:
    for ticket in range(1000, 1000 + LIMITS.max_file_transfers + 1):
        pair.offer(ticket, b"z", name=f"{ticket}")
    refused = pair.answered(1000 + LIMITS.max_file_transfers, FileVerdict.REFUSED)
    assert "max_file_transfers" in refused.reason


def test_a_ticket_in_use_is_refused(pair: Pair) -> None:
    pair.offer(911, b"abc")
    pair.answered(911, FileVerdict.SEND)
    pair.offer(911, b"abc", name="y")
    assert "in use" in pair.answered(911, FileVerdict.REFUSED).reason


def test_a_silent_sender_is_given_up(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "d", LIMITS)
    try:
        pair.there.endpoint.limits = replace(LIMITS, file_idle=0.1)
        pair.offer(912, b"abc")
        assert "nothing came" in pair.answered(912, FileVerdict.REFUSED).reason
        assert os.listdir(pair.folder) == []
    finally:
        pair.close()


@pytest.mark.row("KE-31")
def test_a_lost_sender_leaves_nothing(pair: Pair) -> None:
    pair.offer(913, bytes(1000), name="deep/x")
    pair.answered(913, FileVerdict.SEND)
    assert (pair.folder / "deep").is_dir()
    pair.here.do(pair.here.endpoint.close())
    wait_until(lambda: os.listdir(pair.folder) == [], 5)


@pytest.mark.row("KE-31")
@pytest.mark.parametrize("by", [lambda pair: pair.me, lambda pair: pair.store], ids=["peer", "folder"])
def test_a_receiver_that_closes_leaves_nothing_partial_and_says_so(
    pair: Pair, by: Callable[[Pair], Any]
) -> None:
    pair.offer(914, bytes(1000), name="deep/x")
    pair.answered(914, FileVerdict.SEND)
    pair.there.do(pair.receiver.drop(by(pair)))
    assert os.listdir(pair.folder) == []
    pair.answered(914, FileVerdict.REFUSED)
    pair.offer(915, b"", name="y")
    pair.answered(915, FileVerdict.STORED)
    pair.there.do(pair.receiver.close())
    pair.offer(916, b"", name="z")
    pair.answered(916, FileVerdict.REFUSED)


# The sender's side.


def test_a_file_that_can_not_be_read_is_said_where_it_is(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pair.send(tmp_path / "missing", "x")
    with pytest.raises(OSError, match="not a regular file"):
        pair.send(tmp_path, "x")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        pair.send(tmp_path / "fifo", "x")


def test_an_unknown_or_lost_receiver_is_said(pair: Pair, write: Callable[..., Path]) -> None:
    with pytest.raises(PeerLost):
        pair.here.do(pair.sender.send_file(Incarnation(bytes(16)), write(b"x"), "x"))
    # One that takes offers and never answers.
    gate = threading.Event()
    pair.there.reactor.call(gate.wait, 10)
    sending = pair.here.reactor.run(pair.sender.send_file(pair.to, write(b"x"), "x"))
    wait_until(lambda: pair.sender._sendings, 5)
    pair.here.reactor.call(pair.here.endpoint.forget, pair.to, "test")
    pair.here.reactor.call(pair.sender._watch, _lost(pair.to))
    with pytest.raises(PeerLost):
        sending.result(5)
    gate.set()


def _lost(peer: Incarnation) -> Any:
    from dispycos.events import PeerGone

    return PeerGone(peer, "test")


@pytest.mark.row("KE-31")
def test_an_answer_that_takes_too_long_is_a_timeout_and_nothing_stays(
    pair: Pair, write: Callable[..., Path]
) -> None:
    gate = threading.Event()
    pair.there.reactor.call(gate.wait, 10)
    with pytest.raises(Timeout, match=r"file 'sub/x': no answer in 0\.2 s"):
        pair.send(write(b"x" * 1000), "sub/x", timeout=0.2)
    gate.set()
    wait_until(lambda: not pair.receiver._transfers, 5)
    pair.offer(917, b"")
    pair.answered(917, FileVerdict.STORED)
    wait_until(lambda: pair.files() == ["x"], 5)


@pytest.mark.row("KE-31")
def test_a_cancelled_sending_leaves_nothing(pair: Pair, write: Callable[..., Path]) -> None:
    path = write(os.urandom(30 << 20))

    async def cancelled() -> None:
        task = asyncio.ensure_future(pair.sender.send_file(pair.to, path, "sub/x"))
        await pair.answered_once.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    pair.here.do(cancelled())
    wait_until(lambda: os.listdir(pair.folder) == [], 5)


def test_a_file_that_changes_while_it_is_sent_is_refused(pair: Pair, write: Callable[..., Path]) -> None:
    path = write(bytes(20 << 20))

    async def changing() -> None:
        task = asyncio.ensure_future(pair.sender.send_file(pair.to, path, "x"))
        await pair.answered_once.wait()
        with path.open("r+b") as file:
            file.seek((20 << 20) - 10)
            file.write(b"changed")
        await task

    with pytest.raises(FileRefused, match="changed while it was sent"):
        pair.here.do(changing())
    assert pair.files() == []


def test_a_process_sends_files_to_itself(pair: Pair, write: Callable[..., Path]) -> None:
    pair.stores[pair.to] = pair.store
    sender = FileSender(pair.there.endpoint)
    pair.there.do(sender.send_file(pair.to, write(b"own"), "own"))
    assert (pair.folder / "own").read_bytes() == b"own"


def test_a_deletion_needs_a_name_too(pair: Pair) -> None:
    for name in NAMES[:6]:
        pair.say(FileDelete(918, name))
    wait_until(lambda: len([a for a in pair.answers if a.verdict is FileVerdict.REFUSED]) == 6, 5)
