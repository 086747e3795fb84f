"""Requests: what each address of the monitor answers, and the rules that hold for all of them.

Every handler stands on `Base`: nothing is answered without a session or token, but for the page's
files, `/health` and the login itself; every answer, errors too, carries the same headers (SE-41).

I/O half. Layer 7. Rows HT-16, MO-32 to MO-35, SE-35 to SE-46.
"""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar

from tornado import web

from dispycos.httpd import answers, packing, strictjson
from dispycos.httpd.actions import BadAction, Wanted, read
from dispycos.httpd.login import OPERATOR
from dispycos.httpd.monitor import Monitor
from dispycos.httpd.strictjson import BadJson
from dispycos.httpd.topics import MAX_TOPICS, UnknownTopic

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# What a refusal says: nothing of the request comes back (SE-56).
TEXTS = {
    400: "bad request",
    401: "log in first: open the address that the program printed, or send its token as Bearer",
    403: "forbidden",
    404: "not found",
    405: "method not allowed",
    409: "not possible now",
    413: "too large",
    415: "the body must be application/json",
    429: "too many attempts; wait",
    500: "internal error",
}
POLL_HELD = 20.0  # seconds that a request for updates is held


class Base(web.RequestHandler):
    """What holds for every answer."""

    public = False  # True: answered without a session or token
    for_operators = False
    role: str = ""

    monitor: Monitor

    def initialize(self, monitor: Monitor) -> None:
        self.monitor = monitor

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    @property
    def source(self) -> str:
        """The address of whoever asks."""
        return str(self.request.remote_ip)

    @property
    def credential(self) -> str:
        """The session or token that the request shows; "" if none."""
        said = self.request.headers.get_list("Authorization")
        if len(said) != 1 or not said[0].startswith("Bearer "):
            return ""
        return said[0].removeprefix("Bearer ").strip()

    def prepare(self) -> None:
        if not self.public:
            self.role = self.admit(self.credential)
        if self.for_operators:
            self._must_act()

    def admit(self, credential: str) -> str:
        """The role of whoever shows this; answers 401 or 429 if it is none of ours."""
        role = self.monitor.logins.role(credential, self.monitor.clock()) if credential else None
        if role is not None:
            return role
        self.monitor.refusals["credential"] += 1
        # Who shows nothing guesses nothing.
        self._refuse(self.monitor.logins.failed(self.source, self.monitor.clock()) if credential else 0.0)
        raise web.HTTPError(401)

    def _refuse(self, wait: float) -> None:
        if wait:
            raise TooMany(wait)

    def _must_act(self) -> None:
        """An action comes from our own page, by somebody who may (SE-39)."""
        origin = self.request.headers.get("Origin")
        if self.role != OPERATOR or origin is None:
            # That a present Origin is ours was seen before any handler was chosen.
            raise web.HTTPError(403)

    def body_json(self) -> Any:
        """The request's body; answers 400 or 415 if it is no JSON of ours."""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise web.HTTPError(415)
        try:
            return strictjson.load(self.request.body)
        except BadJson as error:
            raise Refused(400, str(error)) from None

    def answer(self, value: Any) -> None:
        """Answer JSON."""
        self.set_header("Content-Type", "application/json")
        self.finish(packing.text(value))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        text = str(error) if isinstance(error, Refused) else TEXTS.get(status_code, TEXTS[400])
        if isinstance(error, TooMany):
            self.set_header("Retry-After", str(math.ceil(error.wait)))
        if status_code == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        self.answer({"error": text})

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        # What a request did wrong is counted; only what we did wrong is for the log.
        if not isinstance(value, web.HTTPError):
            super().log_exception(kind, value, trace)

    def compute_etag(self) -> str | None:
        return None


class Refused(web.HTTPError):
    """A refusal with a text of our own, which quotes nothing of the request."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status)
        self.text = text

    def __str__(self) -> str:
        return self.text


class TooMany(web.HTTPError):
    """Too many wrong credentials."""

    def __init__(self, wait: float) -> None:
        super().__init__(429)
        self.wait = wait  # seconds


class Nothing(Base):
    """What is asked for is not here, or may not be asked for so."""

    public = True

    def initialize(self, monitor: Monitor, status: int = 404) -> None:
        super().initialize(monitor)
        self._status = status

    def prepare(self) -> None:
        raise web.HTTPError(self._status)


class File(Base):
    """A file of the page."""

    public = True

    def get(self) -> None:
        page = self.monitor.pages[self.request.path]
        self.set_header("Content-Type", page.type)
        # Asked for anew each time, and answered by 304: a new release is never mixed with an old one.
        self.set_header("Cache-Control", "no-cache")
        self.set_header("ETag", page.etag)
        if page.etag in self.request.headers.get("If-None-Match", ""):
            self.set_status(304)
            self.finish()
        else:
            self.finish(page.data)


class Health(Base):
    """Whether the monitor answers, and nothing else (SE-46)."""

    public = True

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("ok")


class Login(Base):
    """A token for a session."""

    public = True

    def post(self) -> None:
        body = self.body_json()
        token = body.get("token") if isinstance(body, dict) and set(body) == {"token"} else None
        if not isinstance(token, str):
            raise Refused(400, "a login is an object with a token")
        now = self.monitor.clock()
        session = self.monitor.logins.login(token, now)
        if session is None:
            self.monitor.refusals["credential"] += 1
            self._refuse(self.monitor.logins.failed(self.source, now))
            raise web.HTTPError(401)
        self.answer({"session": session.key, "role": session.role, "epoch": self.monitor.epoch})


class Logout(Base):
    """The end of a session, and of what was opened with it."""

    def post(self) -> None:
        self.monitor.logins.logout(self.credential)
        self.monitor.audience.log_out(self.credential)
        self.answer({"ended": True})


class Data(Base):
    """JSON of the model, read only: an answer stands for one number of it (MO-33)."""

    about_tasks: ClassVar[bool] = False  # True: needs each task's row

    async def get(self, id: str = "") -> None:
        await self.monitor.freshen(tasks=self.about_tasks)
        etag = f'"{self.monitor.epoch}-{self.monitor.view.seq}"'
        self.set_header("ETag", etag)
        self.set_header("Cache-Control", "no-cache")
        if etag in self.request.headers.get("If-None-Match", ""):
            self.set_status(304)
            self.finish()
            return
        try:
            value = self.make(id)
        except answers.BadQuery as error:
            raise Refused(400, str(error)) from None
        if value is None:
            raise web.HTTPError(404)
        self.answer(value)

    def make(self, id: str) -> Any:
        """The answer; None: there is nothing of that id."""
        raise NotImplementedError

    def query(self) -> dict[str, str]:
        """The request's query; BadQuery for what is doubled or too long."""
        found: dict[str, str] = {}
        for name, values in self.request.query_arguments.items():
            if len(values) != 1 or len(values[0]) > 200 or len(found) > 8:
                raise answers.BadQuery("give each part of the query once, with at most 200 characters")
            found[name] = values[0].decode("utf-8", "replace")
        return found


class Cluster(Data):
    def make(self, id: str) -> Any:
        found = answers.cluster(self.monitor.view)
        # Of now, as /why is: what the view has is told in turns, and may be a second old.
        found["cluster"] = {**found["cluster"], "why": self.monitor.stuck()}
        return found


class Nodes(Data):
    def make(self, id: str) -> Any:
        return answers.nodes(self.monitor.view, self.query())


class Node(Data):
    def make(self, id: str) -> Any:
        return answers.node(self.monitor.view, id)


class Server(Data):
    about_tasks = True

    def make(self, id: str) -> Any:
        return answers.server(self.monitor.view, id)


class Tasks(Data):
    about_tasks = True

    def make(self, id: str) -> Any:
        return answers.tasks(self.monitor.view, self.query())


class Task(Data):
    about_tasks = True

    def make(self, id: str) -> Any:
        return answers.task(self.monitor.view, id)


class Events(Data):
    def make(self, id: str) -> Any:
        return answers.events(self.monitor.view, self.query())


class Why(Data):
    about_tasks = True  # of those that run: what was seen of them before may be long over

    def make(self, id: str) -> Any:
        return self.monitor.why()


class Versions(Data):
    def make(self, id: str) -> Any:
        return self.monitor.versions()


class Metrics(Base):
    """Figures for Prometheus (MO-35)."""

    def prepare(self) -> None:
        if not self.monitor.options.metrics_public:
            super().prepare()

    async def get(self) -> None:
        await self.monitor.freshen(tasks=False)
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.monitor.metrics())


class Updates(Base):
    """What the WebSocket sends, for who can't open one (MO-32): messages, each behind its length."""

    async def get(self) -> None:
        monitor, now = self.monitor, self.monitor.clock()
        wanted, epoch, since = self._asked()
        if epoch != monitor.epoch or not monitor.view.changes.reaches(since):
            since = -1
        await monitor.freshen(tasks=True, look=wanted)
        deadline = now + POLL_HELD
        while True:
            parts = []
            for topic in wanted:
                try:
                    data = monitor.audience.packed(topic, since)
                except UnknownTopic as error:
                    data = packing.pack({"type": "gone", "topic": topic, "text": str(error)})
                if data is not None:
                    parts.append(data)
            if parts or monitor.clock() >= deadline or monitor.bye is not None:
                break
            await monitor.next_tick(wanted)
        hello = [packing.pack(monitor.audience.greeting(self.role, monitor.wall()))] if since < 0 else []
        last = [packing.pack(monitor.bye)] if monitor.bye is not None else []
        end = [packing.pack(monitor.audience.tick(monitor.wall()))]
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(b"".join(len(part).to_bytes(4, "big") + part for part in [*hello, *parts, *end, *last]))

    def _asked(self) -> tuple[list[str], str, int]:
        epoch = self.get_query_argument("epoch", "")
        since = self.get_query_argument("since", "-1")
        wanted = [topic for topic in self.get_query_argument("topics", "").split(",") if topic]
        if not re.fullmatch(r"-1|[0-9]{1,15}", since) or not 1 <= len(set(wanted)) <= MAX_TOPICS:
            raise Refused(400, f"give since=NUMBER and topics=..., 1 to {MAX_TOPICS} of them")
        return list(dict.fromkeys(wanted)), epoch, int(since)


class Actions(Base):
    """What operators may do (MO-34)."""

    for_operators = True

    async def post(self) -> None:
        try:
            wanted: Wanted = read(self.body_json())
        except BadAction as error:
            raise Refused(400, str(error)) from None
        results = await self.monitor.act(wanted, self.role, self.source)
        self.answer({"results": results, "seq": self.monitor.view.seq})


class Settings(Base):
    """The program's setting whether arguments are recorded (MO-17)."""

    for_operators = True

    def post(self) -> None:
        body = self.body_json()
        if (
            not isinstance(body, dict)
            or set(body) != {"show_args"}
            or not isinstance(body["show_args"], bool)
        ):
            raise Refused(400, "settings are an object with show_args, true or false")
        self.monitor.set_show_args(body["show_args"], self.role, self.source)
        self.answer({"show_args": body["show_args"]})


# Exact addresses; ids are short, and letters and digits only.
_ID = r"([a-z0-9]{1,24})"
API = "/api/v1"
ROUTES: tuple[tuple[str, type[Base]], ...] = (
    ("/health", Health),
    ("/metrics", Metrics),
    (f"{API}/login", Login),
    (f"{API}/logout", Logout),
    (f"{API}/cluster", Cluster),
    (f"{API}/nodes", Nodes),
    (f"{API}/nodes/{_ID}", Node),
    (f"{API}/servers/{_ID}", Server),
    (f"{API}/tasks", Tasks),
    (f"{API}/tasks/{_ID}", Task),
    (f"{API}/events", Events),
    (f"{API}/why", Why),
    (f"{API}/versions", Versions),
    (f"{API}/updates", Updates),
)
ACTION_ROUTES: tuple[tuple[str, type[Base]], ...] = (
    (f"{API}/actions", Actions),
    (f"{API}/settings", Settings),
)
