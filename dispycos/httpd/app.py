"""The application: addresses, names and limits put together, on a thread of its own.

I/O half. Layer 7. Rows MO-04, MO-05, SE-34, SE-35, SE-42.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
from collections.abc import Sequence
from typing import Any

from tornado import httputil, web

from dispycos import validation
from dispycos.httpd import live
from dispycos.httpd.door import Door
from dispycos.httpd.files import Page
from dispycos.httpd.handlers import ACTION_ROUTES, API, ROUTES, File, Nothing
from dispycos.httpd.login import Logins
from dispycos.httpd.monitor import Monitor, Options
from dispycos.httpd.origin import Names
from dispycos.httpd.source import Source
from dispycos.httpd.web_certificate import WebCertificate

log = logging.getLogger("dispycos.monitor")

_BODIES = frozenset({"POST"})  # the only method of ours that has one
START_WITHIN = 10.0  # seconds
BYE_WITHIN = 10.0  # seconds at most that browsers have for the last state (MO-60)


class Application(web.Application):
    """Every request is held against the names of this monitor before a handler is chosen."""

    def __init__(self, monitor: Monitor, names: Names) -> None:
        self._monitor = monitor
        self._names = names
        self._door: Door | None = None
        common = {"monitor": monitor}
        routes = [*ROUTES, *(ACTION_ROUTES if monitor.options.operators else ())]
        super().__init__(
            [(path, handler, common) for path, handler in routes],
            websocket_max_message_size=live.MAX_MESSAGE,
            websocket_ping_interval=30,
            websocket_ping_timeout=30,
            log_function=lambda handler: None,
            default_handler_class=Nothing,
            default_handler_args=common,
        )
        for path in monitor.pages:
            # The path as it stands: what looks like a pattern in a file's name is none.
            self.add_handlers(r".*", [(re.escape(path), File, common)])

    def open_live(self, door: Door) -> None:
        """Have the WebSocket's address know the door, and the door who speaks."""
        self._door = door
        self.add_handlers(r".*", [(f"{API}/live", live.Live, {"monitor": self._monitor, "door": door})])

    def find_handler(self, request: httputil.HTTPServerRequest, **kwargs: Any) -> Any:
        headers = request.headers
        if self._door is not None:
            self._door.spoke(getattr(request.connection, "stream", None))
        status = self._names.refusal(
            headers.get_list("Host"),
            headers.get_list("Origin"),
            headers.get_list("Sec-Fetch-Site"),
            request.uri or "",
        )
        if status is None and request.method in _BODIES:
            kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
            # No form and no multipart is ever parsed (SE-42).
            status = None if kind == "application/json" else 415
        if status is None:
            return super().find_handler(request, **kwargs)
        self._monitor.refusals[{403: "origin", 415: "type"}.get(status, "request")] += 1
        headers.pop("Content-Type", None)
        return self.get_handler_delegate(request, Nothing, {"monitor": self._monitor, "status": status})


class MonitorThread:
    """Runs one monitor on its own thread and loop."""

    def __init__(
        self,
        source: Source,
        logins: Logins,
        pages: dict[str, Page],
        options: Options,
        names: Names,
        sockets: Sequence[socket.socket],
        certificate: WebCertificate | None,
    ) -> None:
        self.monitor: Monitor | None = None
        self._made = (source, logins, pages, options)
        self._names = names
        self._sockets = sockets
        self._certificate = certificate
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="dispycos monitor", daemon=True)
        self._stop: asyncio.Event | None = None

    def start(self) -> Monitor:
        """Start it; what it fails with is raised here."""
        self._thread.start()
        self._started.wait(START_WITHIN)
        if self.monitor is None:
            raise self._error or RuntimeError(f"the monitor did not start in {START_WITHIN:g} s")
        return self.monitor

    def _run(self) -> None:
        validation.forbid_unpickling("the monitor", here_only=True)
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
            if self._started.is_set():
                # It shows things and does nothing: the program goes on without it (MO-05).
                log.exception("the web monitor has failed; the program goes on without it")
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        monitor = Monitor(*self._made)
        application = Application(monitor, self._names)
        certificate = self._certificate
        door = Door(application, ssl_options=certificate and certificate.context)
        application.open_live(door)
        door.add_sockets(self._sockets)
        monitor.source.watch(monitor.feed)
        ticking = asyncio.create_task(monitor.run())
        ticking.add_done_callback(_say_if_failed)
        renewing = asyncio.create_task(certificate.keep_renewed()) if certificate else None
        self.monitor = monitor
        self._started.set()
        await self._stop.wait()
        ticking.cancel()
        if renewing is not None:
            renewing.cancel()
        door.stop()
        await door.close_all_connections()

    def stop(self, reason: str, text: str, within: float) -> None:
        """Say goodbye to the browsers, at most so many seconds; then end. May be repeated."""
        loop, monitor, stop = self._loop, self.monitor, self._stop
        if loop is None or monitor is None or stop is None or not self._thread.is_alive():
            return

        async def goodbye() -> None:
            if within > 0:
                await monitor.end(reason, text, min(within, BYE_WITHIN))
            stop.set()

        saying = goodbye()
        try:
            asyncio.run_coroutine_threadsafe(saying, loop)
        except RuntimeError:
            saying.close()
            return  # it ended just now
        self._thread.join(within + 2.0)
        monitor.source.stop()


def _say_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the web monitor shows nothing new any more: its ticks failed", exc_info=task.exception())
