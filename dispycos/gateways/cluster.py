"""Gateways that are servers of a running cluster.

The far end is an I/O task of the server (`in_server`), so the scheduler, node and server know
nothing of gateways: it is placed, shown, cancelled and lost as any task. Its bytes travel as
messages of tasks in the client's own session with that server, and both ends of the stream prove a
key made for it.

I/O half. Layer 7.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Generator
from typing import Any, Final

from dispycos.client import client
from dispycos.config import Limits
from dispycos.errors import DispycosError, HostNotFound
from dispycos.gateways import in_server
from dispycos.gateways.execmodel import ExecModel
from dispycos.gateways.gateway import Gateway
from dispycos.gateways.task_stream import TaskStream
from dispycos.kernel.operation import Operation
from dispycos.kernel.task import Task
from dispycos.keyfile import throwaway
from dispycos.launch.launched import Launched
from dispycos.launch.spec import XSpec
from dispycos.model import Location, MonitorStatus
from dispycos.net.proof import prove
from dispycos.net.stream import Stream

_numbers = itertools.count(1)


def open_gateway(by: client.Client, where: Location | str) -> Operation:
    """As `gateways.client.Client.gateway` says."""
    opened = Operation()
    # A thread waits for it: opening is the exchange of a few messages.
    threading.Thread(
        target=_open, args=(by, where, opened), name="dispycos gateway opening", daemon=True
    ).start()
    return opened


def _open(by: client.Client, where: Location | str, opened: Operation) -> None:
    try:
        gateway = _opened(by, where)
    except BaseException as exc:
        opened.fail(exc)
    else:
        opened.complete(gateway)


class ServerGateway(Gateway):
    """A gateway into a server of the cluster; `exit` ends the gateway, never the server."""

    def __init__(self, far: _Far, launched: Launched) -> None:
        spec = XSpec("")
        spec.id = far.id
        self.begin(_Alone(), spec, launched)
        far.tell(self)

    def __repr__(self) -> str:
        return f"<ServerGateway {self.id!r} {self._exchange.link.over or 'open'}>"

    def lost(self, reason: str) -> None:
        """The task of the far end is over."""
        self._exchange.link.close(reason, 0.0)


class _Alone:
    """The group of a gateway that is in none."""

    execmodel: Final = ExecModel("thread")

    def left(self, gateway: Gateway) -> None:
        """Nobody counts it."""

    def makegateway(self, spec: str | XSpec | None = None) -> Gateway:
        raise ValueError("a gateway into a server opens no others: make a Group for them")


def _opened(by: client.Client, where: Location | str) -> ServerGateway:
    keyring = throwaway()
    far = _Far(by, where, keyring.own.reveal().hex())
    ours, theirs = socket.socketpair()
    stream = Stream.of_socket(theirs, private=True)
    far.begin(ours)
    try:
        meeting = prove(stream, keyring, Limits(), dialer=False, timeout=in_server.PROOF_TIME)
    except (DispycosError, OSError) as exc:
        stream.close()
        far.kill()
        far.wait(in_server.PROOF_TIME)
        raise HostNotFound(f"{where} did not become a gateway: {far.fate or exc}") from None
    return ServerGateway(far, Launched(stream, meeting, str(far.location), far.wait, far.kill))


class _Far:
    """The far end's task, and the task here that carries its bytes."""

    def __init__(self, by: client.Client, where: Location | str, key: str) -> None:
        self.id = f"{where}#{next(_numbers)}"
        self.fate = ""  # how it ended
        self._lock = threading.Lock()
        self._gateway: ServerGateway | None = None
        self._carrier = Task(self._carry)
        options = {"id": self.id, "key": key}
        task = by.io_rtask_at(where, in_server.gateway, self._carrier, options).result()
        if not isinstance(task, Task):
            self._carrier.terminate("it was not needed")
            raise HostNotFound(f"{where} did not become a gateway: {task.value}")
        self._task = task
        self.location = task.location

    def begin(self, ours: socket.socket) -> None:
        """Carry the bytes of this socket."""
        self._carrier.send(ours)

    def _carry(self, task: Any = None) -> Generator[Any, Any, Any]:
        task.set_daemon()
        ours = yield task.receive()
        other = self._task
        other.notify(task)
        other.send("begin")
        with contextlib.closing(TaskStream(ours)) as stream:
            status = yield stream.run(other, task)
            if isinstance(status, MonitorStatus):
                self._over(status)  # before its link sees no more than the end of its stream
                return
        while not isinstance(status, MonitorStatus):
            status = yield task.receive()
        self._over(status)

    def _over(self, status: MonitorStatus) -> None:
        fate = str(status.value)
        with self._lock:
            self.fate = fate
            gateway = self._gateway
        if gateway is not None:
            gateway.lost(fate)

    def tell(self, gateway: ServerGateway) -> None:
        """Whom to tell of its end."""
        with self._lock:
            self._gateway = gateway
            fate = self.fate
        if fate:
            gateway.lost(fate)

    def wait(self, timeout: float | None) -> bool:
        """Whether it ended within `timeout` seconds."""
        self._carrier.value(timeout)
        return not self._carrier.is_alive()

    def kill(self) -> None:
        """End it: as a task that is terminated."""
        self._task.terminate(f"gateway {self.id} was killed")
