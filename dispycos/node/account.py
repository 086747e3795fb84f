"""The account that client code runs as, where it is another one than the node's.

Two ways lead to one: a node of root is told `--run_as USER`; or the file of the Python that
runs a node has set-user-id bits, and makes whoever starts it that account too (DN-39). Daemon
and client code are then two accounts: a task can neither read the daemon's files and memory,
nor signal it.

A daemon of root ends the account's processes and removes its files as root; one with bits has
threads for that (`node.rights`).

I/O half. Layer 5. Rows DN-31, DN-39; rule SE-52.
"""

from __future__ import annotations

import os
import pwd
import sys

from dispycos.errors import DispycosError
from dispycos.node import rights, ties
from dispycos.records import record


@record
class Account:
    """One account of this machine."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]  # all that it is in, `gid` too; (): it keeps those of who started the node
    home: str
    by_bits: bool = False  # the interpreter's file makes us this account

    @property
    def spec(self) -> str:
        """What a zygote is told, and `told` understands."""
        return f"{self.uid}:{self.gid}" if self.by_bits else self.name


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


def told(spec: str) -> Account:
    """The account that a zygote is to become."""
    uid, colon, gid = spec.partition(":")
    return _of_bits(int(uid), int(gid)) if colon else find(spec)


def _of_bits(uid: int, gid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(f"uid {uid}", uid, gid, (), "/", by_bits=True)
    return Account(entry.pw_name, uid, gid, (), entry.pw_dir, by_bits=True)


def by_bits() -> Account | None:
    """The account that the bits of the interpreter's file have made us; None: it has none.

    DispycosError if tasks could not be kept from the node, or not be ended by it.
    """
    uid, gid = os.geteuid(), os.getegid()
    if (os.getuid(), os.getgid()) == (uid, gid):
        return None
    if uid == os.getuid():
        raise DispycosError(
            f"{sys.executable} has the set-group-id bit alone, so tasks would be of this node's own "
            "account and could change its files: set both bits (chmod ug+s), or none"
        )
    if not rights.available or os.getuid() == 0:
        way = "start it as root with a Python without them, and --run_as USER"
        raise DispycosError(f"{sys.executable} has set-user-id bits, which this node can't use here: {way}")
    return _of_bits(uid, gid)


def become(account: Account) -> None:
    """Be that account from now on, for good. PermissionError if anything of the former one is left."""
    if account.by_bits and os.geteuid() != account.uid:
        raise PermissionError(f"the set-user-id bits of {sys.executable} are gone: {account.name} was due")
    if account.groups:
        # In this order: who is root no more can't give up groups.
        os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    kept = (
        set(os.getresuid()) != {account.uid}
        or set(os.getresgid()) != {account.gid}
        or (bool(account.groups) and not set(os.getgroups()) <= set(account.groups))
        or (account.uid != 0 and _back())
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
