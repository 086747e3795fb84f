"""Key files: where the cluster's key is kept, found and made.

Without a word from the user all programs of one account use one key, which the first of
them makes (SE-01). A file that others could have read or planted is refused, with the
command that repairs it (SE-02).

I/O half. Layer 3. What is inside a key file and what is derived from it: `net.keys`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import stat
from pathlib import Path

from dispycos.configuration import settings
from dispycos.net.keys import (
    KEY_BYTES,
    ClusterKey,
    InvalidKey,
    Keyring,
    key_from_secret,
    keyring_of,
    parse_key_file,
)

log = logging.getLogger("dispycos")

ENVIRONMENT = "DISPYCOS_SECRET_FILE"  # names a file; no variable carries a secret itself

# For the help of commands: where they look for a key.
TOLD = (
    ("~/.config/dispycos/key", "the key of this account, made at first use; `dispycos help keys`"),
    (ENVIRONMENT, "another key file, where no option names one"),
)

# Three keys with comments are far below it; a file this large is no key file.
MAX_FILE_BYTES = 16 * 1024

MIN_SECRET_CHARS = 8  # fewer are refused beyond loopback (SE-04)
GOOD_SECRET_CHARS = 16  # fewer can be guessed offline from a recorded handshake

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_FOREIGN_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FOREIGN_ANY = stat.S_IRWXG | stat.S_IRWXO


class KeySource:
    """Where a program's keys come from: a secret, a file, or the account's own file.

    loopback_only  every listener of the program is loopback: a short secret will do.
    InvalidKey if both a secret and a file are given.
    """

    def __init__(
        self,
        secret: str = "",
        secret_file: str | os.PathLike[str] | None = None,
        *,
        loopback_only: bool = False,
    ) -> None:
        if secret and secret_file is not None:
            raise InvalidKey("give a secret or a secret file, not both")
        if not secret and secret_file is None:
            secret_file = settings.secret_file()
        self._secret = secret
        self._loopback_only = loopback_only
        self._explicit = secret_file is not None
        # The file; None: there is none to look at again.
        self.path = None if secret else Path(secret_file) if secret_file is not None else default_path()
        self._seen: tuple[int, ...] = ()

    def check(self) -> None:
        """InvalidKey if the secret will not do; no file is looked at."""
        if self.path is None and len(self._secret) < MIN_SECRET_CHARS and not self._loopback_only:
            raise InvalidKey(
                f"the secret has fewer than {MIN_SECRET_CHARS} characters and this program listens beyond "
                "loopback; take a longer one, or a key file"
            )

    def load(self) -> Keyring:
        """The keys of now; the account's own are made if there are none.

        InvalidKey, FileNotFoundError or another OSError say what is wrong and how to repair it.
        """
        try:
            return self.present()
        except FileNotFoundError:
            if self._explicit:
                raise
        assert self.path is not None
        _create(self.path, replace=False)
        return self.present()

    def present(self) -> Keyring:
        """As `load`, and none are made: FileNotFoundError for the account's own, too."""
        self.check()
        if self.path is None:
            if len(self._secret) < GOOD_SECRET_CHARS and not self._loopback_only:
                log.warning(
                    "the secret has fewer than %d characters: it can be guessed from a recorded handshake",
                    GOOD_SECRET_CHARS,
                )
            return Keyring(key_from_secret(self._secret))
        self._seen = self._look()
        return keyring_of(_read(self.path, explicit=self._explicit))

    @property
    def changed(self) -> bool:
        """Whether the file is another one than was loaded."""
        return self.path is not None and self._look() != self._seen

    def _look(self) -> tuple[int, ...]:
        assert self.path is not None
        try:
            status = os.stat(self.path)
        except OSError:
            return ()
        return status.st_ino, status.st_size, status.st_mtime_ns


def load(
    secret: str = "", secret_file: str | os.PathLike[str] | None = None, *, loopback_only: bool = False
) -> Keyring:
    """The keys that this program uses: see `KeySource`."""
    return KeySource(secret, secret_file, loopback_only=loopback_only).load()


def no_core_dumps() -> None:
    """Leave no memory image of this process: it holds the cluster's key (SE-11)."""
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def throwaway() -> Keyring:
    """A key that lives in memory only, for a LocalCluster (SE-06)."""
    return Keyring(ClusterKey(secrets.token_bytes(KEY_BYTES)))


def default_path() -> Path:
    """Where the account's own key is."""
    return settings.account_folder() / "key"


def fingerprints(secret_file: str | os.PathLike[str] | None = None) -> list[str]:
    """Of each key in the file, the one for own proofs first: what people compare (SE-05)."""
    path = secret_file or settings.secret_file()
    keys = _read(Path(path), explicit=True) if path else _read(default_path(), explicit=False)
    return [ClusterKey(key).fingerprint for key in keys]


def create(path: str | os.PathLike[str], *, replace: bool = False, key: ClusterKey | None = None) -> None:
    """Make a key file, mode 0600. FileExistsError if there is one and `replace` is False.

    key  to be written; None: a new one.
    FileNotFoundError without its folder: only that of the account's own key is made.
    """
    folder = Path(os.path.abspath(path)).parent
    if not folder.exists() and folder != default_path().parent:
        raise FileNotFoundError(
            errno.ENOENT, f"there is no such folder; `mkdir -m 700 {folder}` makes it", str(folder)
        )
    if not _create(Path(path), replace=replace, key=key):
        raise FileExistsError(f"{os.fspath(path)} exists; it is not overwritten")


# Reading.


def _read(path: Path, *, explicit: bool) -> list[bytes]:
    # Everything is asked of the open file, so that nobody can swap it in between.
    if not explicit:
        _check_folder(path.parent)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags | (0 if explicit else _NO_FOLLOW))
    except FileNotFoundError as exc:
        made = f"`dispycos key new {path}`" if explicit else "the first program of this account"
        raise FileNotFoundError(exc.errno, f"there is no such file; {made} makes it", str(path)) from None
    except OSError as exc:
        if not explicit and path.is_symlink():
            raise InvalidKey(f"{path} is a link; put the key file itself there: rm {path}") from None
        raise InvalidKey(f"{path} can't be read: {exc.strerror}") from None
    try:
        _check_file(path, os.fstat(descriptor), explicit)
        data = os.read(descriptor, MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise InvalidKey(f"{path} is longer than {MAX_FILE_BYTES} bytes: no key file")
    text, data = data.decode("ascii", "replace"), b""
    try:
        return parse_key_file(text)
    except InvalidKey as exc:
        text = ""  # a traceback that shows locals must not show the file
        raise InvalidKey(f"{path}: {exc}") from None


def _check_file(path: Path, status: os.stat_result, explicit: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        todo = "name the key file itself" if explicit else "remove it, and a new key is made"
        raise InvalidKey(f"{path} is no regular file; {todo}")
    if not hasattr(os, "geteuid"):
        return  # Windows: access lists, best effort
    if status.st_uid not in (os.geteuid(), 0):
        raise InvalidKey(f"{path} belongs to uid {status.st_uid}; run: chown {os.geteuid()} {path}")
    mode = stat.S_IMODE(status.st_mode)
    forbidden = _FOREIGN_ANY
    if explicit:
        forbidden = _FOREIGN_WRITE | stat.S_IROTH
        # Secrets of a container are files on a tmpfs that everybody inside may read.
        if mode & stat.S_IROTH and _on_tmpfs(status.st_dev):
            forbidden = _FOREIGN_WRITE
    if mode & forbidden:
        raise InvalidKey(f"{path} has mode {mode:04o}, others could use the key; run: chmod 600 {path}")


def _check_folder(folder: Path) -> None:
    if not hasattr(os, "geteuid"):
        return
    try:
        status = os.lstat(folder)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        status = os.stat(folder)
    if not stat.S_ISDIR(status.st_mode):
        raise InvalidKey(f"{folder} is no folder; remove it: rm {folder}")
    if status.st_uid not in (os.geteuid(), 0):
        raise InvalidKey(f"{folder} belongs to uid {status.st_uid}; run: chown {os.geteuid()} {folder}")
    if status.st_mode & _FOREIGN_WRITE:
        raise InvalidKey(f"{folder} can be written by others; run: chmod 700 {folder}")


def _on_tmpfs(device: int) -> bool:
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields, _, rest = line.partition(" - ")
                if fields.split()[2] == number:
                    return rest.split()[0] in ("tmpfs", "ramfs")
    except OSError:
        pass
    return False


# Making.


def _create(path: Path, *, replace: bool, key: ClusterKey | None = None) -> bool:
    """Put a key in place, a new one unless it is given; False if there was one and it stays.

    The file appears under its name only when it is complete, and link(2) lets one of many
    programs that start at once win; the others use the winner's key.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _check_folder(path.parent)
    draft = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write("# The key of a dispycos cluster: who has it may run code on every node.\n")
            file.write(f"{(key.reveal() if key else secrets.token_bytes(KEY_BYTES)).hex()}\n")
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(draft, path)
        else:
            try:
                os.link(draft, path, follow_symlinks=False)
            except FileExistsError:
                return False
        _sync_folder(path.parent)
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
