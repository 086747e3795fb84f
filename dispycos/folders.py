"""Folders of ours: opened so that no other account has a part in them, removed so that no link bends it.

I/O half. Layer 3. Row DN-32; rules SE-47, SE-49.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import tempfile

from dispycos.errors import DispycosError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderError(DispycosError, OSError):
    """A directory can't be used; the text is one sentence that says why and what to do."""


def default_path() -> str:
    """`$TMPDIR/dispycos-<uid>`: no other account can have a part in it."""
    return os.path.join(tempfile.gettempdir(), f"dispycos-{os.getuid()}")


def open_private(path: str, forbidden: int = 0o077) -> int:
    """Open a directory of ours, made with mode 0700 if missing; bits of `forbidden` refuse it (SE-49)."""
    try:
        with contextlib.suppress(FileExistsError):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.mkdir(path, 0o700)
        folder = os.open(path, _FOLDER)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENOTDIR) and os.path.islink(path):
            raise FolderError(f"{path} is a link, which could be bent: give its target") from None
        raise FolderError(f"can't use {path} as directory: {exc.strerror or exc}") from None
    status = os.fstat(folder)
    problem = ""
    if status.st_uid != os.getuid():
        problem = f"{path} belongs to uid {status.st_uid}, not to us (uid {os.getuid()}): give another one"
    elif status.st_mode & forbidden:
        mode = stat.S_IMODE(status.st_mode)
        problem = f"{path} is open to others (mode {mode:04o}): run `chmod 700 {path}`, or give another one"
    if problem:
        os.close(folder)
        raise FolderError(problem)
    return folder


def give_to_owner(made: int, folder: int) -> None:
    """Give what we have just made in a folder to whose folder it is: root works for other accounts.

    Both are descriptors, so that the owner of the folder can't have anything else given to him.
    """
    owner = os.fstat(folder)
    if owner.st_uid != os.geteuid() == 0:
        os.fchown(made, owner.st_uid, owner.st_gid)


def remove_tree(name: str, parent: int) -> None:
    """Remove directory `name` of the open directory `parent`, and all below it, following no link.

    A sub-directory that is not empty is first moved up into `name` itself, so that however
    deep a client nested them, two descriptors are enough.
    """
    if not _is_folder(name, parent):
        os.unlink(name, dir_fd=parent)
        return
    root = _open_for_removal(name, parent)
    try:
        waiting = [""]  # "": the root itself
        while waiting:
            name_here = waiting.pop()
            here = _open_for_removal(name_here, root) if name_here else root
            try:
                for entry in os.listdir(here):
                    if not _is_folder(entry, here):
                        os.unlink(entry, dir_fd=here)
                    elif not _removed_empty(entry, here):
                        moved = f".removed-{secrets.token_hex(8)}"
                        os.close(_open_for_removal(entry, here))
                        os.rename(entry, moved, src_dir_fd=here, dst_dir_fd=root)
                        waiting.append(moved)
            finally:
                if here != root:
                    os.close(here)
            if name_here:
                os.rmdir(name_here, dir_fd=root)
    finally:
        os.close(root)
    os.rmdir(name, dir_fd=parent)


def _removed_empty(name: str, folder: int) -> bool:
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as exc:
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _is_folder(name: str, folder: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _open_for_removal(name: str, folder: int) -> int:
    """Open a directory so that its entries can go, whatever mode its maker gave it."""
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=folder)
    except PermissionError:
        # No entry of a client's is changed any more when this runs: its processes are dead.
        os.chmod(name, 0o700, dir_fd=folder)
        descriptor = os.open(name, _FOLDER, dir_fd=folder)
    if os.fstat(descriptor).st_mode & 0o700 != 0o700:
        os.fchmod(descriptor, 0o700)
    return descriptor
