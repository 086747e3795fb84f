"""Lanes: the threads of one end that do what the other end asks. First come, first served in each."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from dispycos.net.link import Link
from dispycos.net.resting import REST_AFTER
from dispycos.net.waiting import Waiting
from dispycos.objects import wire

log = logging.getLogger("dispycos")

# Seconds for which an idle lane goes on reading for itself; then it sleeps until it is woken.
LINGER: Final = 0.02

MOST: Final = 1000  # lanes of one connection


class Job(Protocol):
    """What is to be done."""

    def run(self) -> None:
        """Do it, and answer. Raises nothing."""

    def stop(self) -> None:
        """End it, if it runs; it is not done if it was about to begin."""

    def refuse(self, reason: str) -> None:
        """Answer that it will not be done."""


class Worker:
    """Jobs that one thread does, one after the other.

    waiting  is woken when there are more.
    """

    def __init__(self, waiting: Waiting) -> None:
        self.jobs: deque[Job] = deque()
        self.waiting = waiting

    def put(self, job: Job) -> None:
        """Do it after those before it."""
        self.jobs.append(job)
        self.waiting.wake()

    def withdraw(self, job: Job) -> bool:
        """Do not do it; False if it does not wait here."""
        try:
            self.jobs.remove(job)
        except ValueError:
            return False
        job.refuse("it was cancelled before it began")
        return True

    def do(self) -> None:
        """Do the first, if there is one, in this thread."""
        try:
            job = self.jobs.popleft()
        except IndexError:
            return  # it was cancelled
        job.run()


class Lane(Worker):
    """One thread of the connection's own.

    retire  asked when there was nothing to do for a while: True ends the thread. None: it sleeps on.
    """

    def __init__(self, link: Link, name: str, retire: Callable[[Lane], bool] | None = None) -> None:
        super().__init__(Waiting())
        self._link = link
        self._retire = retire
        self._closed = False
        self._last = False  # what waits is done, and then it ends
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread when it has done what it does now."""
        self._closed = True
        self.waiting.wake()

    def finish(self) -> None:
        """End the thread when it has done what was put into the lane before."""
        self._last = True
        self.waiting.wake()

    def _run(self) -> None:
        while not self._closed and (self.jobs or not self._last):
            if not self.jobs and not self._link.wait(self.waiting, self._has_work, LINGER):
                if self._sleep():
                    return
                continue
            try:
                self.do()
            except BaseException as exc:
                _break(self._link, exc)

    def _sleep(self) -> bool:
        # Until somebody wakes it; True if that took too long.
        if self._retire is None:
            self.waiting.sleep(-1)
            return False
        until = time.monotonic() + REST_AFTER
        while not self._has_work():
            rest = until - time.monotonic()
            if rest <= 0:
                return self._retire(self)
            self.waiting.sleep(rest)
        return False

    def _has_work(self) -> bool:
        return bool(self.jobs) or self._closed or self._last


def _run_alone(link: Link, job: Job) -> None:
    try:
        job.run()
    except BaseException as exc:
        _break(link, exc)


def _break(link: Link, error: BaseException) -> None:
    # A bug of ours: rather no connection than somebody who waits for an answer that nobody gives.
    log.error("an error in a job, which ends the connection", exc_info=error)
    link.close(f"an error of this end: {type(error).__name__}", 0)


class Lanes:
    """The lanes of one connection, made when they are first named.

    main   takes a function for the main thread to call; None: there is nobody who would.
    rests  a lane's thread ends when it has nothing to do; the next job of the lane gets another one.
    """

    def __init__(
        self,
        link: Link,
        name: str,
        main: Callable[[Callable[[], None]], None] | None,
        rests: bool = False,
    ) -> None:
        self._link = link
        self._rests = rests
        self._name = name
        self._main = main
        self._lock = threading.Lock()
        self._lanes: dict[int, Lane] = {}
        self._closed = False
        self._lent: list[Worker] = []  # who does what is for lane 0; the last one is it

    def lend(self, worker: Worker) -> None:
        """From now on it does the jobs of lane 0, instead of a thread of the lane's own."""
        with self._lock:
            self._lent.append(worker)

    def give_back(self, worker: Worker) -> None:
        """Whoever was lent lane 0 gets no more jobs; those that it has are done elsewhere."""
        with self._lock:
            self._lent.remove(worker)
        for job in worker.jobs:
            self.put(0, job)

    def put(self, number: int, job: Job) -> None:
        """Have a job done in the lane of this number, FRESH or MAIN."""
        if number == wire.FRESH:
            try:
                run = functools.partial(_run_alone, self._link, job)
                threading.Thread(target=run, name=f"{self._name}, fresh", daemon=True).start()
            except RuntimeError as exc:
                job.refuse(f"it gets no thread: {exc}")
        elif number == wire.MAIN:
            if self._main is None:
                job.refuse("there is no main thread that would do it")
            else:
                self._main(job.run)
        else:
            # Under the lock, so that no job gets into a lane that `stop` ended.
            try:
                with self._lock:
                    if number == 0 and self._lent and not self._closed:
                        self._lent[-1].put(job)
                        return
                    lane = self._lane(number)
                    if lane is not None:
                        lane.put(job)
                        return
                reason = f"there are {MOST} threads already" if not self._closed else "it is closed"
            except RuntimeError as exc:
                reason = f"it gets no thread: {exc}"
            job.refuse(reason)

    def _lane(self, number: int) -> Lane | None:
        lane = self._lanes.get(number)
        if lane is None and not self._closed and len(self._lanes) < MOST:
            retire = functools.partial(self._retire, number) if self._rests else None
            lane = self._lanes[number] = Lane(self._link, f"{self._name}, thread {number}", retire)
        return lane

    def _retire(self, number: int, lane: Lane) -> bool:
        # Under the lock, so that no job gets into a lane whose thread ends.
        with self._lock:
            if lane.jobs or self._lanes.get(number) is not lane:
                return False
            del self._lanes[number]
            return True

    def stop(self, number: int) -> None:
        """End a lane when it has done what it has; the next job for it gets a new thread."""
        with self._lock:
            lane = self._lanes.pop(number, None)
        if lane is not None:
            lane.finish()

    def cancel(self, job: Job) -> None:
        """Stop a job, whether it runs or waits."""
        with self._lock:
            workers = [*self._lanes.values(), *self._lent]
        if not any(worker.withdraw(job) for worker in workers):
            job.stop()

    def close(self) -> None:
        """End all."""
        with self._lock:
            self._closed = True
            lanes = list(self._lanes.values())
            self._lanes.clear()
        for lane in lanes:
            lane.close()

    def disown(self) -> None:
        """In a forked child: the threads are the parent's, and one of them may have had the lock."""
        self._lock = threading.Lock()
        self._lanes = {}
        self._closed = True
