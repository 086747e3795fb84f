"""What a daemon does to processes and files of its clients' code, with the rights that it takes.

Where both are one account, or the daemon is root, it does that itself. Where set-user-id bits
made client code another account (DN-39), two threads of the daemon do it: the kernel keeps ids
for each thread, and theirs are (real, effective, saved) the starter's, the account's, the
starter's. By its effective id such a thread has rights over the account's files and processes;
the account has none over it, which a saved id would give: it could then send it signals.

I/O half. Layer 5. Row DN-39; rule SE-52.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# Numbers of the system calls setresuid and setresgid, which change one thread. What the C
# library offers under these names changes all of them.
_CALLS = {
    "x86_64": (117, 119),
    "aarch64": (147, 149),
    "riscv64": (147, 149),
    "ppc64le": (164, 169),
    "s390x": (208, 210),
}.get(os.uname().machine if sys.platform == "linux" else "")
_libc = ctypes.CDLL(None, use_errno=True) if _CALLS else None

available = _CALLS is not None  # threads of this system can have ids of their own


class Rights:
    """Our own."""

    def over_files(self, function: Callable[..., T], *args: object) -> T:
        """Call it where files and folders of clients can be made and removed; any thread."""
        return function(*args)

    def over_processes(self, function: Callable[..., T], *args: object) -> T:
        """Call it where processes of clients can be ended; any thread."""
        return function(*args)


class RightsByBits(Rights):
    """Made once, while this process has the other account's ids; then it has them in these threads only."""

    def __init__(self) -> None:
        uid, gid = os.geteuid(), os.getegid()
        # Two, since removing files may take long.
        self._files = ThreadPoolExecutor(1, "files of clients", _be, (uid, gid))
        self._processes = ThreadPoolExecutor(1, "ends clients", _be, (uid, gid))
        for thread in (self._files, self._processes):
            if thread.submit(os.geteuid).result() != uid:
                raise PermissionError(f"no thread of this process could act as uid {uid}")
        _be(os.getuid(), os.getgid())

    def over_files(self, function: Callable[..., T], *args: object) -> T:
        """See `Rights`."""
        return self._files.submit(function, *args).result()

    def over_processes(self, function: Callable[..., T], *args: object) -> T:
        """See `Rights`."""
        return self._processes.submit(function, *args).result()


def _be(uid: int, gid: int) -> None:
    """Let this thread act as that account, and keep nothing of another one but the starter's ids."""
    assert _libc is not None
    assert _CALLS is not None
    for call, effective, starter in ((_CALLS[1], gid, os.getgid()), (_CALLS[0], uid, os.getuid())):
        if _libc.syscall(call, starter, effective, starter) != 0:
            raise PermissionError(ctypes.get_errno(), f"this thread can't act as {effective}")
