"""AsyncFile and AsyncPipe: pipes, terminals and files whose reading and writing is yielded in a task.

Pipes and the like are not blocking, with the selector's thread for the waits. Regular files
never say that they are not ready, so a helper thread reads and writes those. Descriptors 0, 1
and 2 may be shared with other programs, so they stay as they are: we wait before each call.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

from dispycos.kernel import readiness, threads
from dispycos.kernel.operation import Operation
from dispycos.kernel.readiness import READ, WRITE
from dispycos.kernel.task import Task
from dispycos.kernel.wait import TURN, seconds

T = TypeVar("T")

_CHUNK = 64 * 1024  # bytes read at a time
_SAFE_WRITE = getattr(select, "PIPE_BUF", 512)  # bytes that never block once a descriptor is writable


class AsyncFile:
    """Read and write a descriptor, or what has a `fileno()`, in a task.

    It reads and writes past the buffers of a Python file object. One task may read while
    another writes.
    """

    def __init__(self, fd: Any) -> None:
        self._file = None if isinstance(fd, int) else fd
        self._fd: int = fd if isinstance(fd, int) else fd.fileno()
        self._buffer = bytearray()  # read and not yet asked for: the rest of a line
        self._reading: Operation | None = None  # a read in a thread whose bytes nobody has yet
        mode = os.fstat(self._fd).st_mode
        self._in_thread = os.name == "nt" or stat.S_ISREG(mode) or stat.S_ISBLK(mode)
        self._shared = self._fd in (0, 1, 2)
        if not self._in_thread and not self._shared:
            os.set_blocking(self._fd, False)

    def fileno(self) -> int:
        """The descriptor; -1 if closed."""
        return self._fd

    def close(self) -> None:
        """Close it; tasks that wait for it get OSError. May be repeated."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        if readiness._shared is not None:
            readiness._shared.drop(fd, OSError(errno.EBADF, "the file was closed by this program"))
        if self._file is None:
            os.close(fd)
        else:
            try:
                self._file.close()
            except BrokenPipeError:
                pass  # what a file object of the user's had buffered

    def __enter__(self) -> AsyncFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def read(self, size: int = 0, full: bool = False, timeout: float | None = None) -> bytes:
        """Yield this: at most `size` bytes, b"" at the end of file.

        size  0: everything up to the end of file.
        full  with True, exactly `size` bytes unless the file ends before.
        TimeoutError after `timeout` seconds; what was read by then is kept for the next call.
        """
        deadline = _deadline(timeout)
        wanted = size if size > 0 else None
        while wanted is None or len(self._buffer) < wanted:
            if wanted is not None and self._buffer and not full:
                break
            part = await self._read_some(_CHUNK if wanted is None else wanted - len(self._buffer), deadline)
            if not part:
                break
            self._buffer += part
        return self._take(len(self._buffer) if wanted is None else wanted)

    async def readline(self, size: int = 0, timeout: float | None = None) -> bytes:
        """Yield this: a line with its newline, b"" at the end of file.

        size  its longest length in bytes; 0: any.
        TimeoutError after `timeout` seconds; what was read by then is kept for the next call.
        """
        deadline = _deadline(timeout)
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched) + 1
            if end == 0 and size and len(self._buffer) >= size:
                end = size
            if end:
                return self._take(min(end, size) if size else end)
            searched = len(self._buffer)
            part = await self._read_some(_CHUNK, deadline)
            if not part:
                return self._take(len(self._buffer))
            self._buffer += part

    async def write(self, data: Any, full: bool = False, timeout: float | None = None) -> int:
        """Yield this: the number of bytes written, with `full` all of them.

        BrokenPipeError if nobody reads any more, TimeoutError after `timeout` seconds.
        """
        deadline = _deadline(timeout)
        view = memoryview(data).cast("B")
        written = 0
        while written < view.nbytes:
            rest = view[written : written + _SAFE_WRITE] if self._shared else view[written:]
            written += await self._try(WRITE, os.write, rest, deadline)
            if not full:
                break
        return written

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _read_some(self, size: int, deadline: float | None) -> bytes:
        return await self._try(READ, os.read, size, deadline)

    async def _try(
        self, event: int, call: Callable[[int, Any], T], argument: Any, deadline: float | None
    ) -> T:
        fd = self._fd
        if fd < 0:
            raise OSError(errno.EBADF, "the file is closed")
        if self._in_thread:
            operation = self._reading if event == READ else None
            if operation is None:
                operation = threads.helpers().async_task(call, fd, argument)
            if event == READ:
                self._reading = operation  # until it is done: after a time-out the next read takes it up
            try:
                done: T = await operation.within(_left(deadline))
                return done
            finally:
                if operation.done():
                    self._reading = None
        await TURN  # others get their turn, even if the file is always ready
        if self._shared:
            await self._wait(fd, event, deadline)
        while True:
            try:
                return call(fd, argument)
            except BlockingIOError:
                await self._wait(fd, event, deadline)
            except OSError as error:
                # A terminal's master says so when its other side is closed.
                if error.errno == errno.EIO and event == READ:
                    return b""  # type: ignore[return-value]  # read is what was called
                raise

    async def _wait(self, fd: int, event: int, deadline: float | None) -> None:
        left = _left(deadline)
        if left is not None and left <= 0:
            raise TimeoutError("timed out")
        operation = readiness.shared().when(fd, event)
        try:
            await operation.within(left)
        except PermissionError:
            return  # the system waits for no such thing, because it is always ready: /dev/null
        finally:
            if not operation.done():
                readiness.shared().forget(fd, operation)


class AsyncPipe:
    """Talk with a process, or a chain of them: write to the first, read from the last.

    first, last  `subprocess.Popen` objects with pipes; without `last` first is both. Other
                 attributes are those of the last.
    stdin, stdout, stderr  AsyncFiles, or None where there is no pipe.
    """

    def __init__(self, first: subprocess.Popen[Any], last: subprocess.Popen[Any] | None = None) -> None:
        self.first = first
        self.last = first if last is None else last
        self.stdin = None if first.stdin is None else AsyncFile(first.stdin)
        self.stdout = None if self.last.stdout is None else AsyncFile(self.last.stdout)
        self.stderr = None if self.last.stderr is None else AsyncFile(self.last.stderr)

    async def write(self, data: Any, full: bool = False, timeout: float | None = None) -> int:
        """Yield this: see `AsyncFile.write`."""
        return await _open(self.stdin, "stdin").write(data, full, timeout)

    async def read(self, size: int = 0, full: bool = False, timeout: float | None = None) -> bytes:
        """Yield this: see `AsyncFile.read`."""
        return await _open(self.stdout, "stdout").read(size, full, timeout)

    async def readline(self, size: int = 0, timeout: float | None = None) -> bytes:
        """Yield this: see `AsyncFile.readline`."""
        return await _open(self.stdout, "stdout").readline(size, timeout)

    async def read_stderr(self, size: int = 0, full: bool = False, timeout: float | None = None) -> bytes:
        """Yield this: `read`, of the last process's stderr."""
        return await _open(self.stderr, "stderr").read(size, full, timeout)

    async def readline_stderr(self, size: int = 0, timeout: float | None = None) -> bytes:
        """Yield this: `readline`, of the last process's stderr."""
        return await _open(self.stderr, "stderr").readline(size, timeout)

    async def communicate(self, input: Any = None) -> tuple[bytes | None, bytes | None]:
        """Yield this: write `input`, close stdin, read stdout and stderr to their ends, and close them.

        None for one that is no pipe. A process that does not read all of the input is no error.
        """
        others = []
        try:
            if self.stdin is not None:
                others.append(Task(self._feed, self.stdin, input))
            errors = None
            if self.stderr is not None:
                errors = Task(self.stderr.read)
                others.append(errors)
            output = None if self.stdout is None else await self.stdout.read()
            for task in others:
                await task.result()
            found = None if errors is None else await errors.result()
            self.close()
            return output, found
        finally:
            for task in others:
                task.terminate("the communicate() that this was part of has ended")

    async def _feed(self, stdin: AsyncFile, data: Any) -> None:
        try:
            if data:
                await stdin.write(data, full=True)
        except BrokenPipeError:
            pass
        finally:
            stdin.close()

    def poll(self) -> int | None:
        """The exit status of the last process, or None if it runs."""
        return self.last.poll()

    def close(self) -> None:
        """Close the pipes; may be repeated. The processes are not waited for."""
        for file in (self.stdin, self.stdout, self.stderr):
            if file is not None:
                file.close()

    def __enter__(self) -> AsyncPipe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.last, name)


def _open(file: AsyncFile | None, name: str) -> AsyncFile:
    if file is None:
        raise ValueError(f"the process was started without a pipe for {name}")
    return file


def _deadline(timeout: float | None) -> float | None:
    limit = seconds(timeout)
    return None if limit is None else time.monotonic() + limit


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - time.monotonic()
