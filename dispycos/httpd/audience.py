"""The audience: browsers that watch now, and the bytes that are sent to them.

Each tick and topic is encoded and compressed once; whoever stands at the same number gets the
same bytes (MO-28). A browser that is slow, hidden or behind gets one difference from its own last
number; what can't be sent now is merged, never queued (MO-30).

The thread of the monitor only. I/O half. Layer 7. Rows MO-26 to MO-32.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from dispycos.httpd import packing, topics
from dispycos.httpd.topics import UnknownTopic
from dispycos.httpd.view import View

MAX_UNSENT = 1024 * 1024  # bytes that wait in a browser's socket; beyond it ticks are skipped
STALLED = 30.0  # seconds without progress, then it is closed
GAP_WINDOW = 10.0  # seconds between two requests for a snapshot that count as one trouble

# Close codes that the page understands.
NOT_LOGGED_IN = 4001
LOGGED_OUT = 4002
TOO_MANY = 4003
BAD_MESSAGE = 4004
STALLED_CODE = 4008
ENDED = 4009


class Wire(Protocol):
    """The connection to a browser."""

    def post(self, data: bytes | str) -> asyncio.Future[None]:
        """Send a message, text or bytes; done when the system has taken it. ConnectionError if closed."""

    def close_with(self, code: int, reason: str) -> None:
        """Close it, by force if it does not take that."""


@dataclass(slots=True, eq=False)
class Browser:
    """One that has logged in."""

    wire: Wire
    role: str
    session: str  # its credential: closed when that is revoked
    source: str  # its address
    interval: float  # seconds between updates; 0: each tick
    numbers: dict[str, int]  # topic -> number of the model that it has; -1: nothing yet
    due: float = 0.0  # when it gets its next update
    unsent: int = 0  # bytes that wait in its socket
    moved: float = 0.0  # when its socket last took something
    gap: float = 0.0  # when it last missed something

    @property
    def stalled(self) -> bool:
        return self.unsent > MAX_UNSENT


@dataclass(slots=True)
class Figures:
    """What was done for browsers so far; for tests, metrics and the bench."""

    encodings: int = 0  # snapshots and differences that were encoded
    messages: int = 0
    bytes: int = 0
    skipped: int = 0  # ticks that a browser could not take
    gaps: int = 0  # browsers that missed something twice within GAP_WINDOW
    stalled: int = 0  # browsers that were closed for that


@dataclass(slots=True)
class Audience:
    """All browsers of one monitor. `clock` is everywhere what the function of that name answers."""

    view: View
    hello: dict[str, Any]  # what each is told first, beside its role and the number of the model
    clock: Callable[[], float]  # seconds that only go forward
    browsers: dict[Browser, None] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)
    _cached: dict[tuple[str, int], bytes | None] = field(default_factory=dict)
    _cached_at: int = -1

    # What is sent.

    def packed(self, topic: str, since: int) -> bytes | None:
        """A topic for one who has the number `since`; None: nothing new. UnknownTopic."""
        view = self.view
        if since >= 0 and not view.changes.reaches(since):
            since = -1
        if since == view.seq:
            return None
        if self._cached_at != view.seq:
            self._cached.clear()
            self._cached_at = view.seq
        key = (topic, since)
        if key not in self._cached:
            made = topics.snapshot(view, topic) if since < 0 else topics.delta(view, topic, since)
            if made is not None:
                self.figures.encodings += 1
            self._cached[key] = None if made is None else packing.pack(made)
        return self._cached[key]

    def greeting(self, role: str, now: float) -> dict[str, Any]:
        """The first message to a browser."""
        return {"type": "hello", "seq": self.view.seq, "role": role, "time": now, **self.hello}

    def tick(self, now: float) -> dict[str, Any]:
        """The last message of an update: all topics are at this number now."""
        return {"type": "tick", "seq": self.view.seq, "time": round(now, 3)}

    # Browsers.

    def join(self, browser: Browser, now: float, clock: float) -> None:
        """It has logged in: greet it and send what it wants to see."""
        self.browsers[browser] = None
        browser.moved = clock
        self.send(browser, packing.text(self.greeting(browser.role, now)), clock)
        self.update(browser, now, clock)

    def leave(self, browser: Browser) -> None:
        self.browsers.pop(browser, None)

    def watch(self, browser: Browser, wanted: Iterable[str], since: int = -1) -> None:
        """From now on it looks at these topics; those it has already go on where they are."""
        browser.numbers = {topic: browser.numbers.get(topic, since) for topic in wanted}

    def missed(self, browser: Browser, topic: str, clock: float) -> bool:
        """It found a gap and wants a snapshot. True: the second one in a short time."""
        if topic in browser.numbers:
            browser.numbers[topic] = -1
        again = clock - browser.gap < GAP_WINDOW
        browser.gap = clock
        self.figures.gaps += again
        return again

    def broadcast(self, now: float, clock: float, slack: float) -> None:
        """Update whoever is due.

        slack  seconds: who is due before the next tick is nearer is due now.
        """
        for browser in list(self.browsers):
            if browser.unsent and clock - browser.moved > STALLED:
                self.figures.stalled += 1
                self.drop(browser, STALLED_CODE, "it did not take what was sent to it")
            elif browser.due <= clock + slack:
                if browser.stalled:
                    self.figures.skipped += 1
                else:
                    self.update(browser, now, clock)

    def update(self, browser: Browser, now: float, clock: float) -> None:
        """Send a browser what it misses."""
        browser.due = clock + browser.interval
        for topic, number in list(browser.numbers.items()):
            try:
                data = self.packed(topic, number)
            except UnknownTopic as error:
                del browser.numbers[topic]
                gone = {"type": "gone", "topic": topic, "text": str(error)}
                self.send(browser, packing.text(gone), clock)
                continue
            if data is not None:
                self.send(browser, data, clock)
            browser.numbers[topic] = self.view.seq
        self.send(browser, packing.text(self.tick(now)), clock)

    def send(self, browser: Browser, data: bytes | str, clock: float) -> asyncio.Future[None] | None:
        """Hand a message to a browser's socket; done when it is written. None: the browser has gone."""
        size = len(data)
        try:
            written = browser.wire.post(data)
        except ConnectionError:
            self.leave(browser)
            return None
        self.figures.messages += 1
        self.figures.bytes += size
        if browser.unsent == 0:
            browser.moved = clock
        browser.unsent += size

        def done(future: asyncio.Future[None]) -> None:
            browser.unsent -= size
            browser.moved = self.clock()
            if not future.cancelled() and future.exception() is not None:
                self.leave(browser)

        written.add_done_callback(done)
        return written

    def drop(self, browser: Browser, code: int, reason: str) -> None:
        """Close a browser's connection."""
        self.leave(browser)
        browser.wire.close_with(code, reason)

    def log_out(self, session: str) -> None:
        """A session was ended: whoever used it is out."""
        for browser in [browser for browser in self.browsers if browser.session == session]:
            self.drop(browser, LOGGED_OUT, "logged out")

    async def say_goodbye(self, bye: dict[str, Any], now: float, within: float) -> None:
        """A last state and `bye` for each; waits until all have it, at most so many seconds."""
        clock = self.clock()
        last = []
        for browser in list(self.browsers):
            if not browser.stalled:
                self.update(browser, now, clock)
            last.append(self.send(browser, packing.text(bye), clock))
        written = [future for future in last if future is not None]
        if written:
            await asyncio.wait(written, timeout=within)
        for browser in list(self.browsers):
            self.drop(browser, ENDED, "the program ended")
