"""Jobs: what lanes do for the other end of a connection.

Each is done once, by whatever thread its lane has, and answers the other end by itself.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from dispycos.errors import Closed, DumpError, MessageTooLarge, TaskCancelled
from dispycos.objects import failure, wire
from dispycos.objects.stopping import Stoppable

log = logging.getLogger("dispycos")


class Here(threading.local):
    """What a connection knows of the thread that looks."""

    conversation = 0  # the one that it is in


class Host(Protocol):
    """What a job needs of its connection."""

    name: str
    started: threading.Event
    here: Here

    def perform(
        self, what: int, target: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, bool]: ...
    def answer(self, job: Job, kind: int, value: Any, refer: bool, *, post: bool = False) -> None: ...
    def refuse(self, error: BaseException) -> None: ...


class Beginning:
    """What is done before all else."""

    def __init__(self, connection: Host, begin: Callable[[Any], None]) -> None:
        self._connection = connection
        self._begin = begin

    def run(self) -> None:
        """Do it; an error of it closes the connection, and the other end is told."""
        self._connection.started.wait()  # for our own constructor, in another thread
        try:
            self._begin(self._connection)
        except BaseException as exc:
            # Not by the log's own traceback, which knows no bounds.
            why = failure.text_of(exc, whole=True)
            log.error("the connection with %s is closed: it could not begin\n%s", self._connection.name, why)
            self._connection.refuse(exc)

    def stop(self) -> None:
        """Nobody asked for it, so nobody stops it."""

    def refuse(self, reason: str) -> None:
        """Nobody waits for it; but without it there is no connection. RuntimeError."""
        if not self._connection.started.is_set():
            raise RuntimeError(reason)


class Job:
    """One call of the other end."""

    __slots__ = ("_code", "_connection", "call", "conversation", "interrupt", "request")

    def __init__(self, connection: Host, call: int, conversation: int) -> None:
        self._connection = connection
        self.call = call
        self.conversation = conversation
        self.request: tuple[Any, ...] = ()
        self.interrupt: KeyboardInterrupt | None = None  # that ended it
        self._code = Stoppable()

    def run(self) -> None:
        """Do it, and answer. Whatever it raises is the answer."""
        connection = self._connection
        here = connection.here
        before = here.conversation
        here.conversation = self.conversation
        try:
            answer, refer = self._code.run(connection.perform, *self.request)
            self.request = ()
            connection.answer(self, wire.RESULT, answer, refer)
        except BaseException as exc:
            self.interrupt = exc if issubclass(type(exc), KeyboardInterrupt) else None  # type: ignore[assignment]  # so it is
            self.fail(exc)
        finally:
            here.conversation = before

    def stop(self) -> None:
        """Nobody waits for it any more."""
        self._code.stop()

    def fail(self, error: BaseException, *, post: bool = False) -> None:
        """Answer that it failed; `post` as in `Connection.answer`."""
        self.request = ()
        with contextlib.suppress(Closed):  # then nobody waits for it
            answer = self._connection.answer
            try:
                answer(self, wire.ERROR, failure.describe(error), False, post=post)
            except (DumpError, MessageTooLarge):
                # It holds too much; who waits has to hear of something.
                answer(self, wire.ERROR, failure.describe(error, brief=True), False, post=post)

    def refuse(self, reason: str) -> None:
        """Answer that it will not be done. Waits for nothing."""
        self.fail(TaskCancelled(reason), post=True)
