"""The far end of a gateway: runs what it is sent until the near end is gone.

`dispycos.launch.boot` calls `main`, in a Python that may have nothing of ours but what travelled
with it. Imports here are what travels: the standard library and pure modules only.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from dispycos import forks
from dispycos.errors import RemoteProtocolError
from dispycos.gateways import plain, wire
from dispycos.gateways.channel import Channel
from dispycos.gateways.exchange import Exchange
from dispycos.gateways.execmodel import ExecModel
from dispycos.gateways.failure import describe
from dispycos.gateways.order import Order
from dispycos.gateways.threads import Threads
from dispycos.launch.beginning import meet_near_end
from dispycos.model import Buffer
from dispycos.net.stream import Stream

# Seconds for code that is interrupted because the near end is gone; then the process ends all the same.
GRACE: Final = 3.0

_TAKING: Final = 1.0  # seconds for it to take what came before the end, until it is interrupted
_ENDING: Final = 0.1  # seconds for it to end by itself once it has
_GLANCE: Final = 0.005  # seconds between looks whether it has
_AGAIN: Final = 0.2  # seconds between looks whether it was interrupted


class Tasks(Protocol):
    """What runs generator functions and `async def`."""

    @property
    def busy(self) -> int: ...

    def begin(self, call: Callable[[], Any], done: Callable[[BaseException | None], object]) -> None:
        """Run it as a task, and say how it ended; any thread."""
        ...

    def close(self) -> None:
        """End them all."""
        ...


def main(reader: int, writer: int, options: dict[str, Any]) -> None:
    """Serve the stream with these descriptors; returns when the near end is gone."""
    serve(reader, writer, options, None)


def serve(reader: int, writer: int, options: dict[str, Any], tasks: Tasks | None) -> None:
    """As `main`, with something that runs tasks."""
    # It may have come ignored, from a program in the background; here it ends code when the near end goes.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stream, meeting = meet_near_end(reader, writer, options)
    FarEnd(stream, meeting, options, tasks).serve()


def settle(options: dict[str, Any]) -> None:
    """Take up the working folder, the priority and the environment that the specification names."""
    for name, value in options.get("env", {}).items():
        os.environ[name] = value
    folder = options.get("chdir")
    if folder:
        folder = os.path.expanduser(folder)
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
    if options.get("nice") and hasattr(os, "nice"):
        os.nice(int(options["nice"]))


class FarEnd:
    """What remote code sees as `channel.gateway`."""

    def __init__(self, stream: Stream, meeting: Any, options: dict[str, Any], tasks: Tasks | None) -> None:
        self.id = options.get("id", "")
        self.execmodel = ExecModel(options.get("execmodel", "thread"))
        self._tasks = tasks
        self._threads = Threads(self.execmodel.backend)
        self._exchange = Exchange(self, stream, meeting, first=2, asked=self._asked, lost=self._lost)

    def __repr__(self) -> str:
        return f"<far end of gateway {self.id!r}>"

    def newchannel(self) -> Channel:
        """A channel that leads to the near end, once it is sent there."""
        return self._exchange.channel()

    @property
    def _channelfactory(self) -> Exchange:
        return self._exchange

    def serve(self) -> None:
        """Run code in this thread, as the execution model says, until the near end is gone."""
        self._exchange.link.start("dispycos gateway")
        self._threads.run()
        if self._tasks is not None:
            self._tasks.close()
        self._exchange.link.join(GRACE)

    def _asked(self, kind: int, channel: Channel, tail: Buffer) -> None:
        if kind == wire.STATUS:
            known = [number for number in self._exchange.channels() if number != channel.id]
            busy = self._threads.busy + (self._tasks.busy if self._tasks is not None else 0)
            channel.send({"numchannels": len(known), "numexecuting": busy})
            channel.close()
            return
        try:
            order = Order(*plain.unpack(tail, self._exchange.known))
        except TypeError:
            raise RemoteProtocolError("an order of another form than this end knows") from None
        channel.begin()
        if kind == wire.ASIDE:
            # The process waits for its end, so that it can take down what it started.
            aside = threading.Thread(
                target=lambda: self._execute(channel, order)(), name="dispycos aside", daemon=False
            )
            aside.start()
            return
        self._threads.put(lambda: self._execute(channel, order), channel.finish)

    def _execute(self, channel: Channel, order: Order) -> Callable[[], object]:
        # What tells the near end that it is done.
        try:
            with forks.parent_goes_on():
                waits = order.run(channel)
        except BaseException as exc:
            return _ending(channel, exc)
        if waits is None:
            return _ending(channel, None)
        if self._tasks is None:
            text = f"{order.function} runs as a task: open the gateway with execmodel=task for it"
            return lambda: channel.finish(text)
        self._tasks.begin(waits, lambda error: _ending(channel, error)())
        return lambda: None

    def _lost(self, reason: str) -> None:
        # By the thread that reads the link. Code that waits for a channel has its EOFError; other
        # code in the main thread is interrupted; whatever does not end is ended.
        watch = threading.Timer(GRACE, os._exit, (1,))
        watch.daemon = True
        watch.start()
        if self._threads.close():
            threading.Thread(target=self._interrupt, name="dispycos interrupt", daemon=True).start()

    def _interrupt(self) -> None:
        self._let_take(lambda: self._threads.main_busy)
        # A signal that comes right before the main thread begins to wait does not end that wait; so
        # again, as long as the thread stands where it stood.
        stood = _main_stands()
        while self._threads.main_busy and _main_stands() == stood:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except OSError:
                os._exit(1)
            time.sleep(_AGAIN)

    def _let_take(self, busy: Callable[[], bool]) -> None:
        # Code takes the items first that came before the end, and the most of it ends then.
        last = time.monotonic() + _TAKING
        until = time.monotonic() + _ENDING
        while busy() and time.monotonic() < min(until, last):
            if self._exchange.unread:
                until = time.monotonic() + _ENDING
            time.sleep(_GLANCE)


def _main_stands() -> tuple[int, int]:
    # Frame and instruction of the main thread.
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    return id(frame), frame.f_lasti


def _ending(channel: Channel, error: BaseException | None) -> Callable[[], object]:
    # Code that receives until the other end is closed has done what it was to do.
    usual = error is None or (isinstance(error, EOFError) and channel.isclosed())
    text = "" if usual or error is None else describe(error)
    return lambda: channel.finish(text)
