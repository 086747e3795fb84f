"""The receiving end of RSync: it is sent as source, and runs with nothing of ours around it.

It is told folder by folder what there is to be, says which files it lacks or has otherwise, gets
those, and makes links last. Names that it is sent stay below its folder: each is one plain name,
no folder is entered through a link, and a file takes the place of a link without touching what
the link leads to.

From the sender: (destination, delete); for each folder (its names from the top, mode, files,
links, folders); None; then (number, piece, whether more comes), with None as a piece that says
that the file is here already and True that it is gone; None at the end.
To the sender: (number, checksum or None) for each file that is to be looked at; None; then the
number of each file that is in its place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    channel: Any = None  # what remote_exec gives

PIECE = 1024 * 1024  # bytes read at once
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


def plain(name: Any) -> str:
    """The name, if it is one: ValueError for what leads elsewhere."""
    wrong = not isinstance(name, str) or name in ("", os.curdir, os.pardir) or "\0" in name
    if wrong or any(separator in name for separator in ("/", os.sep, os.altsep) if separator):
        raise ValueError(f"{name!r:.60} is no name of a file")
    return str(name)


def kind_of(path: str) -> int:
    """Mode of what is there, links not followed; 0: nothing."""
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return 0


def checksum(path: str) -> bytes | None:
    """Of a file's content; None if there is no file of that name."""
    try:
        number = os.open(path, os.O_RDONLY | NOFOLLOW)
    except OSError:
        return None
    made = hashlib.blake2b(digest_size=32)
    with open(number, "rb", buffering=0) as file:
        while piece := file.read(PIECE):
            made.update(piece)
    return made.digest()


class Receiver:
    """One folder that becomes a copy."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.top, self.delete = channel.receive()
        self.top = os.path.abspath(os.path.expanduser(self.top))
        self.files: list[Any] = []  # (path, mode, size, time in nanoseconds)
        self.links: list[tuple[str, str]] = []  # (path, target)
        self.modes: list[tuple[str, int]] = []  # (folder, mode)
        self.made: set[tuple[str, ...]] = set()  # names of the folders that are folders for sure

    def run(self) -> None:
        """Do all of it."""
        os.makedirs(self.top, exist_ok=True)
        while (folder := self.channel.receive()) is not None:
            self.folder(*folder)
        self.ask()
        while (message := self.channel.receive()) is not None:
            self.file(*message)
        for path, mode in reversed(self.modes):
            # Whoever owns it can go on with it, as the next copy must.
            os.chmod(path, mode | stat.S_IRWXU)
        for path, target in self.links:
            self.link(path, target)

    def folder(self, names: Any, mode: int, files: Any, links: Any, folders: Any) -> None:
        """Make a folder, and note what is to be in it."""
        path = os.path.join(self.top, *map(plain, names))
        if names:
            if names[:-1] not in self.made:
                raise ValueError(f"{names!r:.60} comes before the folder that it is in")
            found = kind_of(path)
            if not stat.S_ISDIR(found):
                if found:
                    os.unlink(path)
                os.mkdir(path, stat.S_IRWXU)
            else:
                os.chmod(path, stat.S_IMODE(found) | stat.S_IRWXU)
        self.made.add(names)
        self.modes.append((path, mode))
        known = {plain(name) for name, *_ in (*files, *links)} | set(map(plain, folders))
        if self.delete:
            for name in os.listdir(path):
                if name not in known:
                    self.remove(os.path.join(path, name))
        self.files += [(os.path.join(path, name), *facts) for name, *facts in files]
        for name, inside, target in links:
            if inside:
                target = os.path.join(self.top, *map(plain, target))
            self.links.append((os.path.join(path, name), target))

    def remove(self, path: str) -> None:
        """Remove a file, a link, or a folder with all in it."""
        if stat.S_ISDIR(kind_of(path)):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def clear(self, path: str) -> None:
        """Have no folder in the place of a file or link."""
        if stat.S_ISDIR(kind_of(path)):
            if self.delete:
                shutil.rmtree(path)
            else:
                os.rmdir(path)  # one that is not empty is not thrown away unasked

    def ask(self) -> None:
        """Say which files are not the same for sure."""
        for number, (path, _, size, _) in enumerate(self.files):
            self.clear(path)
            found = kind_of(path)
            same_size = stat.S_ISREG(found) and os.lstat(path).st_size == size
            self.channel.send((number, checksum(path) if same_size else None))
        self.channel.send(None)

    def file(self, number: int, piece: Any, more: bool) -> None:
        """Take a file, or leave it as it is."""
        path, mode, _, time = self.files[number]
        if piece is None:
            self.settle(os.open(path, os.O_RDONLY | NOFOLLOW), mode, time)
        elif piece is not True:
            self.write(path, piece, more, mode, time)
        self.channel.send(number)

    def write(self, path: str, piece: bytes, more: bool, mode: int, time: int) -> None:
        """Write a file beside its place, and move it there whole."""
        number, beside = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".rsync-")
        try:
            with open(number, "wb", buffering=0, closefd=False) as file:
                file.write(piece)
                while more:
                    _, piece, more = self.channel.receive()
                    file.write(piece)
            self.settle(number, mode, time)
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise

    def settle(self, number: int, mode: int, time: int) -> None:
        """Set mode and time of an open file, and close it."""
        try:
            os.fchmod(number, mode)
            os.utime(number, ns=(time, time))
        finally:
            os.close(number)

    def link(self, path: str, target: str) -> None:
        """Make a link, or leave it if it is there."""
        self.clear(path)
        found = kind_of(path)
        if stat.S_ISLNK(found) and os.readlink(path) == target:
            return
        if found:
            os.unlink(path)
        os.symlink(target, path)


if __name__ == "__channelexec__":
    Receiver(channel).run()
