"""The account that client code runs as, where a node of root was told one: `--run_as USER`.

Daemon and client code are then two accounts: a task can neither read the daemon's files and
memory, nor signal it.

I/O half. Layer 5. Row DN-31; rule SE-52.
"""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass

from dispycos.errors import DispycosError
from dispycos.node import ties


@dataclass(frozen=True, slots=True)
class Account:
    """One account of this machine."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]  # all that it is in, `gid` too
    home: str


def find(name: str) -> Account:
    """The account of that name. ValueError: there is none, or it is root's."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ValueError(f"--run_as {name!r}: this machine has no such account") from None
    if entry.pw_uid == 0:
        raise ValueError(f"--run_as {name!r} is root: name another account, or use --allow_root alone")
    groups = tuple(sorted(os.getgrouplist(name, entry.pw_gid)))
    return Account(name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


def refuse_bits() -> None:
    """DispycosError if this interpreter's file has made us another account, or half of one.

    A node of a plain user could start tasks as that account, and then neither end them nor
    remove their files; tasks as which it half is could end it.
    """
    if (os.getuid(), os.getgid()) != (os.geteuid(), os.getegid()):
        raise DispycosError(
            f"{sys.executable} has set-user-id or set-group-id bits, so this node of uid {os.getuid()} would "
            f"run tasks as uid {os.geteuid()} and could not end them: start it as root with a Python without "
            "them, and --run_as USER"
        )


def become(account: Account) -> None:
    """Be that account from now on, for good. PermissionError if anything of the former one is left."""
    # In this order: who is root no more can't give up groups.
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    kept = (
        set(os.getresuid()) != {account.uid}
        or set(os.getresgid()) != {account.gid}
        or not set(os.getgroups()) <= set(account.groups)
        or _back()
    )
    if kept:
        raise PermissionError(f"this process could not become {account.name} for good")
    # No program that it starts is root by its set-user-id bit.
    ties.no_new_privileges()
    os.environ.update(HOME=account.home, USER=account.name, LOGNAME=account.name)


def _back() -> bool:
    try:
        os.setuid(0)
    except PermissionError:
        return False
    return True
