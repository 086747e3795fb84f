"""The folder in which one peer's files are stored, and from which none of them leads out.

A name is a relative POSIX path. It is opened part by part from the folder's descriptor and
no link is followed, so that neither `..` nor a link nor a folder swapped for one leads
anywhere else (SE-47). A file is written under a temporary name and renamed when it is whole:
nobody sees a part of it. Limits are those of SE-48.

All of this waits for the disk: `net.files` calls it in other threads. I/O half. Layer 3.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from dispycos.chaos.present import before_write
from dispycos.config import Limits
from dispycos.errors import FileRefused
from dispycos.folders import give_to_owner
from dispycos.model import Buffer

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO that a task left there must not hold us.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TEMPORARY = ".dispycos-part-"
_MODE = 0o700  # never setuid, setgid, sticky, nor anything for other accounts
_CHUNK = 1 << 20


def parts_of(name: str, limits: Limits) -> list[str]:
    """The parts of a received name; FileRefused says what is wrong with it (SE-47)."""
    parts = name.split("/")
    if len(parts) > limits.max_path_parts:
        raise FileRefused(f"the name has {len(parts)} parts; at most {limits.max_path_parts} are allowed")
    if name.startswith("~"):
        raise FileRefused("the name begins with '~'")
    for part in parts:
        if part in ("", ".", ".."):
            raise FileRefused(f"the name has a part {part!r}; it must be a relative path without such parts")
        if "\\" in part or any(unicodedata.category(character) == "Cc" for character in part):
            raise FileRefused("the name has a backslash or a control character")
        try:
            size = len(part.encode())
        except UnicodeEncodeError:
            raise FileRefused("the name is not UTF-8") from None
        if size > limits.max_path_part_bytes:
            raise FileRefused(
                f"a part of the name has {size} bytes; at most {limits.max_path_part_bytes} are allowed"
            )
    return parts


class FileStore:
    """One folder and what was stored in it; any thread.

    max_file_bytes  of one file; 0: `Limits.max_client_bytes` in all is the only limit.
    OSError if the folder can't be opened or is a link.
    """

    def __init__(self, path: str | os.PathLike[str], limits: Limits, max_file_bytes: int = 0) -> None:
        self.limits = limits
        self.path = Path(path)
        self._max_file_bytes = max_file_bytes
        self._folder = os.open(path, _FOLDER)
        self._lock = threading.Lock()  # over the counts
        self._sizes: dict[tuple[str, ...], int] = {}  # what is stored, by its parts
        self._coming = 0  # files under way
        self._bytes = 0  # stored, and promised to files under way
        self._made: set[tuple[str, ...]] = set()  # folders that we made
        self.before_write = before_write("file")

    def close(self) -> None:
        """Close the descriptor; files under way fail. May be repeated."""
        with self._lock:
            folder, self._folder = self._folder, -1
        if folder >= 0:
            os.close(folder)

    def begin(
        self, name: str, size: int, mode: int, modified: float, digest: bytes, overwrite: bool
    ) -> Incoming | None:
        """Make ready for a file; None if the identical one is there. FileRefused with the reason."""
        parts = parts_of(name, self.limits)
        if not 0 <= modified < 1 << 40:
            raise FileRefused("its time is not one that a file can have")
        try:
            with _reasons(), self._parent(parts, make=True) as parent:
                return self._begin(parts, parent, size, mode, modified, digest, overwrite)
        except FileRefused:
            self.remove_empty(parts)
            raise

    def _begin(
        self,
        parts: list[str],
        parent: int,
        size: int,
        mode: int,
        modified: float,
        digest: bytes,
        overwrite: bool,
    ) -> Incoming | None:
        there = _existing(parent, parts[-1])
        if there is not None:
            if there == size and digest == _digest(parent, parts[-1]):
                return None
            if not overwrite:
                raise FileRefused("another file of this name is there, and it is not to be overwritten")
        self._reserve(size)
        try:
            self._check_room(parent, size)
            return Incoming(self, parts, os.dup(parent), size, mode, modified, digest, overwrite)
        except BaseException:
            self.release(size)
            raise

    def delete(self, name: str) -> None:
        """Remove a file, and the folders we made for it that are empty then. FileRefused with the reason."""
        parts = parts_of(name, self.limits)
        with _reasons(), self._parent(parts) as parent:
            if _existing(parent, parts[-1]) is None:
                raise FileRefused("there is no such file")
            os.unlink(parts[-1], dir_fd=parent)
        with self._lock:
            self._bytes -= self._sizes.pop(tuple(parts), 0)
        self.remove_empty(parts)

    # Counts.

    def _reserve(self, size: int) -> None:
        if self._max_file_bytes and size > self._max_file_bytes:
            raise FileRefused(f"it has {size} bytes; at most max_file_size={self._max_file_bytes} are taken")
        with self._lock:
            if self._bytes + size > self.limits.max_client_bytes:
                raise FileRefused(
                    f"with its {size} bytes there would be more than max_client_bytes="
                    f"{self.limits.max_client_bytes} in all"
                )
            if len(self._sizes) + self._coming >= self.limits.max_client_files:
                raise FileRefused(f"max_client_files={self.limits.max_client_files} are there already")
            self._bytes += size
            self._coming += 1

    def release(self, size: int, stored: list[str] | None = None) -> None:
        """A file is no longer under way: given up, or stored."""
        with self._lock:
            self._coming -= 1
            if stored is None:
                self._bytes -= size
            else:
                self._bytes -= self._sizes.get(tuple(stored), 0)
                self._sizes[tuple(stored)] = size

    def _check_room(self, folder: int, size: int) -> None:
        status = os.fstatvfs(folder)
        free = status.f_bavail * status.f_frsize
        if size > free:
            raise FileRefused(f"the disk is full: {free} bytes are free, {size} are needed")

    # Folders.

    @contextlib.contextmanager
    def _parent(self, parts: list[str], *, make: bool = False) -> Iterator[int]:
        """A descriptor of the folder that the last part is in."""
        with self._lock:
            if self._folder < 0:
                raise FileRefused("no files are taken any more")
            at = os.dup(self._folder)
        try:
            for depth, part in enumerate(parts[:-1], 1):
                made = False
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o700, dir_fd=at)
                        made = True
                        self._made.add(tuple(parts[:depth]))
                below = os.open(part, _FOLDER, dir_fd=at)
                if made:
                    give_to_owner(below, at)
                os.close(at)
                at = below
            yield at
        finally:
            os.close(at)

    def is_parent(self, parts: list[str], folder: int) -> bool:
        """Whether `folder` is still what the name's folder is; not if it was moved or swapped."""
        with self._parent(parts) as parent:
            return os.path.sameopenfile(parent, folder)

    def remove_empty(self, parts: list[str]) -> None:
        """Remove the folders on the way to a name that we made, if nothing is in them."""
        for depth in range(len(parts) - 1, 0, -1):
            folder = parts[:depth]
            if tuple(folder) not in self._made:
                return
            try:
                with self._parent(folder) as parent:
                    os.rmdir(folder[-1], dir_fd=parent)
            except (OSError, FileRefused):
                return
            self._made.discard(tuple(folder))


class Incoming:
    """One file under way; one thread at a time. Ends by `finish` or `give_up`."""

    def __init__(
        self,
        store: FileStore,
        parts: list[str],
        folder: int,
        size: int,
        mode: int,
        modified: float,
        digest: bytes,
        overwrite: bool,
    ) -> None:
        self.size = size
        self.received = 0
        self._store = store
        self._parts = parts
        self._folder = folder  # ours to close
        self._mode = mode & _MODE
        self._modified = modified
        self._expected = digest
        self._overwrite = overwrite
        self._digest = hashlib.sha256()
        self._temporary = _TEMPORARY + secrets.token_hex(16)
        try:
            self._file = os.open(self._temporary, _NEW, 0o600, dir_fd=folder)
        except BaseException:
            os.close(folder)
            raise

    def write(self, offset: int, data: Buffer) -> None:
        """Take the next bytes. FileRefused if they are not the next, or too many."""
        view = memoryview(data)
        if offset != self.received:
            raise FileRefused(f"bytes from {self.received} on were due, and those from {offset} on came")
        if offset + view.nbytes > self.size:
            raise FileRefused(f"more bytes came than the {self.size} announced")
        with _reasons():
            self._store.before_write()
            at = 0
            while at < view.nbytes:
                at += os.write(self._file, view[at:])
        self._digest.update(view)
        self.received += view.nbytes

    def finish(self) -> None:
        """Put the whole file in its place. FileRefused if it is not what was announced."""
        if self.received != self.size or self._digest.digest() != self._expected:
            raise FileRefused("its content is not what was announced; it was changed while it was sent")
        name = self._parts[-1]
        with _reasons():
            give_to_owner(self._file, self._folder)  # takes bits of the mode away
            os.fchmod(self._file, self._mode)
            os.utime(self._file, (self._modified, self._modified))
            if not self._store.is_parent(self._parts, self._folder):
                raise FileRefused("its folder was moved away while it was sent")
            if self._overwrite:
                _existing(self._folder, name)
                os.rename(self._temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            else:
                self._place_beside(name)
        self._close(self._parts)

    def _place_beside(self, name: str) -> None:
        """Give the file its name unless somebody has it."""
        try:
            os.link(self._temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileExistsError:
            # It came meanwhile, by another transfer or from a task.
            there = _existing(self._folder, name)
            if there != self.size or _digest(self._folder, name) != self._expected:
                raise FileRefused(
                    "another file of this name is there, and it is not to be overwritten"
                ) from None
        except OSError as exc:
            # A file system without links.
            if exc.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            if _existing(self._folder, name) is not None:
                raise FileRefused("another file of this name is there") from None
            os.rename(self._temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            return
        os.unlink(self._temporary, dir_fd=self._folder)

    def give_up(self) -> None:
        """Keep nothing of it. May be repeated."""
        self._close(None)

    def _close(self, stored: list[str] | None) -> None:
        if self._file < 0:
            return
        if stored is None:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._folder)
        os.close(self._file)
        os.close(self._folder)
        self._file = -1
        self._store.release(self.size, stored)
        if stored is None:
            self._store.remove_empty(self._parts)


def _existing(folder: int, name: str) -> int | None:
    """The size of a file that is there, None if there is nothing; FileRefused if it is no file."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        kind = (
            "link" if stat.S_ISLNK(status.st_mode) else "folder" if stat.S_ISDIR(status.st_mode) else "device"
        )
        raise FileRefused(f"a {kind} of this name is there")
    return status.st_size


def _digest(folder: int, name: str) -> bytes:
    with open(os.open(name, _READ, dir_fd=folder), "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").digest()


@contextlib.contextmanager
def _reasons() -> Iterator[None]:
    """Turn what the system says into a reason for the peer: without paths of this machine (SE-56)."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FileRefused("the disk is full: no bytes are free") from exc
        if exc.errno in (errno.ELOOP, errno.ENOTDIR):
            raise FileRefused("a part of the name is a link or a file, not a folder") from exc
        if exc.errno == errno.ENOENT:
            raise FileRefused("there is no such file or folder") from exc
        raise FileRefused(exc.strerror or type(exc).__name__) from exc
