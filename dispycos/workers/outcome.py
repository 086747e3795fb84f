"""What a job came to, opened in the program that asked for it.

I/O half. Layer 7. Rows CW-06, CW-07, CW-17.
"""

from __future__ import annotations

from typing import Any

from dispycos.errors import RemoteError, TaskRejected
from dispycos.model import LOST, End, Outcome, Payload
from dispycos.pickling import values
from dispycos.workers.errors import WorkerLost

# CANCELLED: the worker was ended in order while the job ran; whoever cancels a job wants no outcome.
_WORKER_LOST = LOST | {End.CANCELLED}


def interruption(outcome: Outcome) -> str | None:
    """Why a job's worker was ended while the job ran; None: it was not.

    A job that raises KeyboardInterrupt itself answers so. One that gave no answer was interrupted.
    """
    kind, _, reason = outcome.text.rstrip().rpartition("\n")[2].partition(": ")
    return reason if outcome.end is End.FAILED and kind == "KeyboardInterrupt" else None


def opened(outcome: Outcome) -> tuple[Any, BaseException | None]:
    """The value of a job, or the exception that it raised or that stands for its loss."""
    end, text = outcome.end, outcome.text
    if end is End.FINISHED:
        try:
            assert outcome.value is not None
            return _answer(values.load(outcome.value))
        except Exception as error:
            error.add_note("the job has returned, but its result can't be loaded in this program")
            return None, error
    if end in _WORKER_LOST:
        # Who waits for it has no `client`: how to allow another attempt has another name here.
        return None, WorkerLost(text.replace("client.options(retries=...)", "retries=N"))
    if end is End.FAILED:
        return None, values.load_exception(outcome.value, text)
    return None, TaskRejected(text)


def _answer(answer: Any) -> tuple[Any, BaseException | None]:
    """As `workers.job` made it."""
    match answer:
        case (True, data, *buffers):
            return values.load(Payload(data, tuple(buffers))), None
        case (False, str(text), None):
            return None, RemoteError(text)
        case (False, str(text), data, *buffers):
            return None, values.load_exception(Payload(data, tuple(buffers)), text)
    raise TypeError(f"a worker answered with {type(answer).__name__}, which is no answer of a job")
