"""A page without a browser: it applies snapshots and differences as docs/monitor-wire.md says."""

from __future__ import annotations

from typing import Any

from dispycos.httpd.rows import OF_LETTER
from dispycos.httpd.topics import delta, snapshot
from dispycos.httpd.view import View


class Gap(Exception):
    """A difference does not begin where the page is."""


class Page:
    """The rows of one topic."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.number = -1
        self.rows: dict[str, dict[str, Any]] = {}
        self.log: list[Any] = []
        self.hour: list[Any] = []

    def take(self, message: dict[str, Any]) -> None:
        if message["type"] == "snapshot":
            columns = message["columns"]
            self.rows = {
                row_id: dict(zip(columns[kind_of(row_id)], values, strict=True))
                for row_id, values in message["rows"].items()
            }
            self.log, self.hour = [], []
        else:
            if message["from"] != self.number:
                raise Gap(f"{self.topic} is at {self.number}, not {message['from']}")
            for group in message["changes"]:
                for row_id, values in group["rows"].items():
                    self.rows.setdefault(row_id, {}).update(zip(group["fields"], values, strict=True))
            for row_id in message.get("gone", ()):
                self.rows.pop(row_id, None)  # it may have come and gone meanwhile
        self.log += message.get("log", [])
        self.hour += message.get("history", {}).get("hour", [])
        self.number = message["to"]

    def update(self, view: View) -> None:
        """Get what is missing, as the monitor would send it, and the tick after it."""
        if self.number < 0 or not view.changes.reaches(self.number):
            self.take(snapshot(view, self.topic))
        else:
            message = delta(view, self.topic, self.number)
            if message is not None:
                self.take(message)
        self.number = view.seq


def kind_of(row_id: str) -> str:
    return "cluster" if row_id == "cluster" else OF_LETTER[row_id[0]]


def fresh(view: View, topic: str) -> Page:
    """A page that was just opened."""
    page = Page(topic)
    page.take(snapshot(view, topic))
    return page
