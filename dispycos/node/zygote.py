"""The zygote: a fresh interpreter for one client, from which its servers are forked.

It is exec'ed, so nothing of the daemon's memory is in it (SE-51). It loads the components
into the client's namespace and runs node_setup, once; each server it forks then has all of
that at once, in shared memory (DC-48). It has one thread, no event loop and no network,
which is what makes the fork safe.

The daemon speaks to it over one pipe; the end of that pipe, or of the daemon, is its end. If
it is the daemon's, it first ends whatever tasks have started, also what called setsid, for it
adopts what its servers leave behind; then it removes the node directory (R-11, R-48).

    daemon says   prepare(start; code, setup)   fork(start; output, control, page)   end
    zygote says   ready  failed(reason)  forked(index, pid; pidfd)  not_forked(index, reason)
                  exited(index, status)

I/O half. Layer 5. Rows DN-34, DN-35, DC-07, DC-48; rules R-10, R-11, SE-09, SE-51.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from typing import Any, Never

from dispycos.folders import remove_tree
from dispycos.kernel import loop
from dispycos.kernel.task import Task
from dispycos.model import Payload
from dispycos.node import account, interpreter, server, spawned, ties
from dispycos.node.namespace import ClientNamespace, describe_failure, setup_problem
from dispycos.node.pipe import Pipe, Said, close_all
from dispycos.node.start import ServerStart, ZygoteStart, unpack
from dispycos.records import record

_OF_A_SERVER = 3  # descriptors: output, control, page
_POLL_WITHOUT_PIDFD = 50  # milliseconds between looks at the children, where nothing wakes us
_POLL_FOR_ORPHANS = 1000  # ... and at what was left to us, of which nothing else tells
_PARENT_ENDS = 1.0  # seconds from the end of the daemon's pipe until its death shows, if it died
_LOOK_AGAIN = 0.02  # seconds between two looks
_KILL_PATIENCE = 8.0  # seconds of killing what is below us


@record(frozen=False)
class _Child:
    index: int
    pid: int
    pidfd: int  # -1 where the system has none


class Zygote:
    """Serves the daemon; `serve` returns in the parent at the end, and in each forked child."""

    def __init__(self, pipe: Pipe, daemon: int) -> None:
        self._pipe = pipe
        self._daemon = daemon
        self._path = ""  # the node directory
        self._children: dict[int, _Child] = {}  # pid -> child not waited for yet; one a place
        self._start: ZygoteStart | None = None
        self._namespace: ClientNamespace | None = None
        self._code: Payload | None = None  # the components, where servers load them for themselves
        self._spawned: dict[int, subprocess.Popen[bytes]] = {}  # pid -> process; likewise

    def serve(self) -> server.Birth | None:
        """Do what the daemon says until it is gone: None. In a new child: how to be a server."""
        try:
            return self._serve()
        except ConnectionError:  # a broken pipe is one
            self._bereaved()
            return None

    def _serve(self) -> server.Birth | None:
        while True:
            self._reap()
            if not self._pipe.waiting and not self._wait():
                continue
            said = self._pipe.hear()
            if said is None:
                raise ConnectionError("the daemon has closed its end")
            if said.what == "end":
                return None
            if said.what == "prepare":
                self._prepare(said)
            elif said.what == "fork":
                birth = self._fork(said)
                if birth is not None:
                    return birth

    def _wait(self) -> bool:
        """Sleep until the daemon speaks (True) or a child ends (False)."""
        poll = select.poll()
        poll.register(self._pipe.socket, select.POLLIN)
        watched = [child.pidfd for child in self._children.values() if child.pidfd >= 0]
        for pidfd in watched:
            poll.register(pidfd, select.POLLIN)
        blind = len(watched) < len(self._children)
        events = poll.poll(_POLL_WITHOUT_PIDFD if blind else _POLL_FOR_ORPHANS)
        return any(descriptor == self._pipe.socket.fileno() for descriptor, _event in events)

    # Preparing.

    def _prepare(self, said: Said) -> None:
        start = ZygoteStart.of(said.values["start"])
        code, setup = unpack(said.values["sizes"], said.body)
        assert code is not None
        self._path = start.path
        os.chdir(start.path)
        sys.path.insert(0, start.path)
        what = "a component"
        skipped = spawned.needed and setup is not None
        try:
            self._namespace = ClientNamespace()
            self._namespace.load_components(code)
            what, reason = "node_setup", ""
            if skipped:
                print(spawned.SKIPPED, file=sys.stderr)
            elif setup is not None:
                function, args, kwargs = self._namespace.load(setup)
                reason = setup_problem(what, run_alone(function, args, kwargs))
        except BaseException as exc:
            # SystemExit and KeyboardInterrupt of client code too: it ends nothing but its turn.
            reason = describe_failure(what, exc)
        interpreter.flush()
        if reason:
            self._pipe.say(Said("failed", {"reason": reason[-start.record().max_reason_chars :]}))
            return
        self._start = start
        self._code = code if spawned.needed else None
        if threading.active_count() == 1:
            # From now on we see the daemon's end ourselves. Where node_setup left a thread, that
            # might keep us from it, and the kernel goes on watching.
            ties.outlive_parent()
        # node_setup may have changed these; children of ours must be waited for by us.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.chdir(start.path)
        # What is here now stays: the collector of a server must not touch, and so copy, it.
        gc.collect()
        gc.disable()
        gc.freeze()
        self._pipe.say(Said("ready", {"warning": spawned.SKIPPED if skipped else ""}))

    # Forking.

    def _fork(self, said: Said) -> server.Birth | None:
        start = ServerStart.of(said.values["start"])
        if self._start is None or self._namespace is None:
            close_all(said.descriptors)
            self._not_forked(start.index, "the zygote is not ready")
            return None
        if len(said.descriptors) < _OF_A_SERVER:
            close_all(said.descriptors)
            self._not_forked(start.index, f"can't start: EMFILE ({os.strerror(errno.EMFILE)})")
            return None
        interpreter.flush()  # what is buffered at the fork would be printed by both
        if self._code is not None:
            self._spawn(self._start, self._code, start, said.descriptors)
            return None
        parent = os.getpid()
        try:
            with warnings.catch_warnings():
                # node_setup may have left threads; that is its risk, and it was told.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError as exc:
            close_all(said.descriptors)
            name = errno.errorcode.get(exc.errno or 0, "?")
            self._not_forked(start.index, f"can't start: {name} ({exc.strerror})")
            return None
        if pid == 0:
            self._leave()
            return server.Birth(self._start, start, self._namespace, parent, *said.descriptors)
        close_all(said.descriptors)
        self._forked(start.index, pid)
        return None

    def _spawn(
        self, zygote: ZygoteStart, code: Payload, start: ServerStart, descriptors: tuple[int, ...]
    ) -> None:
        try:
            process = spawned.start_server(zygote, code, start, descriptors)
        except OSError as exc:
            self._not_forked(start.index, f"can't start: {exc.strerror or exc}")
            return
        self._spawned[process.pid] = process
        self._forked(start.index, process.pid)

    def _forked(self, index: int, pid: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            pidfd = -1
        self._children[pid] = _Child(index, pid, pidfd)
        # The child can't be waited for before this, so the daemon's pidfd names the right process.
        theirs = (os.dup(pidfd),) if pidfd >= 0 else ()
        self._pipe.say(Said("forked", {"index": index, "pid": pid}, descriptors=theirs))

    def _not_forked(self, index: int, reason: str) -> None:
        self._pipe.say(Said("not_forked", {"index": index, "reason": reason}))

    def _leave(self) -> None:
        """Let go of what is the zygote's: its child is none, and at its end it needs the descriptors."""
        self._pipe.close()
        for child in self._children.values():
            if child.pidfd >= 0:
                os.close(child.pidfd)
        self._children.clear()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                # Somebody else waited for them; that they are gone is all that is known.
                for pid in list(self._children):
                    self._ended(pid, 0)
                return
            if not pid:
                return
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        child = self._children.pop(pid, None)
        if (process := self._spawned.pop(pid, None)) is not None:
            process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here
        if child is not None:  # else one that a server or node_setup left to us
            if child.pidfd >= 0:
                os.close(child.pidfd)
            self._pipe.say(Said("exited", {"index": child.index, "status": status}))

    # The end of the daemon.

    def _bereaved(self) -> None:
        """If the daemon is dead there is nobody but us to clean up."""
        deadline = time.monotonic() + _PARENT_ENDS
        # Its descriptors are closed a moment before its children are orphans.
        while os.getppid() == self._daemon:
            if time.monotonic() >= deadline:
                return
            time.sleep(_LOOK_AGAIN)
        self._leave()
        deadline = time.monotonic() + _KILL_PATIENCE
        while ties.kill_below(os.getpid()) and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN)
        above, name = os.path.split(self._path)
        with contextlib.suppress(OSError):
            # Another account may pass through the daemon's directory, not read it; then what is in
            # ours goes, and the next node there removes what is left.
            folder = os.open(above, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)
            remove_tree(name, folder)


def run_alone(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task:
    """Run a task of client code to its end, in this thread and without a network (DC-07)."""
    running = loop.Loop()
    loop.own(running)
    try:
        task = running.kernel.spawn(function, args, kwargs, on_done=lambda _: running.stop())
        running.run()
        return task
    finally:
        running.terminate()


def main(arguments: Sequence[str]) -> Never:
    """`python -m dispycos.node.zygote FD PARENT [ACCOUNT]`; never returns."""
    descriptor, parent = map(int, arguments[:2])
    if arguments[2:]:
        # First of all, for it takes back what follows.
        account.become(account.told(arguments[2]))
    ties.die_with_parent(parent)
    ties.adopt_orphans()

    def work(pipe: Pipe) -> int:
        birth = Zygote(pipe, parent).serve()
        return server.main(birth) if birth is not None else 0

    interpreter.run(descriptor, work)


if __name__ == "__main__":
    # Under its own name, not `__main__`: client code has a `__main__` of its own to refer to.
    from dispycos.node import zygote

    zygote.main(sys.argv[1:])
