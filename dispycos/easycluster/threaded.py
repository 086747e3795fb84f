"""Threaded clients: for masters that have threads of their own. Rows EC-36, EC-40.

Each thread here has one at the server, which ends with it. A thread of the client's own watches the
server by a question that a thread of the server's process answers. A process whose code is busy
answers it all the same, as Python lets its threads take turns; one that is stopped, that holds
the interpreter's lock in foreign code, or whose machine is gone does not, and is lost after
`server_timeout` seconds.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Any, Final

from dispycos import arguments
from dispycos.easycluster.client import Client
from dispycos.easycluster.line import Line
from dispycos.easycluster.options import Options
from dispycos.easycluster.response import Response
from dispycos.objects.pending_call import PendingCall

_QUESTIONS: Final = 4  # to a server, in the time after which it is lost
_TIME: Final = object()  # it is time for a question


class _Mine:
    # What a thread here keeps of a line: when the thread is gone, so is this.

    def __init__(self, line: Line) -> None:
        self.line = line
        self.threadid = object()  # of its thread at the server
        self._left = line.left

    def __del__(self) -> None:
        self._left.put(self.threadid)  # which may be done by any thread at any moment


class ThreadedClient(Client):
    """A Client for many threads, which calls `oncomplete` and `onerror` at once, in a thread for each.

    server_timeout  seconds without an answer after which the server is taken for lost.
    """

    def __init__(self, *args: Any, server_timeout: float = 60.0, **more: Any) -> None:
        if not arguments.seconds("server_timeout", server_timeout):
            raise ValueError(f"server_timeout={server_timeout!r} is no time in seconds")
        self._server_timeout = server_timeout
        self._here = threading.local()
        super().__init__(*args, **more)

    def _connect(self) -> Line:
        line = super()._connect()
        # It keeps the line and not the client, and ends with the line.
        threading.Thread(
            target=_watch, args=(line, self._server_timeout), name="dispycos watch", daemon=True
        ).start()
        return line

    def _lane(self, line: Line, options: Options) -> int:
        threadid = self._default_thread if options.threadid is None else options.threadid
        if threadid is None:
            mine = getattr(self._here, "mine", None)
            if mine is None or mine.line is not line:
                mine = self._here.mine = _Mine(line)
            threadid = mine.threadid
        return line.lane_of(threadid)

    def _expect(self, response: Response) -> None:
        if response.wants_handling:
            response.call.add_done_callback(
                lambda _: threading.Thread(
                    target=response.handle, name="dispycos completion", daemon=True
                ).start()
            )
        else:
            super()._expect(response)

    def await_response(self, response: Response, timeout: float | None) -> None:
        """For responses: wait for one. What is to be called is called by other threads."""
        response.call.exception(timeout)


AutoThreadingClient = ThreadedClient  # the document has both names


def _watch(line: Line, timeout: float) -> None:
    question: PendingCall | None = None
    asked = time.monotonic()
    due = asked + timeout / _QUESTIONS
    while True:
        try:
            word = line.left.get(timeout=max(due - time.monotonic(), 0))
        except queue.Empty:
            word = _TIME
        if word is None:
            return
        if word is not _TIME:
            line.drop_lane(word)
            continue
        now = time.monotonic()
        due = now + timeout / _QUESTIONS
        if question is None or question.done():
            asked = now
            try:
                question = line.begin_short("facts")
            except OSError:
                return  # it is closed
        elif now - asked >= timeout:
            line.fail(f"it did not answer for {now - asked:.1f} s")
