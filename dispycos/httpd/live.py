"""The WebSocket: a browser logs in with its first message, then gets what it looks at.

Nothing is sent before it has logged in, and nothing of what it says is believed to be more than
the few messages that are described in docs/monitor-wire.md.

I/O half. Layer 7. Rows MO-26, MO-27, MO-30, MO-31, SE-37, SE-42, SE-104.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

from tornado import websocket

from dispycos.httpd import strictjson
from dispycos.httpd.audience import BAD_MESSAGE, NOT_LOGGED_IN, TOO_MANY, Browser
from dispycos.httpd.door import Door
from dispycos.httpd.handlers import Base
from dispycos.httpd.monitor import Monitor
from dispycos.httpd.strictjson import BadJson
from dispycos.httpd.topics import MAX_TOPICS

log = logging.getLogger("dispycos.monitor")

LOGIN_WITHIN = 5.0  # seconds
SOCKET_BUFFER = 256 * 1024  # bytes that the system may hold for one browser: a stalled one is noticed
MAX_MESSAGE = 16 * 1024
MAX_RATE = 20  # messages a second
CLOSE_WITHIN = 2.0  # seconds for a browser to take a close, then its socket is closed
SHORTEST_INTERVAL = 0.2
LONGEST_INTERVAL = 3600.0


class Live(websocket.WebSocketHandler, Base):
    """One browser."""

    public = True  # its credential comes in its first message

    def initialize(self, monitor: Monitor, door: Door) -> None:  # type: ignore[override]  # one argument more
        super().initialize(monitor)
        self._door = door
        self._stream: Any = None
        self._browser: Browser | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._joining: asyncio.Future[None] | None = None
        self._second = 0.0  # when the present count of messages began
        self._count = 0

    def prepare(self) -> None:
        super().prepare()
        self._stream = getattr(self.request.connection, "stream", None)

    def check_origin(self, origin: str) -> bool:
        return True  # seen before any handler was chosen, see `app.Application`

    def get_compression_options(self) -> None:
        return None  # what is sent is compressed once, for all (MO-28)

    def open(self) -> None:
        if self._stream is not None and self._stream.socket is not None:
            self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        self._timer = asyncio.get_running_loop().call_later(
            LOGIN_WITHIN, self.close_with, NOT_LOGGED_IN, "no login came"
        )

    def on_message(self, message: str | bytes) -> None:
        now = self.monitor.clock()
        if now - self._second >= 1.0:
            self._second, self._count = now, 0
        self._count += 1
        if self._count > MAX_RATE:
            self._refuse_browser(TOO_MANY, "too many messages")
            return
        try:
            said = strictjson.load(message) if isinstance(message, str) else None
            if not isinstance(said, dict):
                raise BadJson("a message is a JSON object in a text frame")
            if self._browser is None:
                self._login(said, now)
            else:
                self._hear(self._browser, said, now)
        except BadJson as error:
            self._refuse_browser(BAD_MESSAGE, str(error))

    def _login(self, said: dict[str, Any], now: float) -> None:
        credential, epoch, since = said.get("login"), said.get("epoch", ""), said.get("since", -1)
        wanted, interval = _topics(said), _interval(said)
        if not isinstance(credential, str) or not isinstance(epoch, str) or not _is_number(since):
            raise BadJson("the first message is a login: login, epoch, since, topics")
        monitor = self.monitor
        role = monitor.logins.role(credential, now)
        if role is None:
            monitor.refusals["credential"] += 1
            monitor.logins.failed(self.source, now)
            self._refuse_browser(NOT_LOGGED_IN, "log in again")
            return
        if self._timer is not None:
            self._timer.cancel()
        if epoch != monitor.epoch or since < 0 or not monitor.view.changes.reaches(since):
            since = -1
        self._door.knows(self._stream)
        self._browser = browser = Browser(self, role, credential, self.source, interval, {})
        monitor.audience.watch(browser, wanted, since)
        self._joining = asyncio.ensure_future(self._join(browser))

    async def _join(self, browser: Browser) -> None:
        monitor = self.monitor
        await monitor.freshen(tasks=True, look=browser.numbers)
        if self._browser is browser:
            monitor.audience.join(browser, monitor.wall(), monitor.clock())
            monitor.wake()
            if monitor.bye is not None:
                await monitor.audience.say_goodbye(monitor.bye, monitor.wall(), CLOSE_WITHIN)

    def _hear(self, browser: Browser, said: dict[str, Any], now: float) -> None:
        kind = said.get("type")
        audience = self.monitor.audience
        if kind == "topics":
            audience.watch(browser, _topics(said))
            browser.due = now
            self.monitor.wake()
        elif kind == "interval":
            browser.interval = _interval(said)
            browser.due = now + browser.interval
        elif kind == "snapshot":
            topic = said.get("topic")
            if not isinstance(topic, str):
                raise BadJson("a request for a snapshot names its topic")
            if audience.missed(browser, topic, now):
                log.warning("a browser at %s missed updates twice in a short time", self.source)
            browser.due = now
        else:
            raise BadJson("there is no message of that type")

    def _refuse_browser(self, code: int, reason: str) -> None:
        self.monitor.refusals["websocket"] += 1
        self._leave()
        self.close_with(code, reason)

    def on_close(self) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        browser, self._browser = self._browser, None
        if browser is not None:
            self.monitor.audience.leave(browser)

    # As the audience's wire.

    def post(self, data: bytes | str) -> asyncio.Future[None]:
        try:
            return asyncio.ensure_future(self.write_message(data, binary=isinstance(data, bytes)))
        except websocket.WebSocketClosedError:
            raise ConnectionError("the browser has gone") from None

    def close_with(self, code: int, reason: str) -> None:
        self.close(code, reason)
        asyncio.get_running_loop().call_later(CLOSE_WITHIN, self._cut)

    def _cut(self) -> None:
        if self._stream is not None:
            self._stream.close()


def _topics(said: dict[str, Any]) -> list[str]:
    wanted = said.get("topics")
    if not isinstance(wanted, list) or not all(
        isinstance(topic, str) and len(topic) <= 40 for topic in wanted
    ):
        raise BadJson("topics is a list of texts")
    if len(set(wanted)) > MAX_TOPICS:
        raise BadJson(f"a browser may look at {MAX_TOPICS} topics at a time")
    return list(dict.fromkeys(wanted))


def _interval(said: dict[str, Any]) -> float:
    seconds = said.get("seconds", said.get("interval", 0))
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise BadJson("an interval is a number of seconds")
    if seconds and not SHORTEST_INTERVAL <= seconds <= LONGEST_INTERVAL:
        raise BadJson(f"an interval is 0 (live) or {SHORTEST_INTERVAL} to {LONGEST_INTERVAL:g} seconds")
    return float(seconds)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
