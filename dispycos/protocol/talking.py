"""What anyone says to anyone: who I am, and what is for a task or channel of yours.

Pure. Layer 0.
"""

from __future__ import annotations

import enum
from typing import Any

from dispycos.model import Address, Location, Payload, Role
from dispycos.records import record


@record
class Introduction:
    """The first message of every session."""

    name: str
    roles: Role
    location: Location | None  # where I can be dialled
    python: str
    release: str  # version of dispycos


@record
class Deliver:
    """A message for one receiver (task or channel). ticket 0: no answer wanted."""

    to: int
    value: Payload
    ticket: int = 0


class Verb(enum.IntEnum):
    """What may be asked of a receiver."""

    THROW = 1  # value: an exception to raise at its current yield
    TERMINATE = 2  # end it
    MONITOR = 3  # value: Address of the task that wants its status
    RESULT = 4  # answer: its MonitorStatus, when it has ended
    ALIVE = 5  # answer: bool
    RESUME = 6  # value: update for a suspended task
    SUBSCRIBE = 7  # of a channel; value: the subscriber
    UNSUBSCRIBE = 8
    BROADCAST = 9  # of a channel: deliver to at least n; value: (message, n); answer: recipients
    CLOSE = 10  # of a channel
    HOT_SWAP = 11  # value: (function, args, kwargs)
    REGISTER = 12  # value: name
    UNREGISTER = 13
    CALL = 14  # of an RPS; value: (args, kwargs); answer: the Task, or a refusal


@record
class Ask:
    """Ask something of one receiver here."""

    to: int
    verb: Verb
    value: Payload
    ticket: int = 0


@record
class Answer:
    """The answer to the sender's `ticket`: a value, or an exception if `failed`."""

    ticket: int
    value: Payload | None  # None: the exception can't travel
    failed: bool = False
    text: str = ""  # the exception's traceback there


@record
class Undelivered:
    """N3: nobody here has this number (any more); the sender's monitors are told why."""

    to: int
    ticket: int
    reason: str


class ReceiverKind(enum.IntEnum):
    """What kind of receiver a name stands for."""

    TASK = 1
    CHANNEL = 2
    RPS = 3


@record
class Locate:
    """Who is registered under this name there? Answered when known, or at the timeout."""

    kind: ReceiverKind
    name: str
    ticket: int
    timeout: float


@record
class Located:
    """The answer to Locate: who has that name here; None: nobody had it in time."""

    ticket: int
    address: Address | None
    kind: ReceiverKind
    name: str = ""


@record
class RegisterAgain:
    """I don't know you (any more): say again who you are and what you hold (S3, R-37)."""

    reason: str


@record
class Goodbye:
    """I end this session by choice; nothing of mine is to be waited for."""

    reason: str


@record
class Deliveries:
    """Small messages in order, each as by Deliver, without a ticket and without buffers."""

    to: list[int]
    values: list[bytes]  # as many; the data of a Payload each


@record
class Invoke:
    """Call a method of an object here, in the order of its caller's calls; answered by Answer."""

    to: int  # the task that keeps the object
    method: str
    value: Payload  # (args, kwargs)
    ticket: int


@record
class Withdraw:
    """Nobody waits for the call of this ticket any more: it need not begin, or go on."""

    to: int
    ticket: int


class Change(enum.IntEnum):
    """What becomes of references to an object."""

    SENT = 1  # one left this process; without a token it may be read any number of times, at any time
    ARRIVED = 2  # one was read in this process, which had none
    AGAIN = 3  # one was read in this process, which has one already
    DROPPED = 4  # this process has none any more


@record
class Refer:
    """Who refers to an object is counted; it goes when nobody does."""

    to: int
    change: Change
    token: bytes  # of the one reference that was sent; b"" where it is not known


@record
class Dismiss:
    """End an object: its calls fail; answered when it is gone."""

    to: int
    ticket: int


@record
class FindNear:
    """Look for others near you that have one of these roles, and tell me (DS-08, KE-29)."""

    roles: Role


@record
class Near:
    """The answer to FindNear: one is near me, there. Said once for each that is found."""

    location: Location


NUMBERS: dict[int, type[Any]] = {
    1: Introduction,
    2: Deliver,
    3: Ask,
    4: Answer,
    5: Undelivered,
    6: Locate,
    7: Located,
    12: RegisterAgain,
    13: Goodbye,
    14: Deliveries,
    15: Invoke,
    16: Withdraw,
    17: Refer,
    18: Dismiss,
    108: FindNear,
    109: Near,
}
