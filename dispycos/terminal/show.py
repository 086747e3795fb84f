"""The show: keys, frames and signals of `dispycos top`, over its monitor's WebSocket.

The terminal is always given back as it was: at the end, at an error, and while the program is
stopped by Ctrl-Z.

I/O half. Layer 8. Rows MO-15, MO-59 to MO-61.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.control import Control

from dispycos.httpd.asking import Link
from dispycos.terminal import screen, texts
from dispycos.terminal.desk import Desk
from dispycos.terminal.keys import Keys
from dispycos.terminal.model import Model
from dispycos.terminal.subscription import Refused, Subscription

ESCAPE_AFTER = 0.1  # seconds without more, then an Esc was meant as such
REDRAW = 1.0  # seconds after which ages are drawn anew, also where nothing has come
SHORTEST = 0.05  # seconds between two frames: keys that repeat don't queue up drawings
_ENDS = ("SIGINT", "SIGTERM", "SIGHUP")


class Show:
    """One run of it."""

    def __init__(self, where: Callable[[], Link]) -> None:
        self._model = Model()
        self._desk = Desk()
        self._keys = Keys()
        self._console = Console()
        self._dirty = asyncio.Event()
        self._subscription = Subscription(where, self._model, self._dirty.set)
        self._escape: asyncio.TimerHandle | None = None
        self._refused = ""  # why the monitor will not have us any more
        self._before = termios.tcgetattr(0)

    async def run(self) -> str:
        """Until the person has seen enough; a line about the last state."""
        loop = asyncio.get_running_loop()
        self._subscription.watch(self._desk.topics)
        talking = asyncio.ensure_future(self._subscription.run())
        talking.add_done_callback(lambda _: self._dirty.set())
        for name in _ENDS:
            loop.add_signal_handler(getattr(signal, name), self._press, "interrupt")
        loop.add_signal_handler(signal.SIGWINCH, self._dirty.set)
        loop.add_signal_handler(signal.SIGTSTP, self._stop)
        loop.add_reader(0, self._typed)
        try:
            with self._screen():
                while not self._desk.over:
                    self._look_at(talking)
                    self._draw()
                    await self._something()
        finally:
            loop.remove_reader(0)
            talking.cancel()
            with contextlib.suppress(asyncio.CancelledError, Refused):
                await talking
        return self._last()

    def _look_at(self, talking: asyncio.Future[None]) -> None:
        self._subscription.check()
        if talking.done() and (error := talking.exception()) is not None:
            # What was seen stays to be looked at; without it there is nothing to stay for.
            if not isinstance(error, Refused) or self._model.cluster is None:
                raise error
            self._refused = str(error)

    async def _something(self) -> None:
        """Wait until there may be something new to draw."""
        await asyncio.sleep(SHORTEST)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REDRAW):
                await self._dirty.wait()
        self._dirty.clear()

    def _last(self) -> str:
        cluster = self._model.cluster
        if cluster is None:
            return f"nothing was heard of {self._subscription.link}"
        when = time.strftime("%H:%M:%S", time.localtime(self._model.heard))
        name = texts.clean(self._model.program)
        return f"{name}, {cluster['state']}, at {when}: tasks {texts.tasks_of(cluster)}"

    # The terminal.

    def _draw(self) -> None:
        # The terminal's word, not that of COLUMNS in the environment, which knows of no resizing.
        width, height = os.get_terminal_size(1)
        subscription = self._subscription
        link = screen.Link(subscription.link.place, subscription.live, self._refused or subscription.trouble)
        frame = screen.draw(self._desk, self._model, link, width, height, time.time())
        self._console.control(Control.home())
        self._console.print(frame, end="", soft_wrap=True, markup=False, highlight=False)

    @contextlib.contextmanager
    def _screen(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        tty.setcbreak(0, termios.TCSADRAIN)
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)

    def _leave(self) -> None:
        with contextlib.suppress(OSError, termios.error):  # a terminal that is gone
            self._console.show_cursor(True)
            self._console.set_alt_screen(False)
            sys.stdout.flush()
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    def _stop(self) -> None:
        """Ctrl-Z: be stopped as any program is, with the terminal as it was."""
        loop = asyncio.get_running_loop()
        self._leave()
        loop.remove_signal_handler(signal.SIGTSTP)
        os.kill(os.getpid(), signal.SIGTSTP)
        # Here again: somebody has said `fg`.
        loop.add_signal_handler(signal.SIGTSTP, self._stop)
        self._enter()
        self._dirty.set()

    # Keys.

    def _typed(self) -> None:
        try:
            data = os.read(0, 1024)
        except OSError:
            data = b""
        if not data:
            self._press("interrupt")  # the terminal is gone
            return
        if self._escape is not None:
            self._escape.cancel()
            self._escape = None
        for key in self._keys.feed(data):
            self._press(key)
        if self._keys.undecided:
            self._escape = asyncio.get_running_loop().call_later(ESCAPE_AFTER, self._settle)

    def _settle(self) -> None:
        self._escape = None
        for key in self._keys.settle():
            self._press(key)

    def _press(self, key: str) -> None:
        if key == "redraw":
            self._console.clear()
        self._desk.press(key, self._model, self._model.time(time.time()))
        self._subscription.watch(self._desk.topics)
        self._dirty.set()
