"""Ties between processes: none of ours outlives the one that started it.

On Linux the kernel kills a child whose parent is gone (PR_SET_PDEATHSIG), which works also
while C code of a task holds the GIL; elsewhere the end of file on a pipe has to do. The
zygote, and above it the daemon, adopts what its servers leave behind (PR_SET_CHILD_SUBREAPER),
so that whichever of the two lives on can end also what called setsid (R-48).

A process is named by its pid, its start time and the boot id: a pid alone comes back (R-49).

I/O half. Layer 5. Rules R-06, R-11, R-48, R-49, SE-11.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Collection

from dispycos.records import record

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

# How much sooner than others the kernel should choose a server when memory runs out.
SERVER_OOM_SCORE = 500

_LOOKS = 10  # at all processes, until what was seen fits together

_LINUX = sys.platform == "linux"

TICK = 1 / os.sysconf("SC_CLK_TCK") if _LINUX else 0.01  # seconds; starts of processes are counted in them

# Loaded once, before any fork: the call itself then takes no lock of the loader.
_libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None


@record
class Identity:
    """One process, as it can be told from a later one with the same pid."""

    pid: int
    start: str  # when it started, in the system's own unit: only compared
    boot: str  # which run of the machine


def _prctl(option: int, value: int) -> None:
    if _libc is not None and _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}) failed: {os.strerror(number)}")


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have signal `number` end this process when the thread that started it ends.

    parent  pid of the expected parent. If it is gone already, this process ends here: the
            kernel sends nothing for a parent that died before the call.
    """
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def outlive_parent() -> None:
    """Have nothing happen when the parent ends: this process sees to it itself."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def no_new_privileges() -> None:
    """Have no program that this process starts gain rights by bits or capabilities of its file."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def prefer_for_oom(score: int = SERVER_OOM_SCORE) -> None:
    """Have the kernel choose this process first when memory runs out; best effort."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+") as file:
        # Not below what we inherited: a container may have set more.
        value = max(score, min(1000, int(file.read()) + score))
        file.seek(0)
        file.write(str(value))


# Who a process is.


def boot_id() -> str:
    """Which run of the machine this is; "-" where the system does not say."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
    try:
        import psutil

        return f"{psutil.boot_time():.0f}"
    except Exception:
        return "-"


def start_time(pid: int) -> str | None:
    """When a live process started; None if there is no such process (a zombie is none)."""
    if _LINUX:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                # The name, in parentheses, may hold spaces and parentheses itself.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return None
        return None if fields[0] in (b"Z", b"X") else fields[19].decode()
    try:
        import psutil

        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except Exception:
        return None


def age(pid: int) -> float | None:
    """Seconds since a live process started, to `TICK` at most too many; None if there is no such process."""
    start = start_time(pid)
    if start is None:
        return None
    if not _LINUX:
        return time.time() - float(start)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(start) * TICK


def identity(pid: int) -> Identity | None:
    """Name a live process; None if there is none with this pid."""
    start = start_time(pid)
    return None if start is None else Identity(pid, start, boot_id())


def owners(pid: int) -> set[int]:
    """The uids of a live process: real, effective, saved; none if it is gone or the system does not say."""
    with (
        contextlib.suppress(OSError),
        open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file,
    ):
        for line in file:
            if line.startswith("Uid:"):
                return set(map(int, line.split()[1:4]))
    return set()


def lives(who: Identity) -> bool:
    """Is exactly this process alive?"""
    return who.boot == boot_id() and start_time(who.pid) == who.start


def end_process(who: Identity, grace: float) -> bool:
    """End exactly this process, never one that has its pid now; False if it is still there.

    SIGTERM first, SIGKILL after `grace` seconds; both through a pidfd that was compared with
    the start time after it was opened.
    """
    try:
        descriptor = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):
        return _end_by_pid(who, grace)
    try:
        if not lives(who):
            return True
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            if _ended(who, descriptor, patience):
                return True
        return False
    finally:
        os.close(descriptor)


def await_end(who: Identity, patience: float) -> bool:
    """Whether this process ends, or has ended, within `patience` seconds."""
    try:
        descriptor = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):
        return _ended_by_looks(who, patience)
    try:
        return _ended(who, descriptor, patience)
    finally:
        os.close(descriptor)


def _ended(who: Identity, descriptor: int, patience: float) -> bool:
    if not lives(who):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(patience * 1000)) or not lives(who)


def _end_by_pid(who: Identity, grace: float) -> bool:
    # Without pidfds a moment remains between looking and killing; nothing better exists there.
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        if not lives(who):
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(who.pid, number)
        if _ended_by_looks(who, patience):
            return True
    return False


def _ended_by_looks(who: Identity, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while lives(who) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not lives(who)


# Trees.


@record
class _Seen:
    """One process in a look at all of them."""

    parent: int
    group: int
    dead: bool  # a zombie: still a link between its parent and what it started


_NOBODY = (FileNotFoundError, ProcessLookupError, PermissionError)


def _look() -> dict[int, _Seen]:
    """Every process of this machine that we may see, by pid. They move while we look."""
    if not _LINUX:
        import psutil

        found = {}
        for process in psutil.process_iter(["ppid"]):
            with contextlib.suppress(OSError):
                found[process.pid] = _Seen(process.info["ppid"], os.getpgid(process.pid), False)
        return found
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            # Who has ended meanwhile is nobody; that we have no descriptor left says nothing of anybody.
            with contextlib.suppress(*_NOBODY), open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                found[int(name)] = _Seen(int(fields[1]), int(fields[2]), fields[0] in (b"Z", b"X"))
    return found


def _consistent_look() -> dict[int, _Seen]:
    # A process that was read just before its parent ended is linked to nobody: had we not
    # looked again, it would be missed, and live on. More than a few times is no accident: a
    # parent that we may not see.
    for _ in range(_LOOKS):
        found = _look()
        if all(seen.parent in found or seen.parent == 0 for seen in found.values()):
            break
    return found


def descendants(pid: int, group: int | None = None, apart: Collection[int] = ()) -> list[int]:
    """Every live process below this one; those of process group `group` only, if one is given.

    apart  neither these nor what is below them.
    """
    seen = _consistent_look()
    below: dict[int, list[int]] = {}
    for one, process in seen.items():
        below.setdefault(process.parent, []).append(one)
    found = []
    queue = [pid]
    while queue:
        for one in below.get(queue.pop(), ()):
            if one in apart:
                continue
            queue.append(one)
            if not seen[one].dead and (group is None or seen[one].group == group):
                found.append(one)
    return found


def kill_below(pid: int, group: int | None = None, apart: Collection[int] = ()) -> list[int]:
    """Kill every process below `pid` (see `descendants`); answers whom it found.

    Call it again until it answers []: a process that forked while we looked is found the
    next time. All are stopped first, so that they don't fork in the meantime.
    """
    found = descendants(pid, group, apart)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for one in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(one, number)
    return found
