"""RSync: copies of a folder at any number of far ends, of which only what changed travels.

A far end never names a file: it asks by numbers of what it was told. What it does with names is
in `gateways.rsync_far`. Row EX-28.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from dispycos.errors import RemoteProtocolError
from dispycos.gateways import rsync_far
from dispycos.gateways.channel import Channel
from dispycos.gateways.gateway import Gateway

log = logging.getLogger("dispycos")

_AHEAD: Final = 64  # files that may be on their way to one far end

# What happened ("list" or "ack"), bytes it is about, the channel to that far end.
Report = Callable[[str, int, Channel], object]


@dataclass(frozen=True, slots=True)
class _Target:
    gateway: Gateway
    folder: str
    finished: Callable[[], object] | None
    delete: bool


@dataclass(slots=True)
class _File:
    path: str  # here
    name: str  # relative to the source
    size: int
    checksum: bytes | None = None  # once it was asked for


class RSync:
    """Copies a folder. Each `send` copies to the targets that were added since the one before.

    callback  called with "list", the bytes that will travel to a far end, its channel; then for
              each file that is in its place there with "ack", its bytes, the channel.
    verbose   print the files that travel.
    """

    def __init__(
        self, sourcedir: str | os.PathLike[str], callback: Report | None = None, verbose: bool = True
    ) -> None:
        self._source = os.path.abspath(os.fspath(sourcedir))
        self._callback = callback
        self._verbose = verbose
        self._targets: list[_Target] = []
        self._turn = threading.Lock()  # of what several far ends share

    def filter(self, path: str) -> bool:
        """Whether a file or folder of the source is to be copied; override it."""
        return True

    def add_target(
        self,
        gateway: Gateway,
        destdir: str | os.PathLike[str],
        finishedcallback: Callable[[], object] | None = None,
        delete: bool = False,
    ) -> None:
        """Have the next `send` make `destdir` at the gateway's far end a copy.

        finishedcallback  called when it is one.
        delete            remove there what the source does not have.
        """
        self._targets.append(_Target(gateway, os.fspath(destdir), finishedcallback, delete))

    def send(self, raises: bool = True) -> None:
        """Copy to all targets at once, and wait until it is done; from a plain thread.

        raises  OSError if there is no target.
        RemoteError for what went wrong at a far end, once the others are done.
        """
        targets, self._targets = self._targets, []
        if not targets:
            if raises:
                raise OSError("there is no target to send to: add_target says where, before each send")
            return
        files: list[_File] = []
        folders = list(self._folders(files))
        with ThreadPoolExecutor(len(targets), "dispycos rsync") as pool:
            copies = [pool.submit(self._copy, target, folders, files) for target in targets]
        for copy in copies:
            copy.result()

    # What there is.

    def _folders(self, files: list[_File]) -> Iterator[tuple[Any, ...]]:
        # As `rsync_far` takes them; files are numbered as they are found.
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            names = waiting.pop()
            path = os.path.join(self._source, *names)
            here: list[Any] = []
            links: list[Any] = []
            inner: list[str] = []
            try:
                found = sorted(os.listdir(path))
                mode = stat.S_IMODE(os.lstat(path).st_mode)
            except FileNotFoundError:
                if not names:
                    raise
                continue  # it disappeared meanwhile
            for name in found:
                one = os.path.join(path, name)
                if not self.filter(one):
                    continue
                try:
                    facts = os.lstat(one)
                    if stat.S_ISLNK(facts.st_mode):
                        links.append((name, *self._aim(os.readlink(one))))
                        continue
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(facts.st_mode):
                    inner.append(name)
                elif stat.S_ISREG(facts.st_mode):
                    here.append((name, stat.S_IMODE(facts.st_mode), facts.st_size, facts.st_mtime_ns))
                    files.append(_File(one, os.path.join(*names, name), facts.st_size))
                else:
                    log.warning("%s is no file, folder or link, and is not copied", one)
            yield names, mode, here, links, inner
            waiting += [(*names, name) for name in reversed(inner)]

    def _aim(self, target: str) -> tuple[bool, Any]:
        # An absolute link into the source leads into the copy there.
        if os.path.isabs(target):
            inside = os.path.relpath(target, self._source)
            if inside == os.curdir:
                return True, ()
            if inside.split(os.sep)[0] != os.pardir:
                return True, tuple(inside.split(os.sep))
        return False, target

    # One far end.

    def _copy(self, target: _Target, folders: list[tuple[Any, ...]], files: list[_File]) -> None:
        channel = target.gateway.remote_exec(rsync_far)
        channel.send((target.folder, target.delete))
        for folder in folders:
            channel.send(folder)
        channel.send(None)
        same, changed = self._compare(channel, files)
        self._tell("list", sum(files[number].size for number in changed), channel)
        owed: set[int] = set()  # files that were sent, and are not in their place yet

        def acknowledged(most: int) -> None:
            while len(owed) > most:
                number = channel.receive()
                if number not in owed:
                    raise RemoteProtocolError(
                        f"a far end has file {number!r:.20} in its place, which was not sent"
                    )
                owed.remove(number)
                if number in changed:
                    self._tell("ack", files[number].size, channel)

        for number in same:
            channel.send((number, None, False))
            owed.add(number)
            acknowledged(_AHEAD)
        for number in changed:
            if self._verbose:
                self._report_send_file(target.gateway, files[number].name)
            _send_file(channel, number, files[number])
            owed.add(number)
            acknowledged(_AHEAD)
        acknowledged(0)
        channel.send(None)
        channel.waitclose()
        if target.finished is not None:
            with self._turn:
                target.finished()

    def _compare(self, channel: Channel, files: list[_File]) -> tuple[dict[int, None], dict[int, None]]:
        # Numbers of the files that are there already, and of the others, in order.
        same: dict[int, None] = {}
        changed: dict[int, None] = {}
        for number, file in enumerate(files):
            asked = channel.receive()
            if type(asked) is not tuple or len(asked) != 2 or asked[0] != number:
                raise RemoteProtocolError(f"a far end asks for {asked!r:.40} where file {number} is next")
            checksum = asked[1]
            if checksum is not None and checksum == self._checksum(file):
                same[number] = None
            else:
                changed[number] = None
        if channel.receive() is not None:
            raise RemoteProtocolError(f"a far end asks for more than {len(files)} files")
        return same, changed

    def _checksum(self, file: _File) -> bytes | None:
        with self._turn:
            if file.checksum is None:
                file.checksum = rsync_far.checksum(file.path)
            return file.checksum

    def _tell(self, event: str, size: int, channel: Channel) -> None:
        if self._callback is not None:
            with self._turn:
                self._callback(event, size, channel)

    def _report_send_file(self, gateway: Gateway, name: str) -> None:
        print(f"{gateway.id} <= {name}")


def _send_file(channel: Channel, number: int, file: _File) -> None:
    try:
        descriptor = os.open(file.path, os.O_RDONLY | rsync_far.NOFOLLOW)
    except OSError as exc:
        log.warning("%s is not copied: %s", file.path, exc)
        channel.send((number, True, False))
        return
    with open(descriptor, "rb", buffering=0) as opened:
        piece = opened.read(rsync_far.PIECE)
        while True:
            following = opened.read(rsync_far.PIECE) if piece else b""
            channel.send((number, piece, bool(following)))
            if not following:
                return
            piece = following
