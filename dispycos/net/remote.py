"""Handles: tasks of other processes, as programs here hold them.

A handle names its task by Address and does what a local Task does, by messages. It may be
sent on to a third process, which then talks to the task directly; one that travels home
becomes the original again. What carries its messages is the process's Carrier
(`net.delivery`), set once when the process gets a network.

I/O half. Layer 4. KE-10 to KE-15.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from dispycos.card import card
from dispycos.kernel.core import Kernel
from dispycos.kernel.operation import Operation
from dispycos.kernel.receiver import Receiver
from dispycos.kernel.task import Task
from dispycos.kernel.wait import FAILED, OK, seconds
from dispycos.messages import ReceiverKind, Verb
from dispycos.model import Address, Incarnation, Location
from dispycos.net.calls import Calls
from dispycos.pickling import values


class Carrier(Protocol):
    """What handles need of the process they are in."""

    kernel: Kernel
    incarnation: Incarnation
    handles: dict[tuple[Any, ...], Any]  # that arrived lately, by what was said of them
    calls: Calls  # of objects, here and elsewhere

    def send(self, handle: Handle, value: Any) -> int:
        """0: on its way; -1: the process it lives in is gone."""

    def deliver(self, handle: Handle, value: Any, timeout: float | None) -> Operation:
        """1: in the recipient's queue; 0: not within `timeout`; -1: impossible."""

    def tell(self, handle: Handle, verb: Verb, value: Any) -> int:
        """Ask something whose answer nobody waits for: 0, or -1 as in `send`."""

    def ask(
        self, handle: Handle, verb: Verb, value: Any, timeout: float | None, at_timeout: Any = None
    ) -> Operation:
        """Ask something; `at_timeout` after `timeout` seconds."""

    def watch(self, handle: RemoteTask, watcher: Any) -> int:
        """Let `watcher` receive the status of the task when it ends or its process is lost."""

    def find(self, number: int) -> Any:
        """The local receiver of that number, living or not; None if nothing is known of it."""


MAX_HANDLES = 1024  # kept for who refers to the same again; then all are forgotten

carrier: Carrier | None = None  # of this process, once it has a network
had_one = False  # there was a network in this process, or in that of which it is a forked child


class Handle(Protocol):
    """What a handle of any kind is made of."""

    number: int  # the same as in its address
    reservation: int  # whose servers its process belongs to; 0: it holds the cluster's key

    @property
    def address(self) -> Address: ...

    @property
    def name(self) -> str: ...


class Reference(Receiver):
    """What handles of tasks, channels and services share: they are an address, and travel as one."""

    __slots__ = ()

    kind: ClassVar[ReceiverKind]

    address: Address
    reservation: int

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        raise TypeError(f"a {type(self).__name__} is made by the network, not by a program")

    def _refer(self, address: Address, name: str, reservation: int) -> None:
        self._kernel = here().kernel
        self.address = address  # type: ignore[misc]  # a slot of tasks, an attribute of others
        self.number = address.number
        self.reservation = reservation  # type: ignore[misc]  # likewise
        self._name = name

    @property
    def location(self) -> Location | None:
        """Where its process is reached."""
        return self.address.location

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, Reference) and other.kind is self.kind:
            mine, theirs = self.address, other.address
            return mine.number == theirs.number and mine.incarnation == theirs.incarnation
        return NotImplemented

    __hash__ = Receiver.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return reduction(self.kind, self.address, self._name, self.reservation)


class RemoteTask(Reference, Task):
    """A reference to a task of another process."""

    __slots__ = ("address", "reservation")

    kind = ReceiverKind.TASK

    @classmethod
    def of(cls, address: Address, name: str, reservation: int) -> RemoteTask:
        """The handle of the task that lives at `address`."""
        handle = cls.__new__(cls)
        handle._refer(address, name, reservation)
        return handle

    def _refer(self, address: Address, name: str, reservation: int) -> None:
        super()._refer(address, name, reservation)
        self._end = None
        self._daemon = False

    # Who it is.

    def is_alive(self) -> bool:
        """Whether nothing is known of its end. Yield `result()` or monitor it to learn of that."""
        return self._end is None

    def _repr_html_(self) -> str:
        where = "nowhere yet" if self.location is None else str(self.location)
        return card("Task", self._name, [("at", where), ("state", self._state())])

    def _state(self) -> str:
        return "nothing is known of its end" if self._end is None else f"ended: {self._end.name.lower()}"

    def set_daemon(self, flag: bool = True) -> None:
        """Has no meaning here: this program's end never waits for a task of another process."""

    def register(self, name: str | None = None) -> int:
        """Make it known by `name` in its own process. 0, or -1 if that process is gone."""
        return here().tell(self, Verb.REGISTER, name)

    def unregister(self, name: str | None = None) -> int:
        """Make it known by `name` no more. 0, or -1 if that process is gone."""
        return here().tell(self, Verb.UNREGISTER, name)

    # Waiting for it.

    def __call__(self, timeout: float | None = None) -> Any:
        return self.finish(timeout)

    def finish(self, timeout: float | None = None) -> Any:
        """Yield this: its result, its MonitorStatus if it failed or was lost, None at the time-out."""
        return here().ask(self, Verb.RESULT, False, seconds(timeout))

    def result(self, timeout: float | None = None) -> Any:
        """Yield this: its result, or raises what it raised; TaskLost if its process is gone."""
        return here().ask(self, Verb.RESULT, True, seconds(timeout))

    def value(self, timeout: float | None = None) -> Any:
        """Wait in a plain thread for `finish(timeout)`. RuntimeError inside a task."""
        operation: Operation = self.finish(timeout)
        return operation.result()

    def notify(self, task: Task) -> Any:
        """Let `task` receive a MonitorStatus when this task ends, or is lost: 0 or -1."""
        return OK if here().watch(self, task) == 0 else FAILED

    # Messages.

    def send(self, message: Any) -> int:
        """Send it a message; any thread. 0, or -1 if its process is gone.

        What pickling raises is raised here; what is changed afterwards is not sent.
        """
        return (carrier or here()).send(self, message)

    def deliver(self, message: Any, timeout: float | None = None) -> Any:
        """Yield this: 1 when the message is in its mailbox, 0 after `timeout` seconds, -1 if impossible."""
        return here().deliver(self, message, seconds(timeout))

    def receive(self, timeout: float | None = None, alarm_value: Any = None) -> Any:
        """RuntimeError: messages are received where the task is."""
        raise RuntimeError(f"only {self} itself receives its messages")

    recv = receive

    def resume(self, update: Any = None) -> int:
        """Wake it from `sleep` with `update`."""
        return here().tell(self, Verb.RESUME, update)

    wakeup = resume

    # Ending it.

    def _throw_in(self, error: BaseException) -> int:
        return here().tell(self, Verb.THROW, error)

    def terminate(self, reason: str = "") -> int:
        """Raise GeneratorExit at its current `yield` and drop it. 0, or -1 if its process is gone."""
        return here().tell(self, Verb.TERMINATE, reason)

    def hot_swap(self, target: Any, *args: Any, **kwargs: Any) -> int:
        """See `Task.hot_swap`; the new function travels there by value."""
        return here().tell(self, Verb.HOT_SWAP, (target, args, kwargs))

    @property
    def state(self) -> str:
        """ "done" if its end is known here, else "remote"."""
        return "remote" if self._end is None else "done"

    def where(self) -> Any:
        """Nothing is known here of where a task of another process stands."""
        return []


def here() -> Carrier:
    """The carrier of this process. RuntimeError if it has no network."""
    if carrier is None:
        raise RuntimeError(
            "the network of this process has ended, with the cluster or the process that it was of: "
            "ask anew for what was reached by it, when a Client, Scheduler() or Pycos() has started another"
            if had_one
            else "this process has no network: start it with Pycos(), Scheduler() or a Client"
        )
    return carrier


def reduction(kind: ReceiverKind, address: Address, name: str, reservation: int) -> tuple[Any, ...]:
    """How a reference to a task or channel is pickled."""
    location = address.location
    where = None if location is None else location.parts
    return (restore, (int(kind), bytes(address.incarnation), where, address.number, name, reservation))


def restore(
    kind: int, incarnation: bytes, where: tuple[Any, ...] | None, number: int, name: str, reservation: int
) -> Any:
    """A reference that arrived: the local original if it lives here, else a handle."""
    process = carrier or here()
    handles = process.handles
    key = (kind, incarnation, where, number, name, reservation)
    handle = handles.get(key)
    if handle is not None:
        return handle
    ours = incarnation == process.incarnation
    if ours:
        local = process.find(number)
        if local is not None:
            return local
    location = None if where is None else Location(*where)
    address = Address(Incarnation(incarnation), location, number)
    handle = makers[ReceiverKind(kind)](address, name, reservation)
    if not ours:
        # Whoever wants answers names himself in each question.
        if len(handles) >= MAX_HANDLES:
            handles.clear()
        handles[key] = handle
    return handle


# What handles of tasks and the tasks of this process are pickled as is no code.
values.REFERENCES.update((Task, RemoteTask))

# How a handle of each kind is made; each module that defines one adds it here.
makers: dict[ReceiverKind, Callable[[Address, str, int], Any]] = {ReceiverKind.TASK: RemoteTask.of}
