"""Why a task ended, or waits: the sentences (R-32, S6).

Each says what happened, the evidence, where, when and what to do, in 20 to 4,096 characters.

Pure. Layer 2.
"""

from __future__ import annotations

from dispycos.client.submission import Submission
from dispycos.model import End

MIN_CHARS = 20

WHAT = {
    End.SERVER_LOST: "was lost",
    End.NODE_LOST: "was lost with its node",
    End.ABANDONED: "was given up with its silent node",
}


def fitting(text: str, limit: int) -> str:
    """The text, cut in its middle where it is too long: its end is as telling as its start."""
    if len(text) < MIN_CHARS:
        text = f"{text or 'no reason was given'} (nothing more is known)"
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def lost(task: Submission, where: str, end: End, why: str, sure: bool, now: float) -> str:
    """An attempt had begun, or may have, on a server that is gone."""
    what = WHAT.get(end, "was closed")
    running = "while it ran" if sure else "after it was handed"
    return (
        f"{where} {what} {running} {task!r} (attempt {task.attempt} of {1 + task.retries}, "
        f"handed over {now - task.since:.3f} s before): {why}"
    )


def not_again(task: Submission, end: End, only_there: bool) -> str:
    if end not in WHAT:
        return ""
    if only_there:
        return "; not tried again: it was meant for that server only"
    if not task.retries:
        return "; not tried again, since a task may have effects (client.options(retries=...) allows it)"
    return f"; not tried again: all {1 + task.retries} attempts are used"


def poison(task: Submission) -> str:
    deaths = "; ".join(f"{number}: {text}" for number, text in enumerate(task.deaths, 1))
    return (
        f"{task!r} is tried no more, for {len(task.deaths)} servers died while it ran "
        f"(max_worker_deaths={task.max_worker_deaths}); look at what it does to its process. Deaths: {deaths}"
    )
