"""Outcomes that do not fit into one message: said in several, or as failures (R-23).

Each limit of the wire holds for one message, so many outcomes that are said together may pass
one though none of them does alone. One that does alone can't reach the client at all: its
task has failed, and the client is told with what.

I/O half, for it pickles the exception. Layer 5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dispycos.errors import MessageTooLarge
from dispycos.messages import Outcomes
from dispycos.model import End
from dispycos.pickling import values


def smaller(message: Any, error: MessageTooLarge) -> list[Any]:
    """What a server says in the place of a message that `error` refused; [] if there is nothing."""
    if type(message) is not Outcomes:
        return []
    outcomes = message.outcomes
    if len(outcomes) > 1:
        half = len(outcomes) // 2
        first = Outcomes(message.number, outcomes[:half], message.spent)
        return [first, Outcomes(message.number + half, outcomes[half:], 0.0)]
    (outcome,) = outcomes
    if outcome.end is End.FAILED and outcome.value is None:
        return []
    value, text = values.dump_exception(MessageTooLarge(f"the result can't be sent: {error}"))
    failed = replace(outcome, end=End.FAILED, value=value, text=text)
    if outcome.end is not End.FINISHED:
        # It did not finish: why is in its text, and only the exception itself stays behind.
        failed = replace(outcome, value=None)
    return [Outcomes(message.number, [failed], message.spent)]
