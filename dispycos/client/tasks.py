"""Tasks that a client made: what `yield client.rtask(...)` gives.

A ClientTask is a handle like any other for messages, and ends like a local task: its client
learns how from `dispatch`, so its waiters and monitors need not ask the server. The result is
unpickled when somebody looks at it, on that one's thread.

I/O half. Layer 5. Rows DC-22, DC-23, DC-58, DC-62, ST-10; rules D3, R-31.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self

from dispycos.card import card
from dispycos.client.request import UNAWAITED
from dispycos.client.submission import Stage, Submission
from dispycos.client.unasked import Unasked
from dispycos.errors import PoisonTask, TaskCancelled, TaskLost, TaskRejected, Timeout
from dispycos.kernel.core import Kernel
from dispycos.kernel.operation import Operation
from dispycos.kernel.refusal import refusal
from dispycos.kernel.task import Task, is_interruption
from dispycos.kernel.wait import FAILED
from dispycos.messages import Deliver
from dispycos.model import LOST, Address, End, Incarnation, Location, MonitorStatus, Outcome, Status
from dispycos.net import remote
from dispycos.net.endpoint import Endpoint
from dispycos.net.remote import RemoteTask
from dispycos.pickling import values

_ERRORS: dict[End, type[Exception]] = {
    End.TIMED_OUT: Timeout,
    End.REJECTED: TaskRejected,
    **dict.fromkeys(LOST, TaskLost),
}


# In words, for who looks at a task.
_STAGES = {Stage.SENT: "at its server", Stage.PLACED: "on its way to its server", Stage.ENDED: "has ended"}
_ENDED = {
    End.FINISHED: "finished",
    End.FAILED: "failed",
    End.CANCELLED: "was cancelled",
    End.TIMED_OUT: "ran out of its time",
    End.REJECTED: "was rejected",
    End.SERVER_LOST: "was lost with its server",
    End.NODE_LOST: "was lost with its node",
    End.ABANDONED: "was abandoned",
}

# Ends that the program did not ask for.
_UNASKED = LOST | {End.FAILED, End.REJECTED}

_NOWHERE = (Incarnation(bytes(16)), None)  # not placed yet


class Maker(Protocol):
    """The driver that submitted a task, as its handle sees it."""

    @property
    def kernel(self) -> Kernel: ...

    @property
    def endpoint(self) -> Endpoint: ...

    def hold(self, task: Submission, say: Callable[[], object]) -> bool: ...
    def cancel(self, id: int, reason: str, end: End) -> bool: ...
    def why_waiting(self, id: int) -> str: ...
    def must_be_here(self) -> None: ...


class ClientTask(RemoteTask):
    """A task on a server, made by a Client of this process."""

    __slots__ = (
        "_address",
        "_driver",
        "_info",
        "_outcome_raw",
        "_poisoned",
        "_request",
        "_submission",
        "_text",
        "_where",
    )

    @classmethod
    def wanted(cls, driver: Maker, number: int, name: str, reservation: int) -> Self:
        """The handle of a task that is about to be submitted; it has no address yet."""
        handle = cls.__new__(cls)
        handle._kernel = driver.kernel
        handle._driver = driver
        handle.number = number
        handle._name = name
        handle.reservation = reservation
        handle._end = handle._joiners = handle._monitors = handle._outcome_raw = handle._request = None
        handle._address = None
        handle._where = _NOWHERE
        handle._daemon = False
        return handle

    _cancellation: type[TaskCancelled] = TaskCancelled  # raised where somebody ended it

    _driver: Maker
    _request: Operation | None  # who waits for it to be placed
    _submission: Submission | None  # until it has ended
    _address: Address | None
    _where: tuple[Incarnation, Location | None]  # its server, once it was placed
    _info: tuple[tuple[Any, ...], dict[str, Any]] | None  # its arguments, until TaskCreated tells of them
    # Its outcome, until somebody looked at it; of a small result no more than its bytes, because
    # the collector's work grows with the objects that a program with many handles keeps.
    _outcome_raw: Outcome | Unasked | bytes | None

    # Where it is: settled by the first one who refers to it.

    @property
    def address(self) -> Address:  # type: ignore[override]  # made for those who ask
        """Where it is reached."""
        address = self._address
        incarnation, location = self._where
        if address is None or address.incarnation is not incarnation:
            address = self._address = Address(incarnation, location, self.number)
        return address

    @property
    def location(self) -> Location | None:
        """The server that runs it."""
        if self._end is None:
            self._hold(_nothing)
        return self._where[1]

    def __reduce__(self) -> tuple[Any, ...]:
        if self._end is None:
            self._hold(_nothing)
        return super().__reduce__()

    def __str__(self) -> str:
        return f"{self._name}/{self.number}@{self._where[1]}"

    def _repr_html_(self) -> str:
        return card("Task", self._name, self._shown())

    def _shown(self) -> list[tuple[str, str]]:
        # Not `location`: to ask for that keeps it where it is.
        where = self._where[1]
        return [("at", "no server yet" if where is None else str(where)), ("state", self._state())]

    def _state(self) -> str:
        if self._end is not None:
            return _ENDED[self._end]
        task = self._submission
        return _STAGES.get(Stage.ENDED if task is None else task.stage, "waits for a server")

    def _is_held(self) -> bool:
        """Whether it stays where it is, as far as is known without asking."""
        task = self._submission
        if task is None or task.parked or not task.pinned or task.stage is not Stage.SENT:
            return task is None
        server = task.server
        return server is not None and self._where[0] == server.incarnation

    def _hold(self, say: Callable[[], object]) -> bool:
        task = self._submission
        return task is None or self._is_held() or self._driver.hold(task, say)

    # How it ended, as a local task.

    notify = Task.notify

    def __call__(self, timeout: float | None = None) -> Any:
        """See `Task.__call__`. Closed in a forked child, which does not hear how it ends."""
        if self._end is None:
            self._driver.must_be_here()
        return Task.__call__(self, timeout)

    def finish(self, timeout: float | None = None) -> Any:
        """See `Task.finish`."""
        if self._end is None:
            self._driver.must_be_here()
        return Task.finish(self, timeout)

    def result(self, timeout: float | None = None) -> Any:
        """See `Task.result`."""
        if self._end is None:
            self._driver.must_be_here()
        return Task.result(self, timeout)

    def value(self, timeout: float | None = None) -> Any:
        """See `Task.value`."""
        if self._end is None:
            self._driver.must_be_here()
        return Task.value(self, timeout)

    def place(self, where: tuple[Incarnation, Location | None]) -> None:
        """It is on its way to that server; kernel thread."""
        self._where = where
        self._address = None  # it may have been at another server before

    def answer(self) -> None:
        """Who asked for it gets it; kernel thread."""
        request = self._request
        if request is not None:
            self._request = None
            request.complete(self)

    def conclude(self, outcome: Outcome, poisoned: bool) -> None:
        """It has its one outcome: tell everybody who waits for that; kernel thread."""
        self._value = self._error = None
        self._text = ""
        self._poisoned = poisoned
        value = outcome.value
        self._outcome_raw = outcome
        if (
            outcome.end is End.FINISHED
            and value is not None
            and type(value.data) is bytes
            and not value.buffers
        ):
            self._outcome_raw = value.data
        elif outcome.end in _UNASKED and (self._submission is None or self._submission.cancel is None):
            self._outcome_raw = Unasked(str(self), outcome)
        self._end = outcome.end
        self._submission = None  # it knows us: a cycle would be the collector's to free
        request = self._request
        if request is not None:
            # It was never placed: what was asked for is refused.
            self._request = None
            request.complete(refusal(outcome.text))
        joiners = self._joiners
        if joiners is not None:
            self._joiners = None
            for join in joiners if isinstance(joiners, dict) else (joiners,):
                join._ended()
        if self._monitors is not None:
            for monitor in self._monitors:
                self._tell(monitor)
            self._monitors = None

    def _outcome(self, raises: bool) -> tuple[Any, BaseException | None]:
        if self._outcome_raw is not None:
            self._look()
        if self._end is End.FINISHED:
            return self._value, None
        if not raises:
            return self._status(), None
        error = self._error
        assert error is not None
        if is_interruption(error):
            # Raised as it is, it would look like Ctrl-C at this program.
            cancelled = self._cancellation(str(error))
            cancelled.__cause__ = error
            return None, cancelled
        return None, values.survivable(error, self.name).with_traceback(None)

    def _why(self) -> str:
        return "" if self._end is not None else self._driver.why_waiting(self.number)

    def _status(self) -> MonitorStatus:
        if self._outcome_raw is not None:
            self._look()
        end = self._end
        if end is End.FINISHED:
            return MonitorStatus(self, StopIteration, self._value)
        if end in LOST and not self._poisoned:
            return MonitorStatus(self, Status.TaskAbandoned, self._text)
        if end is End.CANCELLED or end is End.TIMED_OUT:
            return MonitorStatus(self, Status.TaskTerminated, self._text)
        return MonitorStatus(self, type(self._error), self._text)

    def _look(self) -> None:
        """Unpickle what came. Two threads may do it at once: each gets the same."""
        raw = self._outcome_raw
        if type(raw) is bytes:
            try:
                self._value = values.load_data(raw)
            except Exception as error:
                self._not_loaded(error)
            self._outcome_raw = None
            return
        outcome = raw.look() if isinstance(raw, Unasked) else raw
        if not isinstance(outcome, Outcome):
            return  # another thread has looked
        end, text, value = outcome.end, outcome.text, outcome.value
        if end is End.FINISHED:
            try:
                assert value is not None
                self._value = values.load(value)
            except Exception as error:
                self._not_loaded(error)
        elif self._poisoned:
            self._error, self._text = PoisonTask(text), text
        elif end is End.FAILED:
            self._error, self._text = values.load_exception(value, text), text
        else:
            kind = self._cancellation if end is End.CANCELLED else _ERRORS[end]
            self._error, self._text = kind(text), text
        self._outcome_raw = None

    def _not_loaded(self, error: BaseException) -> None:
        text = f"{self} has computed its result, but it can't be loaded in this process"
        error.add_note(text)
        self._error, self._end = error, End.FAILED
        self._text = f"{text}: {type(error).__name__}: {error}"

    # Messages: it stays where it is once somebody talks to it.

    def send(self, message: Any) -> int:
        """Send it a message; any thread. 0, or -1 if it has ended.

        What pickling raises is raised here; what is changed afterwards is not sent.
        """
        if self._end is not None:
            return -1
        if self._is_held():
            return (remote.carrier or remote.here()).send(self, message)
        payload = values.dump(message, what="a message")

        def say() -> None:
            self._driver.endpoint.say(self.address.incarnation, Deliver(self.number, payload))

        if self._hold(say):
            say()
        return 0

    def deliver(self, message: Any, timeout: float | None = None) -> Any:
        """Yield this: 1 when the message is in its mailbox, 0 after `timeout` seconds, -1 if impossible."""
        return FAILED if self._end is not None else self._when_held(super().deliver, message, timeout)

    def resume(self, update: Any = None) -> int:
        """Wake it from `sleep` with `update`."""
        return self._when_settled(super().resume, update)

    wakeup = resume

    def hot_swap(self, target: Any, *args: Any, **kwargs: Any) -> int:
        """See `Task.hot_swap`; the new function travels there by value."""
        return self._when_settled(super().hot_swap, target, *args, **kwargs)

    def _throw_in(self, error: BaseException) -> int:
        return self._when_settled(super()._throw_in, error)

    def register(self, name: str | None = None) -> int:
        """Make it known by `name` in its own process. 0, or -1 if it has ended."""
        return self._when_settled(super().register, name)

    def unregister(self, name: str | None = None) -> int:
        """Make it known by `name` no more. 0, or -1 if it has ended."""
        return self._when_settled(super().unregister, name)

    def _when_settled(self, call: Callable[..., int], *args: Any, **kwargs: Any) -> int:
        if self._end is not None:
            return -1
        if self._hold(lambda: call(*args, **kwargs)):
            return call(*args, **kwargs)
        return 0

    def _when_held(self, call: Callable[..., Any], *args: Any) -> Any:
        operation = Operation()

        def later() -> None:
            call(*args).add_done_callback(lambda done: operation.complete(done.result()))

        return call(*args) if self._hold(later) else operation

    # Ending it.

    def terminate(self, reason: str = "") -> int:
        """End it with a KeyboardInterrupt, and after the grace by force. 0, or -1 if it has ended."""
        if self._end is not None:
            return -1
        why = reason or self._by("terminate()")
        return 0 if self._driver.cancel(self.number, why, End.FAILED) else -1

    def cancel(self, reason: str = "") -> bool:
        """As `terminate`, or see to it that it never begins: False if it had ended."""
        if self._end is not None:
            return False
        return self._driver.cancel(self.number, reason or self._by("cancel()"), End.CANCELLED)

    def _unawaited(self) -> None:
        self.cancel(UNAWAITED)

    def _by(self, call: str) -> str:
        kernel = self._kernel
        by = kernel.current if kernel.here else None
        return f"cancelled by {'the program' if by is None else by}, which called {call}"


values.REFERENCES.add(ClientTask)


def _nothing() -> None:
    pass
