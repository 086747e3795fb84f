"""What a client and its servers say to each other.

Pure. Layer 0.
"""

from __future__ import annotations

from typing import Any

from dispycos.model import CodeHash, End, Outcome, Payload, TaskSpec
from dispycos.records import record

# The client says to a server.


@record
class SetUpServer:
    """I am your client. Run server_setup (None: nothing to run); answer ServerReady."""

    reservation: int
    setup: Payload | None


@record
class Define:
    """Code that later tasks name by this hash; goes ahead of its first use (D5)."""

    function: CodeHash
    code: Payload


@record
class Submit:
    """Run these, in order. Refused as a whole under a lease that is not the current one.

    The server numbers CPU tasks and I/O tasks it receives from 1, each kind by itself; the
    client counts in the same way as it hands them over. Such a number is a *position*.
    """

    lease: int
    tasks: list[TaskSpec]


@record
class Recall:
    """Give back what of these has not begun; answer Recalled (R-44)."""

    ids: list[int]


@record
class CancelTask:
    """End it: KeyboardInterrupt, `grace` seconds, then by force. Not begun: it never begins."""

    id: int
    attempt: int
    end: int  # End.CANCELLED, TIMED_OUT or FAILED: what its outcome shall be
    grace: float
    reason: str


@record
class OutcomesSeen:
    """Outcomes up to this number need not be kept any longer.

    The positions say how many tasks I had handed over before I said this: where they are more
    than the server received, some never arrived, and the server says Holding at once (R-68).
    """

    number: int
    position: int = -1  # of the last CPU task handed over; -1: not said
    position_io: int = -1


@record
class Finish:
    """No more tasks are coming: end when those you have are done (I/O tasks too if `await_io`)."""

    await_io: bool


# A server says to its client.


@record
class ServerReady:
    """server_setup is done: I take tasks."""

    pid: int
    name: str


@record
class SetUpFailed:
    """server_setup failed, and why: I take none."""

    reason: str


@record
class Outcomes:
    """How attempts ended, numbered from 1 by `number` of the first; kept until OutcomesSeen."""

    number: int
    outcomes: list[Outcome]
    spent: float  # seconds its CPU tasks ran since the last such message (D1)


@record
class Recalled:
    """These had not begun and never will here. What else was asked for stays."""

    ids: list[int]


@record
class SubmitRefused:
    """None of these was taken; `lease` is the one I hold (0: none)."""

    ids: list[int]
    lease: int
    reason: str


@record
class Holding:
    """What I hold, as of `received` tasks taken in (R-36); at each attachment and every 30 s."""

    received: int  # CPU tasks received so far (positions)
    received_io: int
    waiting: list[int]
    begun: list[int]
    ended: list[int]  # outcome sent and not yet seen


@record
class CloseRequest:
    """A task called dispycos_close_server or dispycos_close_node."""

    node: bool
    terminate: bool
    restart: bool


@record
class Finished:
    """Nothing is left here: my process may end."""

    reason: str = ""


@record
class Ending:
    """My process is about to be ended by force, for this task did not yield (DC-57)."""

    id: int
    attempt: int
    end: End  # CANCELLED or TIMED_OUT: how that task ends
    reason: str


NUMBERS: dict[int, type[Any]] = {
    80: SetUpServer,
    81: Define,
    82: Submit,
    83: Recall,
    84: CancelTask,
    85: OutcomesSeen,
    86: Finish,
    90: ServerReady,
    91: SetUpFailed,
    92: Outcomes,
    93: Recalled,
    94: SubmitRefused,
    95: Holding,
    96: CloseRequest,
    97: Finished,
    98: Ending,
}
