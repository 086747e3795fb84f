"""AsyncFile and AsyncPipe with pycos's arguments.

I/O half. Layer 7. Row CO-02.
"""

from __future__ import annotations

import subprocess
from typing import Any

from dispycos.kernel import pipes, threads

_CHUNK = 64 * 1024  # bytes of an input file that are read at a time


class AsyncFile(pipes.AsyncFile):
    """Read and write a descriptor, or what has a `fileno()`, in a task."""

    async def readline(  # type: ignore[override]  # one parameter more, and in its place
        self, size: int = 0, sizehint: int = 100, timeout: float | None = None
    ) -> bytes:
        """Yield this: a line with its newline, b"" at the end of file. `sizehint` means nothing here."""
        return await super().readline(size, timeout)


class AsyncPipe(pipes.AsyncPipe):
    """Talk with a process, or a chain of them: write to the first, read from the last."""

    def __init__(self, first: subprocess.Popen[Any], last: subprocess.Popen[Any] | None = None) -> None:
        super().__init__(first, last)
        for name in ("stdin", "stdout", "stderr"):
            file = getattr(self, name)
            if file is not None:
                setattr(self, name, AsyncFile(file._file))

    async def read(  # type: ignore[override]  # no `full`
        self, size: int = 0, timeout: float | None = None
    ) -> bytes:
        """Yield this: at most `size` bytes, all to the end of file if 0."""
        return await super().read(size, timeout=timeout)

    async def readline(  # type: ignore[override]  # as AsyncFile
        self, size: int = 0, sizehint: int = 100, timeout: float | None = None
    ) -> bytes:
        """Yield this: see `AsyncFile.readline`."""
        return await super().readline(size, timeout)

    async def read_stderr(  # type: ignore[override]  # no `full`
        self, size: int = 0, timeout: float | None = None
    ) -> bytes:
        """Yield this: `read`, of the last process's stderr."""
        return await super().read_stderr(size, timeout=timeout)

    async def readline_stderr(  # type: ignore[override]  # as AsyncFile
        self, size: int = 0, sizehint: int = 100, timeout: float | None = None
    ) -> bytes:
        """Yield this: `readline`, of the last process's stderr."""
        return await super().readline_stderr(size, timeout)

    async def communicate(self, input: Any = None) -> tuple[bytes | None, bytes | None]:
        """Yield this: write `input`, which may be a file, and read stdout and stderr to their ends."""
        return await super().communicate(input)

    async def _feed(self, stdin: pipes.AsyncFile, data: Any) -> None:
        if not hasattr(data, "read"):
            await super()._feed(stdin, data)
            return
        # A text file's bytes are meant, as they are.
        file = getattr(data, "buffer", data)
        try:
            while part := await threads.helpers().async_task(file.read, _CHUNK):
                await stdin.write(part, full=True)
        except BrokenPipeError:
            pass  # the process does not read all of it
        finally:
            stdin.close()
