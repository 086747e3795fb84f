"""A client's actions: what an operator asked for, as orders to the client's machines.

What may be asked for, and whether it still means what its user saw, stands in `httpd.actions`.

I/O half. Layer 7. Rows HT-14, MO-34.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispycos.client import orders
from dispycos.client.work import Work
from dispycos.httpd.source import Result
from dispycos.kernel.operation import Operation
from dispycos.model import End

# action -> its order, from a ticket and the key of a row, and what a Result says of it
_ORDERS: dict[str, tuple[Callable[[int, Any], Any], str]] = {
    "suspend_node": (
        lambda ticket, key: orders.Suspend(ticket, key, node=True),
        "its servers get no new tasks",
    ),
    "resume_node": (
        lambda ticket, key: orders.Resume(ticket, key, node=True),
        "its servers get tasks again",
    ),
    "close_node": (
        lambda ticket, key: orders.CloseNode(ticket, key, terminate=True),
        "its tasks end, its servers close, then it is given back",
    ),
    "restart_node": (
        lambda ticket, key: orders.RestartOneNode(ticket, key, terminate=True, setup=None),
        "its tasks end, its servers close, then it is prepared anew",
    ),
    "suspend_server": (
        lambda ticket, key: orders.Suspend(ticket, key, node=False),
        "it gets no new tasks",
    ),
    "resume_server": (
        lambda ticket, key: orders.Resume(ticket, key, node=False),
        "it gets tasks again",
    ),
    "close_server": (
        lambda ticket, key: orders.CloseOneServer(ticket, key, terminate=True, restart=False),
        "its tasks end, then its process",
    ),
    "restart_server": (
        lambda ticket, key: orders.CloseOneServer(ticket, key, terminate=True, restart=True),
        "its tasks end, then another process takes its place",
    ),
}


def act(work: Work | None, action: str, key: Any, role: str) -> Operation:
    """Carry out an action of `httpd.actions` in a client's turn; gives a Result. Any thread.

    work  None: it has none.
    key   of the row it is for.
    """
    done = Operation()
    if work is None or work.network.closed:
        done.complete(Result("gone", "the client's turn is over"))
    else:
        # Not here: an order takes the driver's lock, and the monitor's thread takes none of tasks.
        work.network.reactor.call(_carry_out, work, action, key, role, done)
    return done


def _carry_out(work: Work, action: str, key: Any, role: str, done: Operation) -> None:
    result = Result("refused", "it failed; the program's log says why")
    try:
        result = _end_task(work, key, role) if action == "terminate_tasks" else _order(work, action, key)
    finally:
        done.complete(result)


def _end_task(work: Work, number: int, role: str) -> Result:
    if work.driver.cancel(number, f"ended by an {role} of the web monitor", End.FAILED):
        return Result("done", "it gets KeyboardInterrupt, and is ended by force after the grace")
    return Result("gone", "it has ended before")


def _order(work: Work, action: str, key: Any) -> Result:
    make, done = _ORDERS[action]
    code, _ = work.driver.order(lambda ticket: make(ticket, key))
    return Result("refused", "nothing is known of it any more") if code else Result("done", done)
