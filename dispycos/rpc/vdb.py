"""User names and passwords for the classic server: `python -m dispycos.rpc.vdb FILE add USER`.

A file has a line for each user: the name, a salt, and the scrypt hash of the password. Passwords
travel over TLS only; whoever logs in is given a key for that one connection.
"""

from __future__ import annotations

if __name__ == "__main__":  # before what takes long to import
    from dispycos import entry

    raise SystemExit(entry.run("dispycos.rpc.vdb"))

import contextlib
import getpass
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dispycos.errors import AuthenticationError, RemoteProtocolError
from dispycos.net.keys import KEY_BYTES, ClusterKey, Keyring
from dispycos.net.stream import Stream
from dispycos.usage import Described
from dispycos.wording import harmless

_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_SALT_BYTES: Final = 16
_LOGIN_BYTES: Final = 4096  # of a name and a password, packed
_REFUSED: Final = b"refused\n"

MIN_CHARS: Final = 8  # of a password


class Vdb:
    """The users of a file, read anew at each use."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def names(self) -> list[str]:
        """The users, sorted. OSError or ValueError if the file can't be used."""
        return sorted(self._read())

    def set(self, name: str, password: str) -> None:
        """Add a user, or change a password. ValueError for a name or password that is none."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r:.80} is no user name: up to 64 letters, digits and _ . @ - are")
        if len(password) < MIN_CHARS:
            raise ValueError(f"the password is shorter than {MIN_CHARS} characters")
        users = self._read() if self.path.exists() else {}
        salt = secrets.token_bytes(_SALT_BYTES)
        users[name] = salt, _hash(password, salt)
        self._write(users)

    def remove(self, name: str) -> None:
        """Remove a user. ValueError if there is none of that name."""
        users = self._read()
        if name not in users:
            raise ValueError(f"{self.path} has no user {name!r:.80}")
        del users[name]
        self._write(users)

    def holds(self, name: str, password: str) -> bool:
        """Whether that is the user's password. It takes as long for users that there are not."""
        salt, known = self._read().get(name, (bytes(_SALT_BYTES), b""))
        return hmac.compare_digest(_hash(password, salt), known)

    def _read(self) -> dict[str, tuple[bytes, bytes]]:
        with open(self.path, encoding="ascii") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ValueError(f"{self.path} can be used by others; run: chmod 600 {self.path}")
            users = {}
            for number, line in enumerate(file, 1):
                name, _, rest = line.strip().partition(":")
                salt, _, known = rest.partition(":")
                try:
                    users[name] = bytes.fromhex(salt), bytes.fromhex(known)
                except ValueError:
                    raise ValueError(f"{self.path}, line {number} is no user") from None
        return users

    def _write(self, users: dict[str, tuple[bytes, bytes]]) -> None:
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                for name, (salt, known) in sorted(users.items()):
                    file.write(f"{name}:{salt.hex()}:{known.hex()}\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << 14, r=8, p=1, dklen=32)


# Logging in, over a stream that nobody else reads.


def admit(stream: Stream, vdb: Vdb, timeout: float) -> Keyring:
    """The server's part: the key of a connection whose user has logged in.

    AuthenticationError for a wrong name or password; TimeoutError, RemoteProtocolError, OSError.
    """
    deadline = time.monotonic() + timeout
    try:
        login = json.loads(_line(stream, deadline))
        name, password = login["user"], login["password"]
    except (ValueError, KeyError, TypeError):
        name = password = None
    if type(name) is not str or type(password) is not str:
        raise RemoteProtocolError("it did not log in, as this server wants")
    if not vdb.holds(name, password):
        stream.write(_REFUSED, deadline)
        raise AuthenticationError(f"wrong user name or password, for user {name!r:.80}")
    key = secrets.token_bytes(KEY_BYTES)
    stream.write(key.hex().encode() + b"\n", deadline)
    return Keyring(ClusterKey(key))


def log_in(stream: Stream, name: str, password: str, timeout: float) -> Keyring:
    """The client's part; errors as those of `admit`."""
    deadline = time.monotonic() + timeout
    stream.write(json.dumps({"user": name, "password": password}).encode() + b"\n", deadline)
    line = _line(stream, deadline)
    if line == _REFUSED:
        raise AuthenticationError("authentication failed: wrong user name or password")
    try:
        return Keyring(ClusterKey(bytes.fromhex(line.decode("ascii").strip())))
    except ValueError:
        raise RemoteProtocolError(
            "the server takes no passwords: is it started with --vdb, and is this its port?"
        ) from None


def _line(stream: Stream, deadline: float) -> bytes:
    # A byte at a time: what follows belongs to the proof.
    line = b""
    while not line.endswith(b"\n"):
        data = stream.read(1, deadline)
        if not data or len(line) > _LOGIN_BYTES:
            raise RemoteProtocolError("the other end said no whole line" if line else "it said nothing")
        line += data
    return line


def main(arguments: Sequence[str] | None = None) -> int:
    """Change a file of users; the exit code."""
    parser = Described(
        prog="python -m dispycos.rpc.vdb",
        about="Keep the users that may log in at a service over TLS, with what proves their passwords.",
        examples=(
            ("python -m dispycos.rpc.vdb users add jdoe", "asks for the password"),
            ("python -m dispycos.rpc.vdb users list", ""),
            ("dispycos-classic --certfile cert.pem --vdb users", "a server that lets them in"),
        ),
        statuses={0: "all is done", 1: "the file or the user is no good", 2: "wrong usage"},
    )
    parser.add_argument("file", metavar="FILE", help="of users; the first `add` makes it")
    parser.words(
        "action",
        "what to do",
        {
            "add USER": "let this one log in, or change the password",
            "remove USER": "let this one log in no more",
            "list": "show the names of all",
        },
    )
    parser.add_argument("user", metavar="USER", nargs="?",
        help="the password is asked for, or the first line of standard input")  # fmt: skip
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    if (options.user is None) != (options.action == "list"):
        parser.error(f"{options.action} takes {'no' if options.action == 'list' else 'a'} USER")
    vdb = Vdb(options.file)
    try:
        match options.action:
            case "add":
                vdb.set(options.user, _asked(options.user))
            case "remove":
                vdb.remove(options.user)
            case "list":
                print("\n".join(vdb.names()))
    except (OSError, ValueError) as exc:
        said = f"{options.file}: {exc.strerror}" if isinstance(exc, OSError) and exc.strerror else exc
        print(f"{parser.prog}: {harmless(str(said), keep='')}", file=sys.stderr)
        return 1
    return 0


def _asked(user: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"password of {user}: ")
    return sys.stdin.readline().rstrip("\n")
