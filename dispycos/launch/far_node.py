"""The far end of a node that was started from elsewhere: keeps the node, and ends with the near end.

It unpacks what a node needs into a folder of its own, starts the node there and passes on what it
prints. When the node has ended, or the near end is gone or says so, nothing is left: no process, no
file. Should this process be killed, the node finds its input ended and does the same
(`node.carried`); should both be killed, the next one here removes the folder.

Imports here are what travels: the standard library and pure modules only. I/O half. Layer 3.
Rules R-11, SE-51.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import importlib.util
import io
import os
import queue
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from dispycos.errors import DispycosError
from dispycos.launch.beginning import meet_near_end
from dispycos.launch.wire import NODE_DRAIN, NODE_END, NODE_ENDED, NODE_FAILED, NODE_LINE
from dispycos.model import Buffer
from dispycos.net.link import Link
from dispycos.net.proof import Meeting
from dispycos.net.stream import Stream

_PREFIX: Final = "dispycos-node-"
_LOCK: Final = "lock"  # a file in the folder, locked by who uses it
_END_TIME: Final = 17.0  # seconds for a node to end; it takes 14 at most
_MOST_LINE: Final = 4096  # bytes of a line; more of it is another one
_PARTING: Final = 2.0  # seconds for the last words to leave

Order: TypeAlias = "dict[str, Any]"


def settle(options: dict[str, Any]) -> None:
    """Nothing to take up: the node has a folder of its own."""


def main(reader: int, writer: int, options: dict[str, Any]) -> None:
    """Keep a node for the near end of this stream; returns when neither is left."""
    stream, meeting = meet_near_end(reader, writer, options)
    _Keeper(stream, meeting).run()


class _Keeper:
    def __init__(self, stream: Stream, meeting: Meeting) -> None:
        # In order: the order with its archive, NODE_DRAIN, NODE_END (also when the near end is gone), the
        # exit code.
        self._events: queue.SimpleQueue[tuple[Order, bytes] | bytes | int] = queue.SimpleQueue()
        self._link = Link(stream, meeting, self._hear, lambda: None, lambda _: self._events.put(NODE_END))

    def _hear(self, head: Buffer, tail: Buffer) -> None:
        said = bytes(head)
        is_word = said in (NODE_DRAIN, NODE_END)
        self._events.put(said if is_word else (ast.literal_eval(said.decode()), bytes(tail)))

    def run(self) -> None:
        self._link.start("dispycos node keeper")
        first = self._events.get()
        if isinstance(first, tuple):
            try:
                with _folder() as (folder, lock):
                    self._keep(folder, lock, *first)
            except OSError as exc:
                text = f"{exc.filename or 'its node'} can't be made: {exc.strerror or exc}"
                self._say(NODE_FAILED, text)
        self._link.close("the node has ended", _PARTING)

    def _keep(self, folder: str, lock: int, order: Order, archive: bytes) -> None:
        _unpack(folder, archive)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        process = subprocess.Popen(
            [sys.executable, "-m", "dispycos.node.carried", folder, *order["arguments"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,  # where `-m` looks for modules first
            env=environment,
            pass_fds=[lock],  # it is locked as long as either of us lives
            start_new_session=True,
        )
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.write(f"{' '.join(order['keys'])}\n".encode())
            process.stdin.flush()
        threading.Thread(target=self._await, args=(process,), name="dispycos node output").start()
        while (ended := self._events.get()) == NODE_DRAIN:
            process.send_signal(signal.SIGUSR1)
        if not isinstance(ended, int):
            process.terminate()
            try:
                ended = self._events.get(timeout=_END_TIME)
                while not isinstance(ended, int):
                    ended = self._events.get(timeout=_END_TIME)
            except queue.Empty:
                process.kill()
                ended = process.wait()
        self._say(NODE_ENDED, str(ended))

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None and process.stdin is not None
        with process.stdout as output:
            for line in iter(lambda: output.readline(_MOST_LINE), b""):
                self._say(NODE_LINE, line.decode(errors="replace").rstrip("\r\n"))
        code = process.wait()
        with contextlib.suppress(OSError):
            process.stdin.close()
        self._events.put(code)

    def _say(self, what: bytes, text: str) -> None:
        # The near end may be gone; the node's output is read to its end all the same.
        with contextlib.suppress(DispycosError, OSError):
            self._link.send(what, (text.encode(),))


@contextlib.contextmanager
def _folder() -> Iterator[tuple[str, int]]:
    # Of our own, with the descriptor of its lock; removed afterwards. Those of keepers that were
    # killed are removed now.
    place = tempfile.gettempdir()
    for name in os.listdir(place):
        if name.startswith(_PREFIX):
            _sweep(os.path.join(place, name))
    draft = tempfile.mkdtemp(prefix=f".{_PREFIX}")
    folder = draft
    try:
        lock = os.open(os.path.join(draft, _LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # For an account of --run_as, which loads its modules there; no secret is among them.
            os.chmod(draft, 0o755)
            # Only now is it seen by those that sweep.
            folder = os.path.join(place, os.path.basename(draft)[1:])
            os.rename(draft, folder)
            yield folder, lock
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: str) -> None:
    with contextlib.suppress(OSError):
        status = os.lstat(folder)
        if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
            return
        lock = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _unpack(folder: str, archive: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        names = packed.namelist()
        if _has_fast_msgpack():
            names = [name for name in names if not name.startswith("msgpack/")]
        # An account of --run_as is to read them, whatever our own umask is; see `_folder`.
        kept = os.umask(0o022)
        try:
            packed.extractall(folder, names)
        finally:
            os.umask(kept)


def _has_fast_msgpack() -> bool:
    try:
        return importlib.util.find_spec("msgpack._cmsgpack") is not None
    except ImportError:
        return False
