"""Placing: an object comes to live in a server, and its maker gets a RemoteObject.

A task of the client's stands for the object there: it is seen, counted, waited for and ended as
any I/O task is, and the end of either is the other's.

I/O half. Layer 5. Rules 3, N3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from dispycos.errors import PoisonTask, TaskCancelled, TaskRejected, Timeout
from dispycos.kernel import loop
from dispycos.kernel.operation import Operation
from dispycos.kernel.task import Task
from dispycos.model import Address, MonitorStatus, Status
from dispycos.net import remote
from dispycos.net.remote import RemoteTask
from dispycos.objects.exposure import Exposure, Table
from dispycos.objects.keeper import Keeper
from dispycos.objects.remote import RemoteObject
from dispycos.runtime import runtime

# Seconds until an object goes to which references were sent about: one that is read late, or
# twice because its task was placed again, is likely to come by then.
RELEASE_AFTER: Final = 60.0


def place(
    submit: Callable[..., Operation],
    exposure: Exposure,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    timeout: float | None,
    why_gone: Callable[[], str],
) -> Operation:
    """See `Submitter.object_at`.

    submit   runs a function as an I/O task where the object is to be.
    timeout  seconds for each call, and for the constructor.
    why_gone see `RemoteObject.comes_from`.
    """
    answer, asked = Operation(), Operation()
    opener = Task(_open, asked, answer, why_gone)
    try:
        asked.complete(submit(host, args, {**kwargs, "_host": (exposure, timeout, opener)}))
    except BaseException:
        opener.terminate("its object can't be sent")
        raise
    return answer


def _open(asked: Operation, answer: Operation, why_gone: Callable[[], str], task: Any = None) -> Any:
    """Give `answer` what becomes of it; in the client."""
    task.set_daemon()
    try:
        handle = yield (yield asked)
        if not isinstance(handle, Task):
            answer.fail(TaskRejected(str(handle.value)))
            return
        handle.notify(task)
        said = yield task.receive()
        if isinstance(said, RemoteObject):
            said.comes_from(why_gone)
            # The client knows sooner than its connections that a server died, and how.
            handle.notify(_Loss(said._at))  # type: ignore[arg-type]  # a monitor is who has send and is_alive
            answer.complete(said)
            return
        yield handle.result()
        answer.fail(TaskCancelled(f"{handle} ended before there was an object"))
    except Exception as exc:
        answer.fail(exc)
    except GeneratorExit:
        answer.fail(TaskCancelled("the program ended before there was an object"))
        raise


class _Loss:
    """In place of a monitor: calls that wait are told that what they ask is lost."""

    __slots__ = ("_at",)

    def __init__(self, at: RemoteTask) -> None:
        self._at = at

    def is_alive(self) -> bool:
        return True

    def send(self, status: MonitorStatus) -> int:
        carrier = remote.carrier
        # Of any other end its server has told those who wait.
        if carrier is not None and (status.type is Status.TaskAbandoned or status.type is PoisonTask):
            carrier.calls.lose(self._at, str(status.value))
        return 0


def host(*args: Any, _host: tuple[Exposure, float | None, Task], **kwargs: Any) -> Any:
    """The task that stands for the object, in its server."""
    exposure, timeout, opener = _host
    network = runtime.present
    task = loop.current_task()
    assert network is not None
    assert task is not None
    task._name = exposure.name
    calls, number = network.delivery.calls, task.number

    def release(later: bool) -> None:
        if later:
            network.reactor.later(RELEASE_AFTER, keeper.release_if_nobody)
        else:
            keeper.release_if_nobody()

    keeper = Keeper(exposure, network.kernel, network.delivery.load, release)
    why = f"{task} was ended"
    keeper.start(args, kwargs)
    try:
        try:
            table: Table = yield keeper.made.within(timeout)
        except TimeoutError:
            if keeper.made.done():
                raise  # the constructor's own
            raise Timeout(f"the constructor of {exposure.name} did not return in {timeout:g} s") from None
        calls.keep(number, keeper)
        opener.send(_reference(network.delivery, task, table, timeout))
        why = yield keeper.ended
    except KeyboardInterrupt as exc:
        # Its client closes, or somebody terminates it.
        why = str(exc) or why
        calls.close(number, why)
        keeper.close(why)
        yield keeper.gone
        raise
    finally:
        calls.close(number, why)
        keeper.close(why)
    yield keeper.gone


def _reference(delivery: Any, task: Task, table: Table, timeout: float | None) -> RemoteObject:
    address = Address(delivery.incarnation, delivery.location, task.number)
    return RemoteObject(RemoteTask.of(address, task.name, delivery.reservation), table, timeout)
