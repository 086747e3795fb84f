"""What `DISPYCOS_CHAOS` may say: faults, when they strike, and how likely.

    seed=7               what chance decides, it decides alike in each run
    drop:pulse=0.2       such messages are lost, with this probability
    dup:result=0.1       such messages are heard twice
    delay:result=50ms    such messages come later, and what the same peer says after them
    cut:session@2s       all connections of this process break
    kill:server@30s      such processes kill themselves
    clock:+3600s@5s      the wall clock jumps
    fail:write(journal)=ENOSPC@5s   from then on nothing can be written there

A time is `@2s` after the start, once, or `@every=2s`, or `@poisson=30s`: again and again, at
random, so long apart on average. Only faults that the world could make are known: a session brings
each message exactly once (N2), so none is lost but such as are said again and again anyway.

Pure. Layer 3. Rules R-63, SE-122.
"""

from __future__ import annotations

import errno
import re
from typing import Any, Final

from dispycos.errors import DispycosError
from dispycos.messages import (
    Counts,
    Deliver,
    Deliveries,
    LeaseRenewed,
    NodeReport,
    Outcomes,
    OutcomesSeen,
    Pulse,
    Recall,
    Recalled,
    Renew,
    ServerEnded,
    ServerStarted,
    Submit,
)
from dispycos.model import Role
from dispycos.records import record

VARIABLE: Final = "DISPYCOS_CHAOS"
ANNOUNCE: Final = "announce"  # datagrams of discovery, which are no messages

# What messages of a kind are called.
KINDS: Final[dict[str, tuple[type[Any], ...]]] = {
    "pulse": (Pulse,),
    "renew": (Renew, LeaseRenewed),
    "report": (NodeReport,),
    "counts": (Counts,),
    "result": (Outcomes,),
    "seen": (OutcomesSeen,),
    "submit": (Submit,),
    "recall": (Recall, Recalled),
    "started": (ServerStarted,),
    "ended": (ServerEnded,),
    "message": (Deliver, Deliveries),
    ANNOUNCE: (),
}
# Said again and again, so that one that is lost is made good by the next.
REPEATED: Final = frozenset({"pulse", "renew", "report", "counts", ANNOUNCE})
# Said once: whoever hears it a second time is to notice.
NOTICED: Final = REPEATED | {"result", "seen"}
WRITES: Final = frozenset({"journal", "file"})
MAX_SECONDS: Final = 1e9  # some thirty years: what is longer is a mistake

_FORMS = "seed=, drop:, dup:, delay:, cut:session@, kill:, clock:, fail:write("
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class BadChaos(DispycosError, ValueError):
    """DISPYCOS_CHAOS can't be understood: nothing starts under faults that nobody named."""


@record
class When:
    """The moments at which something strikes."""

    seconds: float  # after the start, or between two
    repeated: bool = False
    random: bool = False  # `seconds` is their mean


@record
class Faults:
    """All that one value of the variable names."""

    seed: int = 0
    drop: dict[str, float] | None = None  # word of KINDS -> probability
    dup: dict[str, float] | None = None
    delay: dict[str, float] | None = None  # word of KINDS -> seconds
    cuts: tuple[When, ...] = ()
    kills: tuple[tuple[str, When], ...] = ()  # a word of `is_a`
    clock: tuple[tuple[float, When], ...] = ()  # seconds that the wall clock jumps
    writes: tuple[tuple[str, int, float], ...] = ()  # a word of WRITES, errno, seconds after the start

    @property
    def of_messages(self) -> bool:
        """Whether anything may happen to what is heard in a session."""
        named = {*(self.drop or ()), *(self.dup or ()), *(self.delay or ())}
        return bool(named - {ANNOUNCE})


ROLES: Final = ("server", "node", "scheduler", "client")


def is_a(role: str, roles: Role) -> bool:
    """Whether a process of these roles is meant by this word: a private scheduler is its client's."""
    if role == "scheduler":
        return bool(roles & Role.SCHEDULER) and not roles & Role.CLIENT
    return bool(roles & {"server": Role.SERVER, "node": Role.NODE, "client": Role.CLIENT}[role])


def parse(text: str) -> Faults:
    """What the variable's value means. BadChaos names the part that is not understood."""
    made = _Made()
    for part in text.split(","):
        made.take(part.strip())
    return Faults(
        made.seed,
        made.chances["drop"],
        made.chances["dup"],
        made.chances["delay"],
        tuple(made.cuts),
        tuple(made.kills),
        tuple(made.clock),
        tuple(made.writes),
    )


class _Made:
    """What is read so far."""

    def __init__(self) -> None:
        self.seed = 0
        self.chances: dict[str, dict[str, float]] = {"drop": {}, "dup": {}, "delay": {}}
        self.cuts: list[When] = []
        self.kills: list[tuple[str, When]] = []
        self.clock: list[tuple[float, When]] = []
        self.writes: list[tuple[str, int, float]] = []

    def take(self, part: str) -> None:
        if found := re.fullmatch(r"seed=(\d{1,18})", part):
            self.seed = int(found[1])
        elif found := re.fullmatch(r"(drop|dup|delay):(\w+)=([\w.]+)", part):
            self._message(part, *found.groups())
        elif found := re.fullmatch(r"cut:session@([\w.=]+)", part):
            self.cuts.append(_when(part, found[1]))
        elif found := re.fullmatch(r"kill:(\w+)@([\w.=]+)", part):
            if found[1] not in ROLES:
                raise _bad(part, f"{found[1]!r} is no process to kill: {_one_of(ROLES)}")
            self.kills.append((found[1], _when(part, found[2])))
        elif found := re.fullmatch(r"clock:([+-])([\w.]+)@([\w.=]+)", part):
            seconds = _seconds(part, found[2])
            self.clock.append((seconds if found[1] == "+" else -seconds, _when(part, found[3])))
        elif found := re.fullmatch(r"fail:write\((\w+)\)=(\w+)(?:@([\w.]+))?", part):
            self._write(part, *found.groups())
        else:
            raise _bad(part, f"it is none of {_FORMS}")

    def _message(self, part: str, verb: str, kind: str, value: str) -> None:
        known = {"drop": REPEATED, "dup": NOTICED, "delay": frozenset(KINDS)}[verb]
        if kind not in known:
            raise _bad(part, f"{verb} knows no {kind!r}: {_one_of(sorted(known))}")
        if verb == "delay":
            self.chances[verb][kind] = _seconds(part, value)
            return
        if not re.fullmatch(r"[01]|[01]?\.\d{1,9}", value) or float(value) > 1:
            raise _bad(part, f"{value!r} is no probability between 0 and 1")
        self.chances[verb][kind] = float(value)

    def _write(self, part: str, what: str, name: str, after: str | None) -> None:
        if what not in WRITES:
            raise _bad(part, f"{what!r} is nothing whose writing can fail: {_one_of(sorted(WRITES))}")
        if name not in errno.errorcode.values():
            raise _bad(part, f"{name!r} is no error of this system, such as ENOSPC")
        self.writes.append((what, getattr(errno, name), _seconds(part, after) if after else 0.0))


def _when(part: str, text: str) -> When:
    word, equals, time = text.rpartition("=")
    if equals and word not in ("every", "poisson"):
        raise _bad(part, f"{word!r} is no way to strike: @TIME, @every=TIME or @poisson=TIME")
    seconds = _seconds(part, time)
    if equals and seconds < 0.001:
        raise _bad(part, "what strikes again and again needs a millisecond between")
    return When(seconds, bool(equals), word == "poisson")


def _seconds(part: str, text: str) -> float:
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h)", text)
    if not found or (seconds := float(found[1]) * _UNITS[found[2]]) > MAX_SECONDS:
        raise _bad(part, f"{text[:40]!r} is no time such as 50ms, 2s, 5m or 1h")
    return seconds


def _one_of(words: Any) -> str:
    return "one of " + ", ".join(words)


def _bad(part: str, why: str) -> BadChaos:
    return BadChaos(f"{VARIABLE} has {part[:60]!r}: {why[:300]}; mend it or unset the variable")
