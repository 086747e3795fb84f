"""Runners: one drives one machine.

A Runner hands events to its machine, carries out what the machine answers and calls `tick`
when the machine's next deadline has come. The actions that all machines share (`events`) are
the runner's; the others go to `perform`. In validating runs it has the machine check itself after
every event (R-62).

I/O half. Layer 4.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from dispycos import validation
from dispycos.errors import MessageTooLarge
from dispycos.events import Dial, Forget, Heard, Note, Say, StopDialling
from dispycos.net.alarm import Alarm
from dispycos.net.endpoint import Endpoint
from dispycos.net.reactor import Reactor

log = logging.getLogger("dispycos")


class Machine(Protocol):
    """The shape of every machine; see `events`."""

    def handle(self, event: Any, now: float) -> list[Any]: ...
    def tick(self, now: float) -> list[Any]: ...
    def next_deadline(self) -> float | None: ...
    def check(self) -> None: ...


class Runner:
    """Feeds one machine, from any thread.

    perform  carries out an action of the machine's own; called without the lock, in the
             thread that fed the event, in the order of the actions.
    lock     held while the machine is asked; one that several runners or other callers of
             the machine share, or None for one of its own.
    first    called with all actions of an event before anything of them is said, under the lock: for
             what must be on disk by then.
    urgent   what the machine says goes ahead of all else that is said to the same peer: for
             machines that say little, and nothing long, but must be heard in time (R-73).
    smaller  messages to say in the place of one that MessageTooLarge refused, and so on until
             they fit; []: there are none. Then the session with that peer ends, since its two
             ends no longer agree on what was said (R-75).
    """

    def __init__(
        self,
        machine: Machine,
        reactor: Reactor,
        endpoint: Endpoint,
        perform: Callable[[Any], None],
        *,
        lock: threading.Lock | None = None,
        urgent: bool = False,
        smaller: Callable[[Any, MessageTooLarge], list[Any]] = lambda message, error: [],
        first: Callable[[list[Any]], None] | None = None,
    ) -> None:
        self.machine = machine
        self._reactor = reactor
        self._endpoint = endpoint
        self._perform = perform
        self._lock = lock or threading.Lock()
        self._urgent = urgent
        self._smaller = smaller
        self._first = first
        self._alarm = Alarm(reactor, self._tick)
        self._stopped = False

    def feed(self, event: Any) -> None:
        """Let something happen to the machine."""
        self.carry_out(self.ask(self.machine.handle, event))

    def ask(self, step: Callable[..., list[Any]], *args: Any, flush: bool = True) -> list[Any]:
        """Run `step(*args, now)`, a method of the machine, and say what it has to say.

        Answers all actions; `carry_out` does the others.

        flush  False: the caller writes what was said, with `write_dirty`.
        """
        if self._stopped:
            return []
        with self._lock:
            if validation.ON and args and type(args[0]) is Heard:
                validation.compare(self.machine, args[0].peer, args[0].message)
            actions = step(*args, time.monotonic())
            if validation.ON:
                validation.check(self.machine, args)
            queued = False
            if actions:
                if self._first is not None:
                    self._first(actions)
                # Under the lock, so that what two threads have to say goes out in the order in
                # which the machine said it.
                queued = self._queue(actions)
            deadline = self.machine.next_deadline()
        if queued and flush:
            self._endpoint.flush()
        if deadline is not None:
            self._alarm.set(deadline)
        return actions

    def carry_out(self, actions: list[Any]) -> None:
        """Do what the machine answered beside its messages.

        All of it, whatever goes wrong with one: the machine counts on each. The first fault
        of `perform` is raised when the others are done.
        """
        fault: Exception | None = None
        for action in actions:
            if type(action) is not Say:
                try:
                    self._carry_out(action)
                except Exception as exc:
                    if fault is None:
                        fault = exc
                    else:
                        log.error("carrying out %s failed", type(action).__name__, exc_info=exc)
        if fault is not None:
            raise fault

    def _queue(self, actions: list[Any]) -> bool:
        queued = False
        for action in actions:
            if type(action) is Say:
                try:
                    queued |= self._endpoint.queue(action.peer, action.message, self._urgent)
                except Exception as exc:
                    queued |= self._not_queued(action, exc)
        return queued

    def _not_queued(self, action: Say, error: Exception) -> bool:
        """A message can't be said: its receiver must not wait for it, nor act without it."""
        if isinstance(error, MessageTooLarge):
            parts = self._smaller(action.message, error)
            if parts:
                return self._queue([Say(action.peer, part) for part in parts])
        self._endpoint.could_not_say(action.peer, action.message, error)
        return False

    def _carry_out(self, action: Any) -> None:
        kind = type(action)
        if kind is Dial:
            self._reactor.call(self._dial, action)
        elif kind is StopDialling:
            self._reactor.call(self._endpoint.stop_dialling, action.location, self)
        elif kind is Forget:
            self._reactor.call(self._endpoint.forget, action.peer, action.reason)
        elif kind is Note:
            log.log(getattr(logging, action.level.upper()), "%s", action.text)
        else:
            self._perform(action)

    def _dial(self, action: Dial) -> None:
        self._endpoint.dial(action.location, reservation=action.reservation, owner=self)

    def _tick(self) -> None:
        self.carry_out(self.ask(self.machine.tick))

    def stop(self) -> None:
        """Nothing is fed or carried out any more; reactor thread only."""
        self._stopped = True
        self._alarm.stop()
