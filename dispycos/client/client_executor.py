"""What `client.executor()` gives: `concurrent.futures` on the servers of a client.

I/O half. Layer 5. Row CW-07.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

from dispycos.client.executor import PoolExecutor
from dispycos.client.future import Future
from dispycos.client.work import Work
from dispycos.kernel import loop as kernel_loop
from dispycos.kernel.program import was_interrupted

AT_EXIT = 45.0  # before the network closes: who submitted calls waits for them at the program's end


class ClientExecutor(PoolExecutor):
    """An executor over `client.submit`.

    submit   has a call run.
    work     the client's time with its cluster.
    release  called when it is shut down and nothing runs any more, by the thread that waits for that.
    """

    _what = "a client"

    def __init__(
        self, submit: Callable[..., Future], work: Work, release: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__()
        self._submit = submit
        self._work = work
        self._on_release = release
        kernel_loop.default().at_exit(AT_EXIT, self._program_ends)

    def _begin(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> concurrent.futures.Future[Any]:
        if not self._work.open:
            raise RuntimeError(f"cannot schedule new futures: the client is {self._work.state}")
        return self._submit(fn, *args, **kwargs)

    def _width(self) -> int:
        return 2 * self._work.servers

    def _release(self) -> None:
        kernel_loop.default().drop_at_exit(self._program_ends)
        self._on_release()

    def _program_ends(self) -> None:
        """What was submitted is awaited, unless Ctrl-C ended the program."""
        if self._work.open and not was_interrupted():
            self.shutdown()
