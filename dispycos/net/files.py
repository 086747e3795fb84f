"""Files from one process to another: offers, slices, answers (KE-31, DC-03).

The sender offers a file with size and digest. The receiver has the identical one already, or
refuses with a reason, or says SEND; then slices come, a few ahead of what is written, and the
receiver says STORED when the whole file is in its place. Where files go and what may be there
is `net.filestore`; which peer has a folder at all is the owner's to say.

The disk is never waited for on the reactor. I/O half. Layer 4. SE-47, SE-48.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import logging
import os
import stat
import time
from collections import deque
from collections.abc import Callable
from dataclasses import field
from typing import Any

from dispycos.errors import Closed, FileRefused, PeerLost, Timeout
from dispycos.events import DialFailed, PeerEvent, PeerGone
from dispycos.messages import FileAnswer, FileDelete, FileOffer, FileSlice, FileVerdict
from dispycos.model import Incarnation, Payload, Role
from dispycos.net.endpoint import Endpoint
from dispycos.net.filestore import FileStore, Incoming
from dispycos.records import record

log = logging.getLogger("dispycos")

ANYONE = Role.CLIENT | Role.SCHEDULER | Role.NODE | Role.SERVER | Role.PEER
_MIB = 1 << 20
_SLICE = _MIB // 2  # bytes; with its head it fits into one frame
_MAX_ANSWERS = 64  # to one question, not yet looked at; more than any honest peer sends


# Receiving.


@record(frozen=False)
class _Transfer:
    """One file that a peer is sending."""

    peer: Incarnation
    offer: FileOffer
    store: FileStore
    waiting: deque[FileSlice] = field(default_factory=deque)  # at most as many as were allowed
    allowed: int = 0  # slices that may still come
    written: int = 0  # slices since the sender was last allowed more
    more: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    ended: str = ""  # why it is not to go on


def _directly(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


class FileReceiver:
    """Takes files and deletions from those peers that have a folder here.

    store_of  the folder of a peer, None if it has none; reactor thread.
    who       roles that may send files at all.
    do        calls what is done to files: where the folders are another account's.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        store_of: Callable[[Incarnation], FileStore | None],
        *,
        who: Role = ANYONE,
        do: Callable[..., Any] = _directly,
    ) -> None:
        self._do = do
        self._endpoint = endpoint
        self._store_of = store_of
        self._transfers: dict[tuple[Incarnation, int], _Transfer] = {}
        self._named: dict[Incarnation, tuple[float, int]] = {}  # last line in the log; refusals since
        self._closed = False
        endpoint.handle(FileOffer, self._offered, who=who)
        endpoint.handle(FileSlice, self._came, who=who)
        endpoint.handle(FileDelete, self._delete, who=who)
        endpoint.watch(self._watch)

    async def close(self) -> None:
        """Give up what is under way and take nothing more; nothing partial stays."""
        self._closed = True
        tasks = [transfer.task for transfer in self._transfers.values() if transfer.task]
        for transfer in list(self._transfers.values()):
            self._end(transfer, "the receiver closes")
        await asyncio.gather(*tasks, return_exceptions=True)

    async def drop(self, of: Incarnation | FileStore) -> None:
        """Give up what this peer is sending, or what is on its way to this folder, which is about to go."""
        tasks = []
        for transfer in list(self._transfers.values()):
            if of in (transfer.peer, transfer.store):
                self._end(transfer, "its folder is closed")
                tasks += [transfer.task] if transfer.task else []
        await asyncio.gather(*tasks, return_exceptions=True)

    def _watch(self, event: PeerEvent | DialFailed) -> None:
        if isinstance(event, PeerGone):
            for transfer in list(self._transfers.values()):
                if transfer.peer == event.peer:
                    self._end(transfer, "the sender is lost")
            self._named.pop(event.peer, None)

    def _end(self, transfer: _Transfer, why: str) -> None:
        transfer.ended = transfer.ended or why
        transfer.more.set()

    def _offered(self, peer: Incarnation, offer: FileOffer) -> None:
        key = (peer, offer.ticket)
        store = None if self._closed else self._store_of(peer)
        reason = ""
        if store is None:
            reason = "no files are taken from you here"
        elif key in self._transfers:
            reason = "this ticket is in use"
        elif sum(known[0] == peer for known in self._transfers) >= self._endpoint.limits.max_file_transfers:
            reason = f"max_file_transfers={self._endpoint.limits.max_file_transfers} are under way"
        if reason or store is None:
            self._refuse(peer, offer.ticket, offer.name, reason)
            return
        transfer = self._transfers[key] = _Transfer(peer, offer, store)
        transfer.task = self._endpoint.reactor.spawn(self._take(transfer))

    def _came(self, peer: Incarnation, message: FileSlice) -> None:
        transfer = self._transfers.get((peer, message.ticket))
        if transfer is None or transfer.ended:
            return  # refused meanwhile: what was on its way is dropped
        transfer.allowed -= 1
        if message.data.buffers or transfer.allowed < 0:
            self._end(transfer, "more slices came than were allowed")
        elif not message.data.size:
            self._end(transfer, "given up by the sender")
        else:
            transfer.waiting.append(message)
            transfer.more.set()

    async def _take(self, transfer: _Transfer) -> None:
        offer, peer = transfer.offer, transfer.peer
        incoming: Incoming | None = None
        try:
            incoming = await self._on_disk(
                transfer.store.begin,
                offer.name,
                offer.size,
                offer.mode,
                offer.modified,
                offer.digest,
                offer.overwrite,
            )
            if incoming is not None:
                await self._receive(transfer, incoming)
                await self._on_disk(incoming.finish)
            self._forget(transfer)
            self._answer(peer, offer.ticket, FileVerdict.STORED)
        except FileRefused as exc:
            await self._give_up(incoming)
            self._forget(transfer)
            self._refuse(peer, offer.ticket, offer.name, str(exc))
        except BaseException:
            # The reactor ends: nothing partial stays.
            if incoming is not None:
                incoming.give_up()
            self._forget(transfer)
            raise

    async def _receive(self, transfer: _Transfer, incoming: Incoming) -> None:
        window = self._endpoint.limits.file_window
        if incoming.size:
            transfer.allowed = 2 * window
            self._answer(transfer.peer, transfer.offer.ticket, FileVerdict.SEND)
        while incoming.received < incoming.size:
            if not transfer.waiting:
                transfer.more.clear()
                await self._wait(transfer)
            if transfer.ended:
                raise FileRefused(transfer.ended)
            message = transfer.waiting.popleft()
            await self._on_disk(incoming.write, message.offset, message.data.data)
            transfer.written += 1
            if transfer.written == window:
                transfer.written = 0
                transfer.allowed += window
                self._answer(transfer.peer, transfer.offer.ticket, FileVerdict.SEND)

    async def _wait(self, transfer: _Transfer) -> None:
        idle = self._endpoint.limits.file_idle
        if transfer.ended:
            return
        try:
            async with asyncio.timeout(idle):
                await transfer.more.wait()
        except TimeoutError:
            raise FileRefused(f"nothing came for {idle} s") from None

    async def _on_disk(self, function: Callable[..., Any], *args: Any) -> Any:
        # Shielded: a cancelled transfer waits for the write that is under way before it cleans up.
        work = self._endpoint.reactor.loop.run_in_executor(None, self._do, function, *args)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            done = await asyncio.wait([work])
            for finished in done[0]:
                if finished.exception() is None and isinstance(made := finished.result(), Incoming):
                    made.give_up()
            raise

    async def _give_up(self, incoming: Incoming | None) -> None:
        if incoming is not None:
            await self._on_disk(incoming.give_up)

    def _forget(self, transfer: _Transfer) -> None:
        self._transfers.pop((transfer.peer, transfer.offer.ticket), None)

    def _delete(self, peer: Incarnation, message: FileDelete) -> None:
        store = None if self._closed else self._store_of(peer)
        if store is None:
            self._refuse(peer, message.ticket, message.name, "you have no files here")
        else:
            self._endpoint.reactor.spawn(self._deleted(peer, message, store))

    async def _deleted(self, peer: Incarnation, message: FileDelete, store: FileStore) -> None:
        try:
            await self._on_disk(store.delete, message.name)
        except FileRefused as exc:
            self._refuse(peer, message.ticket, message.name, str(exc))
        else:
            self._answer(peer, message.ticket, FileVerdict.STORED)

    def _answer(self, peer: Incarnation, ticket: int, verdict: FileVerdict, reason: str = "") -> None:
        with contextlib.suppress(Closed):
            self._endpoint.say(peer, FileAnswer(ticket, verdict, reason))

    def _refuse(self, peer: Incarnation, ticket: int, name: str, reason: str) -> None:
        # One line a peer and minute (SE-55); the name is a peer's text, so it is shown escaped.
        now = time.monotonic()
        last, count = self._named.get(peer, (-1e9, 0))
        if now - last >= self._endpoint.limits.failure_window:
            more = f" ({count} more since)" if count else ""
            log.warning("refused file %s of %s: %s%s", ascii(name[:255]), peer.hex()[:8], reason, more)
            self._named[peer] = (now, 0)
        else:
            self._named[peer] = (last, count + 1)
        self._answer(peer, ticket, FileVerdict.REFUSED, reason)


# Sending.


@record(frozen=False)
class _Sending:
    """A question about a file that waits for answers."""

    peer: Incarnation
    answers: asyncio.Queue[FileAnswer | PeerLost] = field(default_factory=asyncio.Queue)


class FileSender:
    """Sends files and deletions to peers; its coroutines run on the reactor.

    timeout  seconds for each MB to be taken, and for each answer; None: as long as the peer is there.
    FileRefused with the peer's reason; PeerLost; Timeout; OSError if the file can't be read.
    In each case nothing of the file stays there.
    """

    _tickets = itertools.count(1)  # of the process: two senders may share an endpoint

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._sendings: dict[int, _Sending] = {}
        endpoint.handle(FileAnswer, self._answered, who=ANYONE)
        endpoint.watch(self._watch)

    async def send_file(
        self,
        to: Incarnation,
        path: str | os.PathLike[str],
        name: str,
        *,
        overwrite: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Store a file at a peer as `name`, with its mode and time; fine if the identical one is there."""
        loop = self._endpoint.reactor.loop
        source = await loop.run_in_executor(None, _Source, path)
        try:
            digest = await loop.run_in_executor(None, source.digest)
            with self._asking(to) as (ticket, sending):
                times = max(0.0, source.modified)
                offer = FileOffer(ticket, name, source.size, source.mode, times, digest, overwrite)
                await self._send(to, source, offer, sending, timeout)
        finally:
            source.close()

    async def _send(
        self, to: Incarnation, source: _Source, offer: FileOffer, sending: _Sending, timeout: float | None
    ) -> None:
        # To compare a file that is there takes the peer as long as to write it.
        patience = None if timeout is None else timeout * max(1.0, source.size / _MIB)
        window, sent = 2 * self._endpoint.limits.file_window, 0
        what = f"file {offer.name!r}"
        try:
            self._endpoint.say(to, offer)
            while await self._verdict(sending, what, sent, patience) is FileVerdict.SEND:
                sent = await self._send_window(to, offer.ticket, source, sent, window)
                window = self._endpoint.limits.file_window
                patience = None if timeout is None else timeout * max(1.0, 2 * window * _SLICE / _MIB)
        except (FileRefused, PeerLost):
            raise  # the transfer is over at the peer, too
        except BaseException:
            with contextlib.suppress(Exception):
                self._endpoint.say(to, FileSlice(offer.ticket, 0, Payload(b"")))
            raise

    async def _send_window(self, to: Incarnation, ticket: int, source: _Source, sent: int, count: int) -> int:
        for _ in range(count):
            if sent >= source.size:
                break
            data = await self._endpoint.reactor.loop.run_in_executor(None, source.read, sent, _SLICE)
            if not data:
                raise OSError(f"{source.path} became shorter while it was sent")
            self._endpoint.say(to, FileSlice(ticket, sent, Payload(data)))
            sent += len(data)
        return sent

    async def delete_file(self, to: Incarnation, name: str, *, timeout: float | None = None) -> None:
        """Remove a file that was stored at a peer as `name`."""
        with self._asking(to) as (ticket, sending):
            self._endpoint.say(to, FileDelete(ticket, name))
            await self._verdict(sending, f"deletion of {name!r}", 0, timeout)

    @contextlib.contextmanager
    def _asking(self, to: Incarnation) -> Any:
        if to != self._endpoint.incarnation and self._endpoint.peer(to) is None:
            raise PeerLost("the process that is to take the file is not connected")
        ticket = next(self._tickets)
        sending = self._sendings[ticket] = _Sending(to)
        try:
            yield ticket, sending
        finally:
            del self._sendings[ticket]

    async def _verdict(self, sending: _Sending, what: str, sent: int, timeout: float | None) -> FileVerdict:
        try:
            async with asyncio.timeout(timeout):
                answer = await sending.answers.get()
        except TimeoutError:
            raise Timeout(f"{what}: no answer in {timeout} s; {sent / _MIB:.1f} MB were sent") from None
        if isinstance(answer, PeerLost):
            raise answer
        if answer.verdict is FileVerdict.REFUSED:
            raise FileRefused(f"{what} was refused: {answer.reason}")
        return answer.verdict

    def _answered(self, peer: Incarnation, answer: FileAnswer) -> None:
        sending = self._sendings.get(answer.ticket)
        if sending is not None and sending.peer == peer and sending.answers.qsize() < _MAX_ANSWERS:
            sending.answers.put_nowait(answer)

    def _watch(self, event: PeerEvent | DialFailed) -> None:
        if isinstance(event, PeerGone):
            for sending in self._sendings.values():
                if sending.peer == event.peer:
                    sending.answers.put_nowait(PeerLost(f"lost while a file was sent: {event.reason}"))


class _Source:
    """A file that is read; blocks."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        # O_NONBLOCK: a FIFO must not hold us; it is refused below.
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._file)
            raise OSError(f"{self.path} is not a regular file")
        self.size = status.st_size
        self.mode = stat.S_IMODE(status.st_mode)
        self.modified = status.st_mtime

    def digest(self) -> bytes:
        with open(os.dup(self._file), "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").digest()

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file, size, offset)

    def close(self) -> None:
        os.close(self._file)
