"""What a terminal knows of a cluster: the topics that it looks at, folded from a monitor's messages.

The other end of `httpd.topics`, as the page's store is: snapshots and differences become rows again.
docs/monitor-wire.md describes the messages.

Pure. Layer 8. Rows MO-26, MO-31.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from dispycos.httpd.rows import OF_LETTER

MAX_LINES = 200  # of a server's log

Row = dict[str, Any]


def kind_of(row_id: str) -> str:
    """cluster, client, node, server, task or event."""
    return "cluster" if row_id == "cluster" else OF_LETTER[row_id[0]]


@dataclass(slots=True)
class Topic:
    """One topic, as of a number of the monitor's model."""

    number: int
    rows: dict[str, Row]
    log: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_LINES))


class Model:
    """What was heard so far. `now` is seconds since the epoch, on our clock."""

    def __init__(self) -> None:
        self.epoch = ""
        self.seq = -1
        self.program = ""
        self.role = ""
        self.tick = 0.5  # seconds between updates
        self.topics: dict[str, Topic] = {}
        self.gone: dict[str, str] = {}  # topic -> why it is not sent any more
        self.bye: dict[str, Any] | None = None  # the program has ended, and how
        self.heard = 0.0  # when the last update was complete
        self.ahead = 0.0  # seconds that the program's clock is before ours

    @property
    def ended(self) -> bool:
        """The program has said that it ends."""
        return self.bye is not None

    @property
    def cluster(self) -> Row | None:
        """The totals; None: nothing was heard yet."""
        topic = self.topics.get("cluster")
        return topic.rows.get("cluster") if topic is not None else None

    @property
    def elsewhere(self) -> str:
        """Where tasks are shown, of a shared scheduler, which sees none; "": here."""
        return self.cluster["elsewhere"] if self.cluster is not None else ""

    def rows(self, topic: str, kind: str) -> list[tuple[str, Row]]:
        """The rows of a kind, with their ids."""
        found = self.topics.get(topic)
        if found is None:
            return []
        return [(row_id, row) for row_id, row in found.rows.items() if kind_of(row_id) == kind]

    def find(self, row_id: str) -> Row | None:
        """A row, from whichever topic knows most of it."""
        best: Row | None = None
        for topic in self.topics.values():
            row = topic.rows.get(row_id)
            if row is not None and (best is None or len(row) > len(best)):
                best = row
        return best

    def time(self, now: float) -> float:
        """The present on the program's clock; it stands still when the program has ended."""
        return float(self.bye["time"]) if self.bye is not None else now + self.ahead

    def watch(self, topics: list[str]) -> None:
        """Only these are looked at from now on."""
        self.topics = {name: topic for name, topic in self.topics.items() if name in topics}
        self.gone = {name: text for name, text in self.gone.items() if name in topics}

    def handle(self, message: dict[str, Any], now: float) -> str | None:
        """Fold one message in; answers the topic of which something was missed, if any."""
        kind, name = message["type"], message.get("topic", "")
        if kind == "hello":
            self._greeted(message)
        elif kind == "snapshot":
            self._snapshot(name, message)
        elif kind == "delta":
            topic = self.topics.get(name)
            if topic is None or message["from"] != topic.number:
                return str(name)
            self._delta(topic, message)
        elif kind == "gone":
            self.topics.pop(name, None)
            self.gone[name] = message["text"]
        elif kind == "tick":
            self.seq = message["seq"]
            for topic in self.topics.values():
                topic.number = self.seq
            self.heard, self.ahead = now, message["time"] - now
        elif kind == "bye":
            self.bye = message
        return None

    def _greeted(self, message: dict[str, Any]) -> None:
        if message["epoch"] != self.epoch:
            # Another run: what was known is of the one before.
            self.topics.clear()
            self.bye = None
        self.epoch, self.role, self.program = message["epoch"], message["role"], message["program"]
        self.tick = message["tick"]

    def _snapshot(self, name: str, message: dict[str, Any]) -> None:
        columns = message["columns"]
        rows = {
            row_id: {"id": row_id, **dict(zip(columns[kind_of(row_id)], values, strict=True))}
            for row_id, values in message["rows"].items()
        }
        self.gone.pop(name, None)
        topic = self.topics[name] = Topic(message["to"], rows)
        self._lines(topic, message)

    def _delta(self, topic: Topic, message: dict[str, Any]) -> None:
        for group in message["changes"]:
            fields = group["fields"]
            for row_id, values in group["rows"].items():
                topic.rows.setdefault(row_id, {"id": row_id}).update(zip(fields, values, strict=True))
        for row_id in message.get("gone", ()):
            topic.rows.pop(row_id, None)
        topic.number = message["to"]
        self._lines(topic, message)

    def _lines(self, topic: Topic, message: dict[str, Any]) -> None:
        topic.log.extend(str(text) for _, _, text in message.get("log", ()))
