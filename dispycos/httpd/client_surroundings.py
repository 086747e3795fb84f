"""What only the program knows: why nothing may run, versions, settings, figures.

Warnings of the program's log are kept for a minute: they say who was refused, and become events.

I/O half. Layer 7. Rows MO-11, MO-23, MO-24, MO-35.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from typing import Any

from dispycos.client.client import Client
from dispycos.client.work import Work
from dispycos.httpd.events import Happened
from dispycos.httpd.feed import Feed
from dispycos.httpd.metrics import Tally
from dispycos.httpd.network import figures
from dispycos.httpd.situation import Ignored
from dispycos.kernel import loop
from dispycos.model import Location
from dispycos.scheduler.service import SchedulerService

BLOCKED = 2.0  # seconds in one step of the kernel, then a task of the program is said not to yield
RECENT = 60.0  # seconds that a refusal counts as present
MAX_RECENT = 100
MAX_IGNORED = 1000
LOG = "dispycos"

_REFUSED = "refused a connection from"


class Surroundings:
    """Of one client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ignored: dict[str, Ignored] = {}  # by place; at most MAX_IGNORED
        self._log = _Tail()

    def tell(self, feed: Feed) -> None:
        """Warnings of the log become events from now on."""
        self._log.feed = feed
        logging.getLogger(LOG).addHandler(self._log)

    def close(self) -> None:
        logging.getLogger(LOG).removeHandler(self._log)

    def begin(self, work: Work) -> None:
        """Another turn begins."""
        self._ignored.clear()

    def ignored(self, name: str, place: Location | None, reason: str) -> None:
        """No rule took this node."""
        if len(self._ignored) < MAX_IGNORED:
            self._ignored[str(place)] = Ignored(f"{name} ({place})" if place else name, reason)

    def told(self, work: Work | None, tally: Tally) -> dict[str, Any]:
        """See `httpd.source.Source.surroundings`."""
        if work is None:
            return {"figures": {"tally": tally}, "situation": {"blocked_task": _blocked()}}
        network = work.network
        return {
            "figures": {"tally": tally, **figures(network.endpoint)},
            "client": self._client_facts(work),
            "configuration": dataclasses.asdict(network.limits),
            "situation": self._situation(work),
        }

    def _client_facts(self, work: Work) -> dict[str, Any]:
        fleet, settings = work.driver.fleet, work.settings
        return {
            "name": fleet.turn.name,
            "location": str(fleet.turn.our_location),
            "components": [
                *(getattr(each, "__qualname__", each.__name__) for each in settings.components.definitions),
                *(file.name for file in settings.components.files),
            ],
            "nodes": [
                {
                    "node": rule.node or "*",
                    "platform": rule.platform,
                    "cpus": rule.cpus,
                    "memory": rule.memory,
                    "disk": rule.disk,
                    "own_allocate": rule.asks_client,
                }
                for rule in list(fleet.turn.rules)
            ],
            "ignored": [
                {"name": found.name, "reason": found.reason} for found in list(self._ignored.values())
            ],
            "pulse_interval": fleet.turn.pulse_interval,
            "zombie_period": fleet.turn.silence,
            "disable_nodes": settings.disable_nodes,
            "disable_servers": settings.disable_servers,
            "restart_servers": settings.restart_servers,
            "abandon_zombie_nodes": fleet.turn.abandon,
            "reservation_state": fleet.turn.state.value,
            "late_outcomes": work.driver.dispatch.late,
        }

    def _situation(self, work: Work) -> dict[str, Any]:
        network, turn = work.network, work.driver.fleet.turn
        search = network.search.where
        service = network.services.get(SchedulerService)
        refusals = self._log.refusals()
        lost = turn.why(time.monotonic()) if turn.unheard_since is not None else ""
        delayed = [
            f"{node.facts.name}: server {index}: {reason}"
            for node in list(work.driver.fleet.nodes_held.values())
            for index, reason in list(node.delayed.items())
        ]
        return {
            "place": turn.place,
            "queue_reason": turn.reason,
            "scheduler_lost": lost,
            "announced": (search,) if search else (),
            "listening": str(network.endpoint.location),
            "unreached": tuple(service.why_unreached()) if service is not None else (),
            "fingerprint": network.endpoint.keyring.own.fingerprint,
            "wrong_key": tuple(text for text in refusals if not _for_version(text)),
            "refused": tuple(text for text in refusals if _for_version(text)),
            "ignored": tuple(self._ignored.values()),
            "blocked_task": _blocked(),
            "resources": tuple(delayed),
        }


def _for_version(text: str) -> bool:
    """Whether a refusal is for what the peer is, not for its key."""
    return "version" in text or "TLS" in text


def _blocked() -> str:
    """The task of this program that does not yield, and where it is."""
    running = loop.default().running()
    if running is None or running.seconds < BLOCKED:
        return ""
    at = f", at {running.frames[-1]}" if running.frames else ""
    return f"{running.task} has not yielded for {running.seconds:.0f} s{at}"


class _Tail(logging.Handler):
    """The warnings of the last minute."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.feed: Feed | None = None
        self._refused: deque[tuple[float, str]] = deque(maxlen=MAX_RECENT)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:
            return  # a log line that can't be made is its writer's mistake, and said by others
        if record.name == "dispycos.monitor":
            return  # what the monitor says of itself is an event already
        now = time.time()
        if str(record.msg).startswith(_REFUSED):
            self._refused.append((now, text))
        if self.feed is not None:
            level = "error" if record.levelno >= logging.ERROR else "warning"
            self.feed.put(Happened(level, "note", record.name, text, now))

    def refusals(self) -> tuple[str, ...]:
        """Who was refused in the last minute."""
        now = time.time()
        return tuple(text for when, text in list(self._refused) if now - when <= RECENT)
