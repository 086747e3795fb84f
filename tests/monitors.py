"""What tests of the monitor share: a real one with a synthetic cluster, and clients that ask it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from tornado import websocket
from tornado.httpclient import HTTPRequest

from dispycos.httpd import packing, running
from dispycos.httpd.monitor import Monitor
from dispycos.httpd.running import Running
from tests.browser.feed import SyntheticSource

T = TypeVar("T")
LIMIT = 20.0  # seconds for what should take one


class Reply(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asker:
    """Asks one monitor."""

    def __init__(self, monitor: Running) -> None:
        self.running = monitor
        self.port = monitor.binding.port
        self.token = monitor.logins.token
        self.viewer = monitor.logins.viewer_token

    @property
    def monitor(self) -> Monitor:
        assert self.running.thread.monitor is not None
        return self.running.thread.monitor

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request on a connection of its own; `body` goes as JSON unless it is bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **more: Any) -> Any:
        """A value as JSON, with the operator's token."""
        reply = self.ask("GET", path, token=self.token, **more)
        assert reply.status == 200, reply
        return reply.json

    def act(self, action: str, *targets: str, seen: int = 10**9, token: str | None = None) -> Reply:
        body = {"action": action, "targets": list(targets), "seen": seen}
        return self.ask("POST", "/api/v1/actions", body, token or self.token, {"Origin": self.origin})

    def raw(self, data: bytes, wait: float = LIMIT) -> bytes:
        """What comes for these bytes until the monitor closes, or for `wait` seconds."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as sock:
            try:
                sock.sendall(data)
                return read_all(sock)
            except (ConnectionError, TimeoutError):
                return b""


def read_all(sock: socket.socket) -> bytes:
    """All that comes until the end, or the socket's time-out."""
    found = b""
    while True:
        try:
            data = sock.recv(65536)
        except (TimeoutError, ConnectionError):
            return found
        if not data:
            return found
        found += data


@contextmanager
def synthetic(nodes: int = 2, servers: int = 2, rate: float = 20.0, **options: Any) -> Iterator[Asker]:
    """A monitor of a cluster that is made up."""
    source = SyntheticSource(nodes, servers, rate, failures=0.1, churn=False)
    monitor = running.run(source, host=None, port=0, **options)
    try:
        yield Asker(monitor)
    finally:
        monitor.thread.stop("finished", "", 0.0)


class Viewer:
    """A page on a WebSocket: the rows that it would show."""

    def __init__(self, connection: websocket.WebSocketClientConnection) -> None:
        self.connection = connection
        self.hello: dict[str, Any] = {}
        self.bye: dict[str, Any] = {}
        self.seq = -1
        self.rows: dict[str, dict[str, dict[str, Any]]] = {}  # topic -> id -> values
        self.numbers: dict[str, int] = {}
        self.kinds: list[tuple[str, str]] = []  # (type, topic) of all messages
        self.logs: dict[str, list[Any]] = {}

    @classmethod
    async def open(cls, asker: Asker, *topics: str, token: str | None = None, **more: Any) -> Viewer:
        """Log in and look at these topics."""
        viewer = cls(await connect(asker))
        login = {"type": "login", "login": token or asker.token, "epoch": "", "since": -1, "topics": topics}
        await viewer.say(**{**login, **more})
        return viewer

    async def say(self, **message: Any) -> None:
        await self.connection.write_message(json.dumps(message))

    async def hear(self) -> dict[str, Any] | None:
        """The next message, folded in; None: closed."""
        async with asyncio.timeout(LIMIT):
            data = await self.connection.read_message()
        if data is None:
            return None
        message: dict[str, Any] = packing.unpack(data) if isinstance(data, bytes) else json.loads(data)
        self._fold(message)
        return message

    def _fold(self, message: dict[str, Any]) -> None:
        kind, topic = message["type"], message.get("topic", "")
        self.kinds.append((kind, topic))
        if kind == "hello":
            self.hello = message
        elif kind == "bye":
            self.bye = message
        elif kind == "tick":
            self.seq = message["seq"]
            self.numbers = dict.fromkeys(self.numbers, self.seq)
        elif kind == "snapshot":
            columns = message["columns"]
            letters = {"c": "client", "n": "node", "s": "server", "t": "task", "e": "event"}
            self.rows[topic] = {
                row: dict(
                    zip(columns["cluster" if row == "cluster" else letters[row[0]]], values, strict=True)
                )
                for row, values in message["rows"].items()
            }
            self.numbers[topic] = message["to"]
        elif kind == "delta":
            assert message["from"] == self.numbers[topic], "a gap"
            for group in message["changes"]:
                for row, values in group["rows"].items():
                    self.rows[topic].setdefault(row, {}).update(zip(group["fields"], values, strict=True))
            for row in message.get("gone", ()):
                self.rows[topic].pop(row, None)
            self.numbers[topic] = message["to"]
        self.logs.setdefault(topic, []).extend(message.get("log", []))

    async def until(self, condition: Callable[[Viewer], T]) -> T:
        """Hear messages until `condition(self)` is true at the end of an update, and answer it."""
        deadline = time.monotonic() + LIMIT
        while True:
            message = await self.hear()
            assert message is not None, f"closed: {self.connection.close_code} {self.connection.close_reason}"
            if message["type"] in ("tick", "bye") and (found := condition(self)):
                return found
            assert time.monotonic() < deadline, f"waited {LIMIT} s; {self.rows.keys()} at {self.seq}"

    async def closed(self) -> tuple[int | None, str | None]:
        """Hear until the connection is closed; its code and reason."""
        while await self.hear() is not None:
            pass
        self.connection.close()
        return self.connection.close_code, self.connection.close_reason

    async def close(self) -> None:
        """Close it, and wait until it is."""
        self.connection.close()
        while await self.connection.read_message() is not None:
            pass


async def connect(asker: Asker, headers: dict[str, str] | None = None) -> websocket.WebSocketClientConnection:
    request = HTTPRequest(f"ws://127.0.0.1:{asker.port}/api/v1/live", headers=headers or {})
    return await websocket.websocket_connect(request)


def play(body: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine to its end, with a limit."""

    async def limited() -> T:
        async with asyncio.timeout(3 * LIMIT):
            return await body()

    return asyncio.run(limited())
