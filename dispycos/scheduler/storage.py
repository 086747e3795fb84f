"""The folder of a shared scheduler: its journal, and the files that clients sent it.

    <dest_path>/dispycos-scheduler-<port>/     ours alone, mode 0700
        journal.db                             kept at the end where somebody still waits
        monitor.json                           likewise: who may look at its web monitor
        files/<incarnation>/                   one client's, until it has left

I/O half. Layer 5. Rows DS-09, DS-10, DS-18; SE-47, SE-49.
"""

from __future__ import annotations

import contextlib
import os
import re

from dispycos.config import Limits
from dispycos.folders import default_path, open_private, remove_tree
from dispycos.model import Incarnation
from dispycos.net.filestore import FileStore
from dispycos.scheduler.journal import Journal

_FILES = "files"
_MONITOR = "monitor.json"
# What belongs to the clients that are known.
_KEPT = re.compile(rf"journal\.db(-wal|-shm)?|{re.escape(_MONITOR)}")
_DAMAGED = re.compile(r"journal\.db\.damaged-[0-9-]+(-wal|-shm)?")  # for people to look at, until --clean


class Storage:
    """Opened once the port is known, which makes one scheduler's folder another's never.

    path   `--dest_path`; none: the account's own folder for temporary files.
    clean  forget what an earlier scheduler left.
    FolderError and JournalError say in one sentence why it can't be used.
    """

    def __init__(self, path: str | None, port: int, our: Incarnation, *, clean: bool, limits: Limits) -> None:
        self._limits = limits
        base = os.path.realpath(path) if path else default_path()
        self._made = not os.path.lexists(base)  # so that it is ours to remove
        # A path that the user named may be readable for others; they may not write there.
        self._forbidden = 0o022 if path else 0o077
        self.path = os.path.join(base, f"dispycos-scheduler-{port}")
        self._folder = self._open_folder()
        try:
            if clean:
                self._clean(our)
            self.journal = Journal(os.path.join(self.path, "journal.db"), our, self._make_folder)
        except BaseException:
            os.close(self._folder)
            raise
        known = {client.incarnation.hex() for client in self.journal.restored.clients}
        self._stores: dict[Incarnation, FileStore] = {}  # of clients that are queued or running
        with contextlib.suppress(FileNotFoundError):
            for name in set(os.listdir(os.path.join(self.path, _FILES))) - known:
                self._remove(name)

    def _open_folder(self) -> int:
        os.close(open_private(os.path.dirname(self.path), self._forbidden))
        return open_private(self.path)

    def _make_folder(self) -> None:
        """Somebody removed it while we work: files of clients are gone with it, what is new is kept there."""
        folder, self._folder = self._folder, self._open_folder()
        os.close(folder)

    def _clean(self, our: Incarnation) -> None:
        # Not under a scheduler that works here: SQLite's lock says whether there is one.
        Journal(os.path.join(self.path, "journal.db"), our).close()
        for name in os.listdir(self._folder):
            if _KEPT.fullmatch(name) or _DAMAGED.fullmatch(name):
                os.unlink(name, dir_fd=self._folder)

    @property
    def monitor_file(self) -> str:
        """Where the web monitor keeps who may look at it."""
        return os.path.join(self.path, _MONITOR)

    def files_of(self, client: Incarnation) -> FileStore:
        """The folder for a client's files. OSError if it can't be made."""
        if client not in self._stores:
            path = os.path.join(self.path, _FILES, client.hex())
            os.makedirs(path, 0o700, exist_ok=True)
            self._stores[client] = FileStore(path, self._limits, max_file_bytes=self._limits.max_file_bytes)
        return self._stores[client]

    def clients_with_files(self) -> list[Incarnation]:
        """Whose files are here."""
        return list(self._stores)

    def take_from(self, client: Incarnation) -> FileStore | None:
        """Give out no folder for it any more; what it had, to be closed before `remove_files`."""
        return self._stores.pop(client, None)

    def remove_files(self, client: Incarnation) -> None:
        """Remove what a client sent."""
        self._remove(client.hex())

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            files = os.open(_FILES, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._folder)
            try:
                remove_tree(name, files)
            finally:
                os.close(files)

    def close(self, *, empty: bool) -> None:
        """Close everything; `empty`: nobody is to be taken up again, so nothing stays."""
        self.journal.close()
        for client in self.clients_with_files():
            store = self._stores.pop(client)
            store.close()
            if empty:
                self._remove(client.hex())
        if empty:
            for name in os.listdir(self._folder):
                if _KEPT.fullmatch(name):
                    os.unlink(name, dir_fd=self._folder)
        os.close(self._folder)
        if empty:
            base = [os.path.dirname(self.path)] if self._made else []
            for path in (os.path.join(self.path, _FILES), self.path, *base):
                # What is not empty is somebody else's, too.
                with contextlib.suppress(OSError):
                    os.rmdir(path)
