"""Client with the arguments of the newest pycos, in their order.

I/O half. Layer 7. Rows CO-06, CO-08.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from dispycos.client import client
from dispycos.client.client import Accepted
from dispycos.compat import shipped
from dispycos.compat.allocation import DispycosNodeAllocate
from dispycos.compat.network import Pycos
from dispycos.kernel.operation import Operation
from dispycos.kernel.task import Task
from dispycos.model import Location
from dispycos.pickling.code import Prelude


class Client(client.Client):
    """Run tasks on the nodes of a cluster; see `dispycos.Client` for what the arguments mean.

    nodes, node_allocations  are judged in this order; a node that none of them decides about is used.

    Where a Task was asked for and none can come, None is given.
    """

    def __init__(
        self,
        components: Any,
        nodes: Iterable[Any] = (),
        status_task: Task | None = None,
        node_setup: Callable[..., Any] | None = None,
        server_setup: Callable[..., Any] | None = None,
        disable_nodes: bool = False,
        disable_servers: bool = False,
        pulse_interval: float | None = None,
        node_allocations: Iterable[Any] = (),
        ping_interval: float | None = None,
        restart_servers: bool = False,
        zombie_period: float | None = None,
        abandon_zombie_nodes: bool = False,
    ) -> None:
        rules = [_rule(node) for node in (*nodes, *node_allocations)]
        super().__init__(
            components
            if isinstance(components, Sequence) and not isinstance(components, str)
            else [components],
            pulse_interval,
            [*rules, DispycosNodeAllocate("*")] if rules else (),
            status_task,
            node_setup,
            server_setup,
            bool(disable_nodes),
            bool(disable_servers),
            bool(restart_servers),
            bool(abandon_zombie_nodes),
            ping_interval=ping_interval,
            zombie_period=zombie_period,
        )
        sent = replace(self._settings.components, preludes=(Prelude(shipped.enter),))
        self._settings = replace(
            self._settings,
            components=sent,
            send_ahead=False,  # programs talk at once with the Task that they get
        )

    def schedule(self, location: Location | str | None = None, timeout: float | None = None) -> Operation:
        """Yield this: 0 when it is this client's turn; see `dispycos.Client.schedule`."""
        Pycos.instance()  # as the program made it, or as it is by default
        return super().schedule(location, timeout)

    def rtask(self, gen: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Operation:
        """Yield this: a Task that runs on any server; None if none can come."""
        return _task_or_none(super().rtask(gen, *args, **kwargs))

    def rtask_at(
        self, where: Location | str, gen: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Operation:
        """Yield this: a Task that runs at a server or node; None if none can come."""
        return _task_or_none(super().rtask_at(where, gen, *args, **kwargs))

    def io_rtask(self, gen: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Operation:
        """Yield this: a Task that mostly waits, on any server; None if none can come."""
        return _task_or_none(super().io_rtask(gen, *args, **kwargs))

    def io_rtask_at(
        self, where: Location | str, gen: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Operation:
        """Yield this: a Task that mostly waits, at a server or node; None if none can come."""
        return _task_or_none(super().io_rtask_at(where, gen, *args, **kwargs))

    run = rtask
    run_at = rtask_at
    run_async = io_rtask
    run_async_at = io_rtask_at

    def restart_node(self, node: Location | str, *setup_args: Any, terminate: bool = False) -> Accepted:
        """Close its servers, run node_setup again, with `setup_args` if given, and start new ones."""
        return super().restart_node(node, terminate, *setup_args)

    def node_allocate(self, node_allocate: Any) -> Accepted:
        """One more rule for nodes."""
        return super().node_allocate(_rule(node_allocate))


def _rule(node: Any) -> Any:
    return DispycosNodeAllocate(node) if isinstance(node, str) else node


def _task_or_none(asked: Operation) -> Operation:
    answer = Operation()

    def answered(done: Operation) -> None:
        error = done.exception()
        if error is not None:
            answer.fail(error)
        else:
            made = done.result()
            answer.complete(made if isinstance(made, Task) else None)

    asked.add_done_callback(answered)
    return answer
