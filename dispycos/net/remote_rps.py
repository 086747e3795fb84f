"""Handles of RPS of other processes: what `RPS.locate` finds there.

I/O half. Layer 4. Row KE-32.
"""

from __future__ import annotations

from typing import Any

from dispycos.errors import Closed
from dispycos.kernel import loop
from dispycos.kernel.operation import Operation
from dispycos.kernel.refusal import refusal
from dispycos.kernel.rps import RPS
from dispycos.kernel.task import Task
from dispycos.kernel.wait import Given
from dispycos.messages import ReceiverKind, Verb
from dispycos.model import Address, MonitorStatus
from dispycos.net import remote
from dispycos.net.remote import Reference

# Before the network closes, so that tasks there hear of it (runtime.AFTER_TASKS).
AT_EXIT = 5.0


class RemoteRPS(Reference, RPS):
    """A reference to an RPS of another process.

    Tasks that it has made end when it is closed, and when this program ends.
    """

    kind = ReceiverKind.RPS

    _follower: Task | None  # hears how the tasks end that were made here

    @classmethod
    def of(cls, address: Address, name: str, reservation: int) -> RemoteRPS:
        """The handle of the RPS that lives at `address`."""
        handle = cls.__new__(cls)
        handle._refer(address, name, reservation)
        handle._closed = False
        handle._monitors = {}
        handle._running = {}
        handle._follower = None
        return handle

    def register(self, name: str | None = None) -> int:
        """-1: only the process where its function is decides who may call it."""
        return -1

    def unregister(self, name: str | None = None) -> int:
        """-1: see `register`."""
        return -1

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._closed:
            return Given(self._instead(refusal(f"{self} is closed", Closed)))
        answer = Operation()
        question = remote.here().ask(self, Verb.CALL, (args, kwargs), None)
        question.add_done_callback(lambda _: self._kernel.post(self._answered, question, answer))
        return answer

    def _answered(self, question: Operation, answer: Operation) -> None:
        error = question.exception()
        if error is not None:
            refused = refusal(f"{self} could not be called: {error}", type(error))
        else:
            made = question.result()
            if isinstance(made, Task):
                self._follow(made)
                answer.complete(made)
                return
            if isinstance(made, MonitorStatus):
                refused = refusal(str(made.value), made.type)
            else:
                refused = refusal(f"{self} answered {type(made).__name__} where a Task was due")
        answer.complete(self._instead(refused))

    # What becomes of the tasks.

    def _follow(self, task: Task) -> None:
        if self._closed:
            task.terminate(f"{task} was ended: {self} was closed while the task was started")
            return
        if self._follower is None:
            self._follower = self._kernel.spawn(self._hear, name=f"follower of {self._name}", daemon=True)
            loop.default().at_exit(AT_EXIT, self.close)
        self._running[task] = None
        task.notify(self._follower)

    def _hear(self, task: Any = None) -> Any:
        while True:
            status = yield task.receive()
            if isinstance(status, MonitorStatus) and self._running.pop(status.info, self) is None:
                for monitor in list(self._monitors):
                    if monitor.send(status) != 0:
                        del self._monitors[monitor]

    def close(self) -> int:
        """End the tasks that were made through it and refuse further calls: 0; -1 if it was closed."""
        if self._closed:
            return -1
        self._closed = True
        loop.default().drop_at_exit(self.close)
        for task in list(self._running):
            task.terminate(f"{task} was ended by close() of {self}, through which it was started")
        self._running.clear()
        if self._follower is not None:
            self._follower.terminate()
        return 0
