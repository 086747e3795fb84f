"""The node's directories and pid files.

    <dest_path>/                       ours alone, mode 0700
        dispycosnode.pid               text, one for each process of ours
        dispycos-client-<random>/      the node directory of one client
            dispycosproc-1/            where server 1 works

Everything below a client's directory is that client's to fill, with links too, so it is
removed through descriptors and never by a path that a link could bend (SE-49).

I/O half. Layer 5. Rows DN-25, DN-26, DN-32, DN-33; rules R-48, R-49.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator

from dispycos.folders import FolderError, default_path, give_to_owner, open_private, remove_tree
from dispycos.node import marks, ties
from dispycos.node.account import Account
from dispycos.node.rights import Rights
from dispycos.node.ties import Identity
from dispycos.wording import many

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PID_SUFFIX = ".pid"
_DAEMON = "dispycosnode" + _PID_SUFFIX
_CLIENT_PREFIX = "dispycos-client-"
# What an earlier run left is told from a user's own folders by its whole name.
_GIVEN = "work"  # in one of these: the directory of an account that is not ours to give to
_CLIENT_NAME = re.compile(_CLIENT_PREFIX + "[0-9a-f]{32}")
_LOCAL_PREFIX = "local-"
_ENDS_WITH_NODE = 3.0  # seconds in which the processes of a dead node end by themselves
_TRIES = 20  # to make a directory that others remove meanwhile


def local_path() -> str:
    """A new directory below the default one, for the node of a LocalCluster.

    Those that a killed cluster left behind, and whose node is dead, are removed on the way.
    """
    base = default_path()
    # The last node to end removes the default directory, perhaps while we are in it.
    for _ in range(_TRIES):
        folder = open_private(base)
        try:
            for name in os.listdir(folder):
                if name.startswith(_LOCAL_PREFIX) and not _in_use(folder, name):
                    remove_local(os.path.join(base, name))
            name = _LOCAL_PREFIX + secrets.token_hex(8)
            with contextlib.suppress(FileNotFoundError):
                os.mkdir(name, 0o700, dir_fd=folder)
                return os.path.join(base, name)
        finally:
            os.close(folder)
    raise FolderError(f"{base} is removed by others as often as it is made")


def remove_local(path: str) -> None:
    """End and remove what is left of a LocalCluster's node that was killed; the others leave nothing."""
    if os.path.lexists(path):
        with contextlib.suppress(OSError, FolderError):
            # As the next node there would do it.
            open_workspace(path).close()
    with contextlib.suppress(OSError):
        parent = os.open(os.path.dirname(path), _FOLDER)
        try:
            remove_tree(os.path.basename(path), parent)
        finally:
            os.close(parent)


def _in_use(parent: int, name: str) -> bool:
    try:
        folder = os.open(name, _FOLDER, dir_fd=parent)
    except OSError:
        return False
    try:
        who = _read_pid_file(folder, _DAEMON)
        # Just made, its node not yet started: nobody's left-over.
        young = who is None and _age(folder) < 60.0
        return young or (who is not None and ties.lives(who))
    finally:
        os.close(folder)


def _age(folder: int) -> float:
    # Both from the file system's own clock: a new file says what time it is there.
    with tempfile.TemporaryFile() as now:
        return os.fstat(now.fileno()).st_mtime - os.fstat(folder).st_mtime


class Workspace:
    """One node's `dest_path`. Made by `open_workspace`; `close` removes what it made."""

    def __init__(self, path: str, folder: int, made: bool, account: Account | None, rights: Rights) -> None:
        self.path = path
        self.rights = rights  # over what is the account's
        self._account = account  # whose the node directories are; None: ours
        self.notices: list[str] = []  # for the person who started the node
        self._folder = folder
        self._made = made  # the directory itself is ours to remove
        self._claims: dict[str, Identity] = {}

    # Pid files.

    def claim(self, name: str, pid: int) -> None:
        """Write the pid file of a process of ours. OSError as the system says."""
        who = ties.identity(pid)
        if who is None:
            return  # it has ended already: nothing to find later
        text = f"pid {who.pid}\nstart {who.start}\nboot {who.boot}\n"
        temporary = f".{name}-{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=self._folder)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
        # Whole or not there: nobody reads half a pid file.
        os.rename(temporary, name + _PID_SUFFIX, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._claims[name] = who

    def disclaim(self, name: str) -> None:
        """Remove a pid file that `claim` wrote; none there is fine."""
        if self._claims.pop(name, None) is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name + _PID_SUFFIX, dir_fd=self._folder)

    # Clients.

    def new_client(self) -> ClientFolder:
        """Make the node directory of one client, with a name that nobody can guess."""
        account = self._account
        while True:
            name = _CLIENT_PREFIX + secrets.token_hex(16)
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=self._folder)
                if account is not None and account.by_bits:
                    return self._given(name, account)
                if account is not None:
                    os.chown(name, account.uid, account.gid, dir_fd=self._folder)
                return ClientFolder(os.path.join(self.path, name), name, self._folder, self.rights)

    def _given(self, name: str, account: Account) -> ClientFolder:
        # Who is not root can't give a directory away: the account makes its own, in one that only
        # who knows its name can reach, and that is open to it for this moment.
        outer = os.open(name, _FOLDER, dir_fd=self._folder)
        try:
            os.fchmod(outer, 0o733)
            self.rights.over_files(lambda: os.mkdir(_GIVEN, 0o700, dir_fd=outer))
            os.fchmod(outer, 0o711)
        finally:
            os.close(outer)
        name = os.path.join(name, _GIVEN)
        return ClientFolder(os.path.join(self.path, name), name, self._folder, self.rights)

    def close(self) -> None:
        """Remove our pid files, and the directory if we made it and nothing else is in it."""
        if self._folder < 0:
            return
        for name in list(self._claims):
            self.disclaim(name)
        os.close(self._folder)
        self._folder = -1
        if self._made or _is_local(self.path):
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
        if _is_local(self.path):
            with contextlib.suppress(OSError):
                os.rmdir(default_path())  # the last one

    # Left-overs of an earlier run.

    def take(self, clean: bool) -> None:
        """Make this directory ours; FolderError if another node works in it.

        Processes of an earlier run that live are ended if `clean`, else they are the reason
        of the refusal. Files of dead ones go, with a notice (R-86).
        """
        alive: list[str] = []
        gone: list[tuple[str, Identity | None]] = []
        for name, who in self._left_over():
            if who is not None and name != "dispycosnode" and not alive:
                # Its node is dead, of which it hears as soon as we do: it is about to end.
                ties.await_end(who, _ENDS_WITH_NODE)
            if who is not None and ties.lives(who):
                if clean and self._ends(who):
                    self.notices.append(f"ended {name} (pid {who.pid}) of an earlier run")
                else:
                    alive.append(f"{name} (pid {who.pid})")
                    continue
            else:
                self.notices.append(f"removed the pid file of {name}, which no longer runs")
            gone.append((name, who))
        if alive:
            advice = (
                "they could not be ended"
                if clean
                else "end them with --clean, or give this node another --dest_path"
            )
            raise FolderError(f"{self.path} is in use by {', '.join(alive)}: {advice}")
        for name, who in gone:
            if name == "dispycosnode" and who is not None:
                self._end_bearers(who)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name + _PID_SUFFIX, dir_fd=self._folder)
        for name in os.listdir(self._folder):
            if _CLIENT_NAME.fullmatch(name):
                self._remove_client(name)

    def _end_bearers(self, node: Identity) -> None:
        ended = self.rights.over_processes(marks.end_bearers, node)
        if ended:
            processes = many(ended, "process", "processes")
            self.notices.append(f"ended {processes} that tasks of an earlier run had started")

    def _remove_client(self, name: str) -> None:
        if self._account is not None and self._account.by_bits:
            remove_given(name, self._folder, self.rights)
        else:
            remove_tree(name, self._folder)

    def _ends(self, who: Identity) -> bool:
        account = self._account
        theirs = account is not None and account.uid in ties.owners(who.pid)
        if theirs:
            return self.rights.over_processes(ties.end_process, who, 3.0)
        return ties.end_process(who, 3.0)

    def _left_over(self) -> Iterator[tuple[str, Identity | None]]:
        # The node first: it ends its own processes in good order.
        names = sorted(os.listdir(self._folder), key=lambda name: (name != "dispycosnode.pid", name))
        for name in names:
            if name.endswith(_PID_SUFFIX):
                who = _read_pid_file(self._folder, name)
                yield name.removesuffix(_PID_SUFFIX), who if who and self._can_be_ours(who.pid) else None

    def _can_be_ours(self, pid: int) -> bool:
        """Whether a node before us may have started that process: it is not we, nor another account's."""
        ours = {os.getuid(), *([] if self._account is None else [self._account.uid])}
        owners = ties.owners(pid)
        # Tasks of a node of root are other accounts' processes, and its folder is root's alone.
        return pid != os.getpid() and (os.getuid() == 0 or not owners or bool(owners & ours))


class ClientFolder:
    """The node directory of one client; `path` is where its code works."""

    def __init__(
        self,
        path: str,
        name: str,
        parent: int,
        rights: Rights,
    ) -> None:
        self.path = path
        self._name = name
        self._parent = parent
        self._rights = rights

    def server_path(self, index: int) -> str:
        """Make the directory in which server `index` works, unless it is there."""
        return self._rights.over_files(self._make_server_path, index)

    def _make_server_path(self, index: int) -> str:
        folder = os.open(self._name, _FOLDER, dir_fd=self._parent)
        name = f"dispycosproc-{index}"
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=folder)
                made = os.open(name, _FOLDER, dir_fd=folder)
                try:
                    give_to_owner(made, folder)
                finally:
                    os.close(made)
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise FolderError(f"{name} in the node directory is not a directory: the client made it")
        finally:
            os.close(folder)
        return os.path.join(self.path, name)

    def remove(self) -> None:
        """Remove it with all that is below. OSError names what could not be removed; gone is fine."""
        outer, _, name = self._name.rpartition("/")
        with contextlib.suppress(FileNotFoundError):
            if outer:
                remove_given(outer, self._parent, self._rights)
            else:
                remove_tree(name, self._parent)


def remove_given(name: str, parent: int, rights: Rights) -> None:
    """Remove a directory of ours in which another account may have its own: each by whose it is."""
    outer = os.open(name, _FOLDER, dir_fd=parent)
    try:
        # What is in it goes; it itself only we can remove. If more than that failed, that fails too.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            rights.over_files(remove_tree, _GIVEN, outer)
    finally:
        os.close(outer)
    remove_tree(name, parent)


def open_workspace(
    path: str | None = None,
    *,
    clean: bool = False,
    account: Account | None = None,
    rights: Rights | None = None,
) -> Workspace:
    """Open `path` (default: `default_path()`), make it if missing, and take it for this process.

    The default lies where every account can write, so it must be ours alone: no link, mode
    0700. A path that the user named may be a link or readable, but nobody else may write there.
    account  of client code, if it is another one: it may pass through to its own directories.
    FolderError in one sentence: not ours, open to others, in use, unwritable.
    """
    forbidden = 0o022 if path else 0o077 if account is None else 0o066
    path = os.path.realpath(path) if path else default_path()
    for _ in range(_TRIES):
        made = not os.path.lexists(path)
        folder = open_private(path, forbidden)
        if account is not None:
            os.fchmod(folder, stat.S_IMODE(os.fstat(folder).st_mode) | 0o011)
        workspace = Workspace(path, folder, made, account, rights or Rights())
        try:
            # Two nodes that start at once: the second waits for the first one's pid file.
            fcntl.flock(folder, fcntl.LOCK_EX)
            try:
                workspace.take(clean)
                workspace.claim("dispycosnode", os.getpid())
            finally:
                fcntl.flock(folder, fcntl.LOCK_UN)
            return workspace
        except FolderError:
            os.close(folder)
            raise
        except OSError as exc:
            # An earlier node that we ended removes its directory: then we make our own.
            gone = os.fstat(folder).st_nlink == 0
            os.close(folder)
            if not gone:
                raise FolderError(f"can't write in {path}: {exc.strerror or exc}") from None
    raise FolderError(f"{path} is removed by others as often as it is made")


def _is_local(path: str) -> bool:
    return os.path.basename(path).startswith(_LOCAL_PREFIX) and os.path.dirname(path) == default_path()


def daemon_of(path: str) -> Identity | None:
    """The node that works in a directory, as it noted there; None: none did."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _read_pid_file(folder, _DAEMON)
    finally:
        os.close(folder)


def _read_pid_file(folder: int, name: str) -> Identity | None:
    """Who a pid file names; None if it is no pid file of ours."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        text = os.read(descriptor, 1024).decode("ascii", "replace")
    finally:
        os.close(descriptor)
    fields = dict(line.partition(" ")[::2] for line in text.splitlines())
    pid = fields.get("pid", "")
    if not (pid.isdecimal() and 1 < int(pid) < 1 << 31):
        return None  # no process, or that which all others descend from
    return Identity(int(pid), fields.get("start", ""), fields.get("boot", ""))
