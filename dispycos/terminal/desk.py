"""The desk: which page a person looks at, in which order, at which row. Keys change it, nothing else.

Pure. Layer 8. Rows MO-16, MO-43, MO-51.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dispycos.terminal import columns, texts
from dispycos.terminal.columns import Column
from dispycos.terminal.model import Model, Row

MAX_FILTER = 100  # characters


@dataclass(frozen=True, slots=True)
class Page:
    """A kind of page: its table, and where its rows come from."""

    name: str
    kind: str  # of the rows
    columns: tuple[Column, ...]
    sort: int  # column at first
    falling: bool = False
    opens: str = ""  # the page of one row
    empty: str = ""  # what to say without a row


PAGES = {
    page.name: page
    for page in (
        Page("nodes", "node", columns.NODES, 0, opens="node",
             empty="no node yet: start `dispycosnode`, there or here; a program can also use LocalCluster"),
        Page("servers", "server", columns.SERVERS, 0, opens="server",
             empty="no server yet: they start when a client's turn has begun and a node is initialized"),
        Page("tasks", "task", columns.TASKS, 5, opens="",
             empty="no task yet: each that the program submits appears here"),
        Page("events", "event", columns.EVENTS, 0, empty="nothing has happened yet"),
        Page("clients", "client", columns.CLIENTS, 0, empty="no client asks for the cluster"),
        Page("node", "server", columns.NODE_SERVERS, 0, opens="server", empty="it has no server"),
        Page("server", "task", columns.SERVER_TASKS, 2, falling=True, empty="it has no task now"),
    )
}  # fmt: skip
MENU = ("nodes", "servers", "tasks", "events", "clients")
_TOPIC = dict.fromkeys(("nodes", "servers", "clients"), "cluster") | {"tasks": "tasks", "events": "events"}


@dataclass(slots=True)
class Place:
    """A page, and where one is on it."""

    page: Page
    row: str = ""  # of a page about one row: its id
    cursor: str = ""  # id of the row that is chosen
    chosen: bool = False  # by a person; else it is the first one, whichever that is
    at: int = 0  # where that row was, for when it goes
    first: int = 0  # of the rows on the screen
    sort: int = 0
    falling: bool = False

    @property
    def topic(self) -> str:
        return _TOPIC.get(self.page.name) or f"{self.page.name}/{self.row}"


class Desk:
    """What is looked at."""

    def __init__(self) -> None:
        self.trail = [_place("nodes")]  # back from the last one to those before
        self.filter = ""
        self.typing = False  # a filter is being typed
        self.help = False
        self.held = False  # the order stands still
        self.over = False  # enough was seen
        self.height = 10  # rows that the screen has room for
        self._order: list[str] = []  # as it was shown last ...
        self._order_of: Place | None = None  # ... at this place

    @property
    def here(self) -> Place:
        return self.trail[-1]

    @property
    def topics(self) -> list[str]:
        """What the monitor is asked for: the totals always."""
        return list(dict.fromkeys(["cluster", self.here.topic]))

    # What is shown.

    def rows(self, model: Model, now: float) -> list[tuple[str, Row]]:
        """The rows of this page in their order; the cursor is on one of them, if there are any."""
        place = self.here
        rows = model.rows(place.topic, place.page.kind)
        if self.filter:
            rows = [each for each in rows if self._matches(each[1], model, now)]
        value = place.page.columns[place.sort].value
        rows.sort(key=lambda each: columns.order(value(each[1], model, now)), reverse=place.falling)
        if place.falling:
            # What is unknown is last in both directions.
            rows.sort(key=lambda each: columns.order(value(each[1], model, now))[0] == 3)
        if self.held:
            known = {row_id: at for at, row_id in enumerate(self._order)}
            rows.sort(key=lambda each: known.get(each[0], len(known)))
        self._order, self._order_of = [row_id for row_id, _ in rows], place
        self._settle(place)
        return rows

    def _matches(self, row: Row, model: Model, now: float) -> bool:
        wanted = self.filter.casefold()
        for column in self.here.page.columns:
            value = column.value(row, model, now)
            if value is not None and wanted in texts.clean(column.text(value)).casefold():
                return True
        return False

    def _settle(self, place: Place) -> None:
        """Keep the cursor on its row, or near where it was, and that on the screen."""
        order = self._order
        if not order:
            place.first = 0
            return
        if not place.chosen:
            place.at, place.cursor = 0, order[0]
        elif place.cursor in order:
            place.at = order.index(place.cursor)
        else:
            place.at = min(place.at, len(order) - 1)
            place.cursor = order[place.at]
        place.first = min(place.first, place.at, max(0, len(order) - self.height))
        place.first = max(place.first, place.at - self.height + 1)

    # Keys.

    def press(self, key: str, model: Model, now: float) -> None:
        """Do what a key means here. Keys may come faster than frames."""
        if self._order_of is not self.here:
            self.rows(model, now)
        if key == "interrupt":
            self.over = True
        elif self.typing:
            self._type(key)
        elif self.help:
            self.help = False
            self.over = key == "q"
        elif key in _KEYS:
            _KEYS[key](self)
        elif key.isdecimal() and 1 <= int(key) <= len(MENU):
            self.trail = [_place(MENU[int(key) - 1])]

    def _type(self, key: str) -> None:
        if key == "enter":
            self.typing = False
        elif key == "escape":
            self.typing, self.filter = False, ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1 and len(self.filter) < MAX_FILTER:
            self.filter += key

    def move(self, rows: int) -> None:
        """The cursor goes down by so many rows, or up."""
        if self._order:
            place = self.here
            place.at = max(0, min(len(self._order) - 1, place.at + rows))
            place.cursor = self._order[place.at]
            place.chosen = place.at > 0

    def open(self) -> None:
        """The page of the chosen row."""
        place = self.here
        if place.page.opens and place.cursor:
            self.trail.append(_place(place.page.opens, place.cursor))
            self.filter = ""

    def back(self) -> None:
        """To the page before; a filter goes first."""
        if self.filter:
            self.filter = ""
        elif len(self.trail) > 1:
            self.trail.pop()

    def turn(self, pages: int) -> None:
        """The next page of the menu."""
        name = self.trail[0].page.name
        self.trail = [_place(MENU[(MENU.index(name) + pages) % len(MENU)])]

    def sort_by(self, step: int) -> None:
        """The next column decides the order."""
        place = self.here
        place.sort = (place.sort + step) % len(place.page.columns)

    def reverse(self) -> None:
        self.here.falling = not self.here.falling

    def hold(self) -> None:
        self.held = not self.held

    def ask_filter(self) -> None:
        self.typing = True

    def show_help(self) -> None:
        self.help = True

    def leave(self) -> None:
        self.over = True


def _place(name: str, row: str = "") -> Place:
    page = PAGES[name]
    return Place(page, row, sort=page.sort, falling=page.falling)


_FAR = 10**9
_KEYS = {
    "up": lambda desk: desk.move(-1), "k": lambda desk: desk.move(-1),
    "down": lambda desk: desk.move(1), "j": lambda desk: desk.move(1),
    "page up": lambda desk: desk.move(-desk.height), "page down": lambda desk: desk.move(desk.height),
    " ": lambda desk: desk.move(desk.height),
    "home": lambda desk: desk.move(-_FAR), "end": lambda desk: desk.move(_FAR),
    "enter": Desk.open, "right": Desk.open,
    "escape": Desk.back, "backspace": Desk.back, "left": Desk.back,
    "tab": lambda desk: desk.turn(1), "back tab": lambda desk: desk.turn(-1),
    "s": lambda desk: desk.sort_by(1), ">": lambda desk: desk.sort_by(1),
    "S": lambda desk: desk.sort_by(-1), "<": lambda desk: desk.sort_by(-1),
    "r": Desk.reverse, "p": Desk.hold, "/": Desk.ask_filter, "?": Desk.show_help, "h": Desk.show_help,
    "q": Desk.leave,
}  # fmt: skip

# What the help says, by groups: keys and what they do.
HELP: Sequence[tuple[str, str]] = (
    ("1 2 3 4 5, Tab", "nodes, servers, tasks, events, clients"),
    ("↑ ↓ j k, PgUp PgDn, Home End", "choose a row"),
    ("Enter →", "open it: a node's servers, a server's tasks"),
    ("Esc ← Backspace", "back"),
    ("s > and S <", "sort by the next column, by the one before"),
    ("r", "turn the order round"),
    ("p", "hold the order; values go on. Again: let it go"),
    ("/", "show only rows with a text; Esc shows all again"),
    ("q, Ctrl-C", "end"),
)
