"""Readers: which of a link's threads reads.

Whoever waits for a message reads the stream himself, so that no other thread has to be woken to
hand it over; others that wait meanwhile follow, and one of them reads when he stops. The link's
own thread reads while nobody waits, and gives way to who does.

I/O half. Layer 3. Rule N7.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from dispycos.net.ending import Ending
from dispycos.net.waiting import Waiting

# Seconds for which the link's own thread leaves reading to others after one of them has read:
# they come back sooner than that in a lively exchange, and find nobody to wake. While that goes on
# it looks less often: to look puts aside who reads, and reading by looking is what is fast.
PATIENCE: Final = 0.005
MOST_PATIENCE: Final = 0.02


class Readers:
    """Of one link.

    step    reads and delivers once, waiting at most so many seconds (None: for ever) for something to
            come; called only by who has the right to read.
    call    takes who reads out of its wait.
    """

    def __init__(
        self, ending: Ending, step: Callable[[float | None], None], call: Callable[[], None]
    ) -> None:
        self._ending = ending
        self._step = step
        self._call = call
        # Its one item is the right to read: who takes it out reads. To delete an item is a single
        # instruction, so Ctrl-C never comes between having the right and knowing it; it may as a
        # function returns, so each place that takes it out does so itself.
        self._turn = [None]
        self.reader = 0  # ident of the thread that reads
        self._visits = 0  # reads by other threads than the link's own
        self._followers: deque[Waiting] = deque()  # threads that wait while another one reads
        self._own = 0  # ident of the link's own thread
        self._idle = Waiting()  # the link's own thread, while others read or did so just now
        self._parked = False  # the link's own thread waits for the one that reads to stop

    def wait(self, waiting: Waiting, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Until `ready()`, which somebody who calls `waiting.wake()` made true; what it is at the end.

        False after `timeout` seconds, or when nothing more will come. Meanwhile this thread may
        read, and deliver to others.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        rest: float | None = None
        me = threading.get_ident()
        reads = followed = False
        try:
            while True:
                # Before the look: who finds the turn free need not look twice.
                if not reads and self._turn:
                    try:
                        del self._turn[0]
                        reads = True
                    except IndexError:
                        pass  # another thread was faster
                    else:
                        self.reader = waiting.reads = me
                        waiting.stir = self._call
                        self._visits += 1
                if ready():
                    return True
                if self._ending.told:
                    return ready()
                if deadline is not None and (rest := deadline - time.monotonic()) <= 0:
                    return False
                if reads or self.reader == me:  # this time, or around it
                    self._step(rest)
                else:
                    followed = True
                    self._follow(waiting, -1 if rest is None else rest)
        finally:
            if reads:
                waiting.reads = self.reader = 0
                self._turn.append(None)
            # The turn may also have come to a thread that did not take it.
            if (reads or followed) and (self._followers or self._parked) and self._turn:
                self._call_next()

    def read(self, quiet: Callable[[], bool] | None) -> bool:
        """Read while nobody else does: the link's own thread. Until the link is over, or may rest (True).

        quiet  takes a step, and says whether nothing came for so long that it may; None: it never may.
        It takes no turn away from threads that come and go: to be woken by it would cost them more
        than the reading.
        """
        me = self._own = threading.get_ident()
        seen = self._visits
        patience = PATIENCE
        while not self._ending.is_told():
            if seen != self._visits:
                seen = self._visits
                self._idle.sleep(patience)
                patience = min(2 * patience, MOST_PATIENCE)
            elif self._turn:
                try:
                    del self._turn[0]
                except IndexError:
                    continue  # another thread was faster
                self.reader = me
                try:
                    while not (self._ending.is_told() or self._followers):
                        if quiet is None:
                            self._step(None)
                        elif quiet():
                            return True
                finally:
                    seen = -1  # to who follows, the first turn
                    patience = PATIENCE
                    self.reader = 0
                    self._turn.append(None)
                    self._call_next()
            else:
                self._park()
                seen = -1
        return False

    def wake_own(self) -> None:
        """The link's own thread looks whether the link is over."""
        self._idle.wake()

    def wake_followers(self) -> None:
        """Who waits while another one reads looks whether the link is over."""
        for waiting in list(self._followers):
            waiting.wake()

    def _follow(self, waiting: Waiting, seconds: float) -> None:
        self._followers.append(waiting)
        try:
            # Whoever reads may have stopped before it could see us.
            if not self._turn:
                if self.reader == self._own:
                    self._call()
                waiting.sleep(seconds)
        finally:
            self._followers.remove(waiting)

    def _call_next(self) -> None:
        if self._followers:
            try:
                self._followers[0].wake()
            except IndexError:
                pass  # it gave up meanwhile
        elif self._parked:
            self._parked = False
            self._idle.wake()

    def _park(self) -> None:
        # Until the thread that reads stops, however long that takes, also if the link is over: that
        # thread still delivers what came before.
        self._parked = True
        if not self._turn:
            self._idle.sleep(-1)
        self._parked = False
