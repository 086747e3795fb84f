"""Daemons: a program that goes on without its terminal, and the file that holds its process number."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def detach() -> int:
    """Go on in a process without a terminal; answers there, a descriptor for `ready`.

    The process that called it waits for `ready`, and ends: 0, or 1 if the other one ended first.
    """
    wait, tell = os.pipe()
    if os.fork():
        os.close(tell)
        said = os.read(wait, 1)
        os._exit(0 if said else 1)
    os.close(wait)
    os.setsid()
    if os.fork():
        # Who is no leader of a session never gets a terminal again.
        os._exit(0)
    os.chdir("/")
    return tell


def ready(tell: int, log_file: str) -> None:
    """It serves: let go of the terminal and of who waits; the log goes to `log_file` if it is named."""
    null = os.open(os.devnull, os.O_RDWR)
    out = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log_file else null
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.write(tell, b"+")
    os.close(tell)


@contextlib.contextmanager
def pid_file(path: str) -> Iterator[None]:
    """Write our process number into a file while the block runs.

    FileExistsError if it names another process that runs; the file of one that died is replaced.
    """
    if not path:
        yield
        return
    file = Path(path).absolute()
    with contextlib.suppress(FileNotFoundError, ValueError):
        other = int(file.read_text(encoding="ascii"))
        if other != os.getpid() and _runs(other):
            raise FileExistsError(
                f"{path} names process {other}, which runs; end it first, or name another file"
            )
    file.write_text(f"{os.getpid()}\n", encoding="ascii")
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            if int(file.read_text(encoding="ascii")) == os.getpid():
                file.unlink()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
