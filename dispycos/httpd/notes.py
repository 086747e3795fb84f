"""Notes: where the monitors of this account are, so that its terminals find them without a link.

A monitor leaves a file with its viewer's link in this account's folder, and removes it at its end.
What a killed program left is told by its process, and swept by whoever looks next. The token of an
operator is never in it: who only looks needs none.

I/O half. Layer 7. Rows MO-24, SE-49.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import psutil

from dispycos import folders

log = logging.getLogger("dispycos.monitor")

FOLDER = "monitors"  # below the account's folder
_MAX_NOTE = 4096  # bytes
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Note:
    """One monitor of this account, on this machine."""

    name: str  # of its program
    link: str  # of a viewer
    port: int
    pid: int
    started: float  # when its process was, as the system says: a pid is used again


def write(name: str, link: str, port: int) -> Note | None:
    """Leave a note of a monitor of this process. None: there is no place for it, and the log says why."""
    note = Note(name[:200], link, port, os.getpid(), psutil.Process().create_time())
    try:
        with _folder() as folder:
            _sweep(folder)
            data = json.dumps(asdict(note)).encode()
            file = os.open(_file(note), os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600, dir_fd=folder)
            with os.fdopen(file, "wb") as stream:
                stream.write(data)
    except OSError as exc:
        log.info("`dispycos top` will not find this monitor by itself: %s", exc)
        return None
    return note


def remove(note: Note | None) -> None:
    """Take a note away; may be repeated."""
    if note is not None:
        with contextlib.suppress(OSError), _folder() as folder:
            os.unlink(_file(note), dir_fd=folder)
        # The folders go with the last note, if nothing else is in them.
        with contextlib.suppress(OSError):
            os.rmdir(_path())
            os.rmdir(folders.default_path())


def living() -> list[Note]:
    """The monitors of this account that run on this machine, by port. FolderError: the folder is not ours."""
    if not os.path.isdir(_path()):
        return []
    with _folder() as folder:
        return sorted(_sweep(folder), key=lambda note: note.port)


def _path() -> str:
    return os.path.join(folders.default_path(), FOLDER)


@contextlib.contextmanager
def _folder() -> Iterator[int]:
    # Below a folder that nobody else can enter; by its descriptor, for it may go with its last user.
    account = folders.open_private(folders.default_path())
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(FOLDER, 0o700, dir_fd=account)
        folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | _OPEN, dir_fd=account)
    finally:
        os.close(account)
    try:
        yield folder
    finally:
        os.close(folder)


def _file(note: Note) -> str:
    return f"{note.pid}-{note.port}.json"


def _sweep(folder: int) -> list[Note]:
    """The notes of processes that live; the others are removed."""
    found = []
    for name in os.listdir(folder):
        try:
            with os.fdopen(os.open(name, os.O_RDONLY | _OPEN, dir_fd=folder), "rb") as stream:
                note = Note(**json.loads(stream.read(_MAX_NOTE)))
            if psutil.Process(note.pid).create_time() == note.started:
                found.append(note)
                continue
        except (OSError, ValueError, TypeError, psutil.Error):
            pass  # half written by one that was killed, or its process has ended: it goes
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
    return found
