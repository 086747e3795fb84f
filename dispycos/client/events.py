"""What `client.fleet` tells `client.dispatch`: which servers exist and which may be used.

`fleet` answers these as actions; the client's I/O half hands each to `dispatch` as an event,
in order, before it performs the next action. `dispatch` never hears of nodes otherwise: the
node's incarnation only groups servers (load is counted per node, D2).

Life of a server: ServerUsable; then any of Suspended / Resumed / Suspect / Back and
LeaseChanged; perhaps ServerClosing; ServerGone once. A server that never became usable is
never mentioned. NoServers is said of all that do not come.

Pure. Layer 2.
"""

from __future__ import annotations

from dispycos.client.submission import Submission
from dispycos.model import End, Incarnation
from dispycos.records import record


@record
class ServerUsable:
    """It is set up: tasks may go there, under this lease.

    first  CPU tasks for this server that it has before any other, in this order.
    """

    server: Incarnation
    node: Incarnation
    lease: int
    first: tuple[Submission, ...] = ()


@record
class ServerSuspended:
    """No new tasks there until ServerResumed; requests for it wait (DC-24)."""

    server: Incarnation


@record
class ServerResumed:
    server: Incarnation


@record
class ServerSuspect:
    """It or its node is not heard: no new tasks until ServerBack; what it has stays (R-12)."""

    server: Incarnation


@record
class ServerBack:
    server: Incarnation


@record
class LeaseChanged:
    """Submit under this lease number from now on (S2)."""

    server: Incarnation
    lease: int


@record
class ServerClosing:
    """No more tasks there, for ever. terminate: end its tasks now; else it finishes what it has.

    `dispatch` recalls what has not begun, and says Finish or cancels to make it so; the
    server says Finished when nothing is left.
    """

    server: Incarnation
    terminate: bool


@record
class NoServers:
    """There is no node, and none will come: what waits for any server is refused.

    reason   why; "": some may come again, and what is submitted waits for them.
    lasting  so is what comes later; False: what comes later waits.
    """

    reason: str
    lasting: bool = True


@record
class ServerGone:
    """It is gone for good: attempts begun there end with `end`, the others are placed again.

    begun, begun_io  positions of the last CPU and I/O task that began there; -1: nobody
                     knows, so all that it was handed counts as begun.
    """

    server: Incarnation
    reason: str
    begun: int
    begun_io: int
    end: End
