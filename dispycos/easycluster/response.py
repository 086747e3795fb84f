"""Responses: what a call that was not waited for will answer. Rows EC-34, EC-36, EC-37, EC-39."""

from __future__ import annotations

import itertools
import logging
from typing import Any, Protocol

from dispycos.easycluster.failures import RemoteException
from dispycos.easycluster.options import Options
from dispycos.objects.pending_call import PendingCall

log = logging.getLogger("dispycos")


class Line(Protocol):
    """What a response needs of the connection that the call went through."""

    def read(self, answer: Any) -> Any:
        """The value of an answer, or raises RemoteException."""

    def settle(self, error: BaseException) -> BaseException:
        """What is said here of what the connection reports of a call."""


class Host(Protocol):
    """What a response needs of its client."""

    def await_response(self, response: Response, timeout: float | None) -> None:
        """Wait until it is there. TimeoutError."""

    def report_exception(self, error: RemoteException) -> None:
        """Told of an exception before it is raised."""


class Response:
    """Made by a call with `nonblocking=True`, `oncomplete=` or `onerror=`."""

    def __init__(self, call: PendingCall, options: Options, line: Line, client: Host) -> None:
        self.call = call
        self.seen = False  # somebody waited for it, or read it
        self._options = options
        self._line = line
        self._client = client
        self._handled = itertools.count()  # next() of it is one step, whichever threads do it
        self._reported = itertools.count()
        self._outcome: tuple[Any, BaseException | None] | None = None

    @property
    def have_response(self) -> bool:
        """Whether `wait` would answer at once."""
        return self.call.done()

    @property
    def wants_handling(self) -> bool:
        """Whether something is to be called when it is done."""
        return self._options.oncomplete is not None or self._options.onerror is not None

    def wait(self, timeout: float | None = None) -> Any:
        """The value of the call, or raises what it raised; the same each time.

        TimeoutError after `timeout` seconds; it may be waited for again.
        """
        self._client.await_response(self, timeout)
        self.seen = True
        value, error = self.outcome()
        if error is not None:
            raise error
        return value

    def outcome(self) -> tuple[Any, BaseException | None]:
        """The value, or what `wait` would raise; once it is done."""
        value, error = self._result()
        if isinstance(error, RemoteException):
            error = self._to_raise(error)
        return value, error

    def handle(self) -> None:
        """Call what is to be called with the value or the error; once, and when it is done."""
        self.seen = True
        options = self._options
        if not self.wants_handling or next(self._handled):
            return
        value, error = self._result()
        function = options.oncomplete if error is None else options.onerror or options.oncomplete
        if function is None:
            return
        try:
            function(value if error is None else error)
        except Exception:
            log.exception("what was to be called when a remote call is complete failed")

    def _to_raise(self, error: RemoteException) -> BaseException:
        # What would end or stop this program does not: it was another program's.
        if self._options.origexc is False or not isinstance(error.orig, Exception):
            return error
        # The end of an iterator is no fault that anybody wants to read of.
        quiet = isinstance(error.orig, StopIteration | StopAsyncIteration)
        if self._options.origexc is True and not quiet and not next(self._reported):
            self._client.report_exception(error)
        return error.orig

    def _result(self) -> tuple[Any, BaseException | None]:
        if self._outcome is None:
            try:
                self._outcome = self._line.read(self.call.result()), None
            except Exception as exc:
                self._outcome = None, self._line.settle(exc)
        return self._outcome

    def __repr__(self) -> str:
        return f"<Response {'there' if self.have_response else 'pending'}>"
