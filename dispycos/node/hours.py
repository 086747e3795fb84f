"""Service hours: when clients are served, by the time of day (DN-24).

Hours run from `start` to `stop`, when no new tasks are taken, and on to `end`, when running
ones are ended; then nothing until the next start, past midnight too. The wall clock is read
again every half minute, so that a clock that jumps is believed soon (R-25).

I/O half. Layer 5.
"""

from __future__ import annotations

import re
import time

from dispycos.node.events import Hours
from dispycos.records import record

LOOK_EVERY = 30.0  # seconds between looks at the clock
_DAY = 24 * 60


@record
class ServiceTimes:
    """Minutes of the day; None: not given."""

    start: int
    stop: int | None
    end: int | None

    def at(self, minute: int) -> Hours:
        """What holds at this minute of the day."""
        passed = (minute - self.start) % _DAY
        end = _DAY if self.end is None else self._after_start(self.end)
        stop = end if self.stop is None else self._after_start(self.stop)
        if passed < stop:
            return Hours.OPEN
        return Hours.CLOSED if passed < end else Hours.ENDED

    def now(self) -> Hours:
        """What holds now, by this machine's local time."""
        return self.at(minute_now())

    def _after_start(self, minute: int) -> int:
        return (minute - self.start) % _DAY or _DAY


def minute_now() -> int:
    """The present minute of the day, local time."""
    local = time.localtime()
    return local.tm_hour * 60 + local.tm_min


def service_times(start: str | None, stop: str | None, end: str | None, now: int) -> ServiceTimes | None:
    """The times of the options, each HH:MM; None if none was given. ValueError says what is wrong.

    now  minute of the day that stands for a start that was not given.
    """
    if start is None and stop is None and end is None:
        return None
    if stop is None and end is None:
        raise ValueError("--service_start needs --service_stop or --service_end")
    times = ServiceTimes(
        now if start is None else minute_of(start),
        None if stop is None else minute_of(stop),
        None if end is None else minute_of(end),
    )
    both = times.stop is not None and times.end is not None
    if both and times._after_start(times.end or 0) < times._after_start(times.stop or 0):
        raise ValueError(f"--service_end {end} comes before --service_stop {stop}")
    return times


def minute_of(text: str) -> int:
    """The minute of the day of HH:MM. ValueError says what else `text` is."""
    found = re.fullmatch(r"(\d{1,2}):(\d{2})", text)
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError(f"{text!r} is no time of day HH:MM")
    return int(found[1]) * 60 + int(found[2])
