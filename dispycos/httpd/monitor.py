"""One monitor: its view, its browsers, its ticks. Everything of it lives on one thread.

Each tick it takes what the program told, folds it into the view, sends what changed, and asks
for the next figures. While nobody looks a tick comes every 5 s, for the charts (MO-03).

I/O half. Layer 7. Rows MO-03, MO-04, MO-26 to MO-34, MO-60, SE-45.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import secrets
import time
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from dispycos import validation
from dispycos.config import RELEASE, WIRE_VERSION
from dispycos.httpd import actions, metrics, situation, why
from dispycos.httpd.actions import Wanted
from dispycos.httpd.audience import Audience
from dispycos.httpd.causes import Cause
from dispycos.httpd.events import Changed, Ended, Happened, Sample
from dispycos.httpd.feed import Feed
from dispycos.httpd.files import Page
from dispycos.httpd.history import STEP
from dispycos.httpd.login import Logins
from dispycos.httpd.rows import Row
from dispycos.httpd.situation import Situation
from dispycos.httpd.source import Look, Result, Source
from dispycos.httpd.view import View

log = logging.getLogger("dispycos.monitor")

TICK = 0.5  # seconds
FRESH = 1.0  # seconds that figures count as present, where nobody looks
ANSWER_WITHIN = 1.0  # seconds that the program has for its figures, before the last ones are shown
ACT_WITHIN = 10.0  # seconds for an action to be taken
# A validating run's check looks at every row: with more of them than this it is made after as many
# events as there are rows.
CHECK_ALWAYS = 200
AGAIN = "it was started again: it goes on with the same cluster, and counts anew"
SURVEY_EVERY = 5.0  # seconds between surveys of what lives, while somebody looks at tasks


@dataclass(frozen=True, slots=True)
class Options:
    """How one monitor behaves."""

    poll_sec: float = 10.0  # the longest time between two requests of a page that polls
    first_interval: float = 0.0  # seconds between updates that pages use at first; 0: live
    tick: float = TICK
    operators: bool = True  # False: nobody may act (`--http_readonly`)
    metrics_public: bool = False  # /metrics without a token
    cluster: str = ""  # its name for all runs, where a later one goes on with it (MO-62)
    again: bool = False  # there was an earlier run of it


class Monitor:
    """What the handlers of requests use. The thread's own, but for `feed`."""

    def __init__(self, source: Source, logins: Logins, pages: dict[str, Page], options: Options) -> None:
        self.source = source
        self.logins = logins
        self.pages = pages
        self.options = options
        self.epoch = secrets.token_hex(8)
        self.feed = Feed()
        self.view = View(source.name, self.wall(), source.known)
        self.audience = Audience(
            self.view,
            {
                "epoch": self.epoch,
                "program": source.name,
                "release": RELEASE,
                "tick": options.tick,
                "poll": options.poll_sec,
                "interval": options.first_interval,
                "actions": options.operators,
                "cluster": options.cluster,
            },
            self.clock,
        )
        if options.again:
            self.view.handle(Happened("warning", "note", source.name, AGAIN, self.wall()), self.wall())
        self.refusals: Counter[str] = Counter()  # requests refused, by reason
        self.actions: Counter[str] = Counter()  # audit lines, by result
        self.bye: dict[str, Any] | None = None  # the program has ended, and how
        self._looks: dict[str, float] = {}  # topics that pollers look at, and until when
        self._asked_at = float("-inf")  # when figures were asked for that came since
        self._figures_at = float("-inf")  # ... and that the view has
        self._surveyed_at = float("-inf")
        self._tasks_told = False  # the program tells each task's changes now
        self._sampled_at = float("-inf")
        self._why_at = float("-inf")
        self._unchecked = 0  # events
        self._ticked = asyncio.Event()  # replaced at each tick
        self._wake = asyncio.Event()

    def wall(self) -> float:
        """Seconds since the epoch: for people."""
        return round(time.time(), 3)

    def clock(self) -> float:
        """Seconds that only go forward: for deadlines."""
        return time.monotonic()

    # Ticks.

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            began = self.clock()
            await self._ask(self._look(began))
            self.tick()
            pause = self.options.tick if self._watched(began) else STEP
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.05, pause - (self.clock() - began))):
                    await self._wake.wait()
            self._wake.clear()

    def wake(self) -> None:
        """Somebody has come: the next tick is due now."""
        self._wake.set()

    def tick(self) -> None:
        """Fold what was told, and send what changed."""
        self.fold()
        clock = self.clock()
        self.audience.broadcast(self.wall(), clock, self.options.tick / 2)
        ticked, self._ticked = self._ticked, asyncio.Event()
        ticked.set()

    def fold(self) -> None:
        """Bring the view up to what was told."""
        now, clock, view = self.wall(), self.clock(), self.view
        for event in self.feed.take():
            view.handle(event, now)
            self._check(event)
        if clock - self._sampled_at >= STEP - self.options.tick / 2:
            self._sampled_at = clock
            view.handle(Sample(now), now)
        values: dict[str, Any] = {
            "browsers": len(self.audience.browsers),
            "collapsed": self.feed.collapsed,
            "show_args": self.source.show_args,
        }
        if clock - self._why_at >= FRESH:
            self._why_at = clock
            values["why"] = self.stuck()
        view.handle(Changed("cluster", None, values), now)
        view.end_tick(now)
        self._check(None)
        self._figures_at = self._asked_at

    def _check(self, event: Any) -> None:
        if not validation.ON:
            return
        self._unchecked += 1
        rows = len(self.view.rows)
        if rows < CHECK_ALWAYS or self._unchecked >= rows:
            self._unchecked = 0
            validation.check(self.view, event)

    def stuck(self) -> str:
        """What keeps tasks from running, in a few words, as of now; empty if they run."""
        causes = self.causes() if self.view.ended is None and self._stuck(self.wall()) else []
        return next((cause.title for cause in causes if not cause.usual), "")

    def _stuck(self, now: float) -> bool:
        """Tasks wait and none begins, or there is nothing to run them (MO-24)."""
        cluster = self.view.cluster
        if cluster["elsewhere"]:
            return True  # a scheduler knows of nothing else that could be well
        if cluster["state"] in ("closed", "not scheduled"):
            return False
        quiet = now - (self.view.moved or cluster["scheduled"] or cluster["started"]) >= why.QUIET
        return not cluster["nodes_initialized"] or ((cluster["waiting"] or 0) > 0 and quiet)

    async def next_tick(self, topics: Iterable[str]) -> None:
        """Wait for the next tick, for one who polls these topics."""
        self._note_poll(topics)
        await self._ticked.wait()

    def _note_poll(self, topics: Iterable[str]) -> None:
        until = self.clock() + 2 * STEP
        for topic in topics:
            self._looks[topic] = until
        self.wake_if_idle()

    def wake_if_idle(self) -> None:
        """Somebody looks where nobody did: don't wait for the next sample."""
        if not self.audience.browsers:
            self.wake()

    # What the program is asked.

    def _watched(self, clock: float) -> bool:
        for topic, until in list(self._looks.items()):
            if until < clock:
                del self._looks[topic]
        return bool(self.audience.browsers or self._looks)

    def _look(self, clock: float, also: Iterable[str] = (), tasks: bool = False) -> Look:
        wanted = {topic for browser in self.audience.browsers for topic in browser.numbers}
        wanted.update(self._looks, also)
        looked_at: dict[str, set[Hashable]] = {"server": set(), "node": set()}
        for topic in wanted:
            kind, _, row_id = topic.partition("/")
            row = self.view.find(row_id)
            if row is not None and row.kind == kind and row["state"] != "closed":
                looked_at[kind].add(row.key)
        servers = frozenset(looked_at["server"])
        tasks = tasks or bool(servers) or bool(wanted & {"tasks", "timeline"})
        # What happened while nobody looked was not told: the first look makes it good.
        first, self._tasks_told = tasks and not self._tasks_told, tasks
        due = self.feed.survey_wanted or clock - self._surveyed_at >= SURVEY_EVERY
        survey = tasks and (first or due)
        if survey:
            self._surveyed_at = clock
            self.feed.survey_wanted = False
        return Look(tasks, servers, frozenset(looked_at["node"]), survey)

    async def _ask(self, look: Look) -> None:
        """Have the program's figures in the feed, if it gives them in time."""
        began = self.clock()
        asked = self.source.refresh(look)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN):
                await asked
                self._asked_at = began

    async def freshen(self, *, tasks: bool, look: Iterable[str] = ()) -> None:
        """See to it that the view is of the present, for who asks without a subscription."""
        clock = self.clock()
        if look:
            self._note_poll(look)
        if clock - self._figures_at < (self.options.tick if self._watched(clock) else FRESH) and not tasks:
            return
        await self._ask(self._look(clock, look, tasks))
        self.fold()

    def set_show_args(self, show: bool, role: str, source: str) -> None:
        """Record arguments from now on, or no more."""
        self.source.set_show_args(show)
        self.audit(role, source, "show_args", str(show), Result("done", ""))

    # Actions.

    async def act(self, wanted: Wanted, role: str, source: str) -> list[dict[str, str]]:
        """Carry out an action; what became of it at each target."""
        self.fold()
        results = []
        for row_id in wanted.targets:
            found = actions.target(self.view, wanted, row_id)
            result = Result(*found) if isinstance(found, tuple) else await self._act(wanted, found, role)
            self.audit(role, source, wanted.action, self._name(found, row_id), result)
            results.append({"id": row_id, "result": result.outcome, "text": result.text})
        self.wake()
        return results

    async def _act(self, wanted: Wanted, row: Row, role: str) -> Result:
        if self.bye is not None:
            return Result("refused", "the program has ended")
        try:
            async with asyncio.timeout(ACT_WITHIN):
                result: Result = await self.source.act(wanted.action, row.key, role)
        except TimeoutError:
            return Result(
                "refused", f"the program did not answer in {ACT_WITHIN:g} s; look whether it was done"
            )
        return result

    def _name(self, found: Row | tuple[str, str], row_id: str) -> str:
        if isinstance(found, tuple):
            return row_id
        return str(found["location"] if found.kind == "server" else found["name"])

    def audit(self, role: str, source: str, action: str, target: str, result: Result) -> None:
        """One line for what somebody did (SE-45)."""
        self.actions[result.outcome] += 1
        text = f"{action} by {role} at {source}: {result.outcome}{f', {result.text}' if result.text else ''}"
        log.info("%s %r", text, target)
        level = "info" if result.outcome == "done" else "warning"
        now = self.wall()
        self.view.handle(Happened(level, "action", target, text, now), now)

    # What else is asked for.

    def causes(self) -> list[Cause]:
        """Why nothing runs: every cause that holds, the most specific first."""
        return why.found(self._situation())

    def _situation(self) -> Situation:
        return situation.of(self.view, self.source.surroundings(), self.wall())

    def why(self) -> dict[str, Any]:
        now = self._situation()
        causes = why.found(now)
        return {
            "seq": self.view.seq,
            "text": why.text(now),
            "causes": [
                {"id": cause.id, "title": cause.title, "evidence": cause.evidence, "advice": cause.advice}
                for cause in causes
            ],
        }

    def versions(self) -> dict[str, Any]:
        """Versions of every process, and how this program is set up; no secrets."""
        surroundings = self.source.surroundings()
        nodes = [
            {name: node.row[name] for name in ("address", "name", "release", "python", "platform")}
            | {"id": node.row.id}
            for node in self.view.nodes.values()
            if not node.closed
        ]
        return {
            "program": {
                "name": self.source.name,
                "release": RELEASE,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "wire": WIRE_VERSION,
            },
            "nodes": nodes,
            "client": surroundings.get("client", {}),
            "configuration": surroundings.get("configuration", {}),
        }

    def metrics(self) -> str:
        """Figures in Prometheus' text form."""
        return metrics.text(
            self.view,
            self.source.surroundings().get("figures", {}),
            {**self.refusals},
            self.audience.figures.gaps,
            self.wall(),
        )

    # The end.

    async def end(self, reason: str, text: str, within: float) -> None:
        """Give every browser the last state and `bye` (MO-60)."""
        if self.bye is not None:
            return
        await self._ask(self._look(self.clock()))
        self.fold()
        now = self.wall()
        if self.view.ended is None:
            # Behind all that was told: nothing says otherwise after it.
            self.view.handle(Ended(f"the program ended: {reason}", now), now)
            self.view.end_tick(now)
        # Of the state that the browsers get, and no other.
        cluster = self.view.cluster
        totals = {name: cluster[name] for name in ("submitted", "done", "failed", "running", "waiting")}
        self.bye = {"type": "bye", "reason": reason, "time": round(now, 3), "totals": totals, "text": text}
        self._ticked.set()
        await self.audience.say_goodbye(self.bye, now, within)
