"""What `dispycos top` is told by a monitor: a connection that is kept up, its messages folded into a model.

I/O half. Layer 8. Rows MO-26, MO-31, MO-59, MO-61.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import Callable
from typing import Any

from tornado import websocket
from tornado.httpclient import HTTPError, HTTPRequest

from dispycos.httpd import asking, packing
from dispycos.httpd.asking import Link
from dispycos.terminal.model import Model

FIRST_PAUSE = 0.5  # seconds before it is tried again, doubled each time ...
LONGEST_PAUSE = 5.0  # ... up to this
CONNECT_WITHIN = 10.0  # seconds
STALE_TICKS = 3  # missing so many updates means that nothing is heard (MO-59)
_MAX_MESSAGE = 64 * 1024 * 1024  # bytes of one that is taken
_REFUSED = 4001  # the code for who is not known there


class Refused(OSError):
    """There is no use in trying again; the text says what to do."""


class Subscription:
    """Runs until it is cancelled, refused, or the program has said that it ends.

    where    answers the link; asked each time, since a program that is started again has another one.
    changed  called when there is something new to show.
    """

    def __init__(self, where: Callable[[], Link], model: Model, changed: Callable[[], None]) -> None:
        self.link = where()
        self.live = False
        self.trouble = ""  # why it is not
        self._where = where
        self._model = model
        self._changed = changed
        self._topics: list[str] = []
        self._socket: websocket.WebSocketClientConnection | None = None

    def watch(self, topics: list[str]) -> None:
        """Look at these from now on."""
        if topics != self._topics:
            self._topics = topics
            self._model.watch(topics)
            self._say(type="topics", topics=topics)

    def check(self) -> None:
        """Say so if nothing was heard for too long; called now and then."""
        model = self._model
        if self.live and time.time() - model.heard > STALE_TICKS * model.tick + 0.5:
            self._trouble("nothing is heard")

    async def run(self) -> None:
        """Refused: the monitor will not have us."""
        pause, model = FIRST_PAUSE, self._model
        while not model.ended:
            heard = model.heard
            try:
                await self._talk()
            except ssl.SSLCertVerificationError as exc:
                raise Refused(str(asking.untrusted(self.link, exc))) from None
            except (OSError, HTTPError, websocket.WebSocketError) as exc:
                if isinstance(exc, Refused):
                    raise
                if not model.heard:
                    raise Refused(asking.silence(self.link, exc)) from None
                self._trouble("no answer: the program has probably ended")
            pause = FIRST_PAUSE if model.heard != heard else min(2 * pause, LONGEST_PAUSE)
            if not model.ended:
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))
            try:
                self.link = self._where()
            except OSError:
                pass  # its note is gone with it: the place stays the best guess

    async def _talk(self) -> None:
        scheme = "wss" if self.link.scheme == "https" else "ws"
        request = HTTPRequest(f"{scheme}://{self.link.place}/api/v1/live", connect_timeout=CONNECT_WITHIN)
        socket = await websocket.websocket_connect(request, max_message_size=_MAX_MESSAGE)
        self._socket = socket
        model = self._model
        try:
            self._say(
                type="login",
                login=self.link.token,
                epoch=model.epoch,
                since=model.seq if set(self._topics) <= set(model.topics) else -1,
                topics=self._topics,
            )
            while (message := await socket.read_message()) is not None:
                self._hear(packing.unpack(message) if isinstance(message, bytes) else json.loads(message))
            if socket.close_code == _REFUSED:
                raise Refused(str(asking.stranger(self.link)))
            if model.bye is None:
                self._trouble(socket.close_reason or "the connection broke")
        finally:
            self._socket = None
            socket.close()

    def _hear(self, message: dict[str, Any]) -> None:
        missed = self._model.handle(message, time.time())
        if missed in self._topics:
            self._say(type="snapshot", topic=missed)
        if message["type"] in ("tick", "bye"):
            self.live, self.trouble = message["type"] == "tick", ""
            self._changed()

    def _say(self, **message: Any) -> None:
        if self._socket is not None:
            try:
                self._socket.write_message(json.dumps(message))
            except websocket.WebSocketClosedError:
                pass  # `_talk` sees that, too, and connects again

    def _trouble(self, text: str) -> None:
        self.live, self.trouble = False, f"{text}; trying again"
        self._changed()
