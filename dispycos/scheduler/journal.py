"""The journal: what a shared scheduler has to know after a restart, in SQLite.

Whose turn it is, who waits and in which order, where granted nodes are, the highest lease
number, and which processes kept this journal before. No task, no code, no value (R-54).

Each change is on disk (WAL, `synchronous=FULL`) when `write` returns. A file that can't be
read is moved aside, and the scheduler begins with nothing: the living say who holds what. One
process at a time has it: SQLite's own lock is kept for as long as it is open.

I/O half. Layer 5. Rows DS-21, R-17, R-22, R-35; rules S4, R-54.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import astuple
from typing import Any

from dispycos.chaos.present import before_write
from dispycos.errors import DispycosError
from dispycos.messages import Rule
from dispycos.model import Incarnation, Location
from dispycos.scheduler.events import DropClient, Entry, KeepClient, KeepLease, Restored
from dispycos.scheduler.leases import first_lease

log = logging.getLogger("dispycos")

FORMAT = 2  # of the tables; a file of another one is not read
MAX_FORMER = 100  # processes that kept the journal before; the oldest is forgotten
_BUSY = 0.2  # seconds to wait for another process that has the file open

_TABLES = """
CREATE TABLE clients (
    reservation INTEGER PRIMARY KEY, place INTEGER, scheduled INTEGER, incarnation BLOB, ticket INTEGER,
    name TEXT, location TEXT, rules TEXT, pulse REAL, silence REAL, abandon INTEGER,
    pid INTEGER
);
CREATE TABLE nodes (incarnation BLOB PRIMARY KEY, reservation INTEGER, location TEXT);
CREATE TABLE leases (id INTEGER PRIMARY KEY CHECK (id = 1), highest INTEGER);
CREATE TABLE schedulers (number INTEGER PRIMARY KEY, incarnation BLOB);
"""


# Columns of a client's row.
_KINDS = (int, int, int, bytes, int, str, str, str, float, float, int, int)

# What is wrong is not the file's content.
_OF_THE_WORLD = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
}


class JournalError(DispycosError, OSError):
    """The journal can't be opened or written; the text is one sentence with the system's reason."""


class Journal:
    """One scheduler's journal. Blocks for as long as the disk takes.

    make_folder  makes the file's folder again, should somebody remove it; OSError if it can't.
    JournalError if it can't be opened: no room, no permission, or another process has it.
    """

    def __init__(self, path: str, our: Incarnation, make_folder: Callable[[], object] = lambda: None) -> None:
        self.path = path
        self._our = our
        self._make_folder = make_folder
        self._file = (0, 0)  # device and inode of what is open
        self._closed = False
        self._before_write = before_write("journal")
        self.damaged = ""  # where a file went that could not be read; "": there was none
        self._database: sqlite3.Connection | None = None
        try:
            try:
                self.restored = _read(self._open())
            except (sqlite3.Error, ValueError, TypeError) as exc:
                if (
                    isinstance(exc, sqlite3.Error)
                    and getattr(exc, "sqlite_errorcode", 0) & 0xFF in _OF_THE_WORLD
                ):
                    raise
                self._move_aside()
                self._open()
                self.restored = Restored(last_lease=first_lease(0, time.time()), lost=True)
            self._change(self._note_us)
        except sqlite3.Error as exc:
            self.close()
            raise JournalError(self._why(exc)) from None
        except BaseException:
            self.close()
            raise

    def _open(self) -> sqlite3.Connection:
        if os.path.islink(self.path):
            raise JournalError(f"{self.path} is a link, which could be bent: remove it")
        new = not os.path.exists(self.path)
        database = sqlite3.connect(self.path, timeout=_BUSY, isolation_level="IMMEDIATE")
        # What follows may raise: then there is somebody who closes it.
        self._database = database
        os.chmod(self.path, 0o600)
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        self._file = self._at_path() or (0, 0)
        if new or version == 0:
            database.executescript(f"BEGIN EXCLUSIVE;{_TABLES}PRAGMA user_version={FORMAT};COMMIT")
        elif version != FORMAT:
            raise ValueError(f"it has format {version}, and this release reads {FORMAT}")
        (problem,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise ValueError(problem)
        return database

    def _at_path(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _move_aside(self) -> None:
        self._disconnect()
        self.damaged = f"{self.path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
        os.replace(self.path, self.damaged)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(self.path + suffix, self.damaged + suffix)

    # Writing.

    def write(self, entries: Iterable[Entry]) -> None:
        """Put these on disk, all or none. JournalError with the system's reason."""
        self._write(entries, anew=False)

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Put these on disk in the place of all that is there but the lease number.

        Where the file is gone it is made again.
        """
        if not self._closed and self._at_path() != self._file:
            self._disconnect()
            try:
                self._make_folder()
                self._open()
            except (sqlite3.Error, OSError, ValueError) as exc:
                raise JournalError(f"the journal {self.path} can't be made again: {exc}") from None
            log.warning("the journal %s had been removed, and is made again", self.path)
            self._change(self._note_us)
        self._write(entries, anew=True)

    def _write(self, entries: Iterable[Entry], anew: bool) -> None:
        def put(database: sqlite3.Connection) -> None:
            if anew:
                database.execute("DELETE FROM clients")
                database.execute("DELETE FROM nodes")
            for entry in entries:
                _put(database, entry)

        try:
            self._change(put)
        except sqlite3.Error as exc:
            raise JournalError(self._why(exc)) from None

    def _change(self, change: Callable[[sqlite3.Connection], None]) -> None:
        if self._database is None:
            raise JournalError(f"the journal {self.path} is closed")
        if self._at_path() != self._file:
            # What is open could be written still, and nobody would ever read it.
            raise JournalError(f"the journal {self.path} was removed or replaced while it was in use")
        try:
            self._before_write()
        except OSError as exc:
            raise JournalError(self._why(exc)) from None
        with self._database:
            change(self._database)

    def _why(self, exc: Exception) -> str:
        if "locked" in str(exc):
            return f"{self.path} is in use by another scheduler: end it, or give this one another --dest_path"
        return f"the journal {self.path} can't be written: {exc}"

    def _note_us(self, database: sqlite3.Connection) -> None:
        (last,) = database.execute("SELECT coalesce(max(number), 0) FROM schedulers").fetchone()
        database.execute("INSERT INTO schedulers VALUES (?, ?)", (last + 1, self._our))
        database.execute("DELETE FROM schedulers WHERE number <= ?", (last + 1 - MAX_FORMER,))
        # What we grant is above it, also if none of that can be written: the clock may be set back.
        _raise_lease(database, self.restored.last_lease)

    def close(self) -> None:
        """Close the file. May be repeated."""
        self._closed = True
        self._disconnect()

    def _disconnect(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with contextlib.suppress(sqlite3.Error):
                database.close()


def _put(database: sqlite3.Connection, entry: Entry) -> None:
    if isinstance(entry, KeepClient):
        location = str(entry.location) if entry.location else ""
        rules = json.dumps([astuple(rule) for rule in entry.rules])
        values = (
            *(entry.reservation, entry.order, entry.scheduled, entry.incarnation, entry.ticket),
            *(entry.name, location, rules, entry.pulse_interval, entry.silence, entry.abandon, entry.pid),
        )
        database.execute("REPLACE INTO clients VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    elif isinstance(entry, DropClient):
        database.execute("DELETE FROM clients WHERE reservation = ?", (entry.reservation,))
        database.execute("DELETE FROM nodes WHERE reservation = ?", (entry.reservation,))
    else:
        assert isinstance(entry, KeepLease)
        location = str(entry.location)
        database.execute("REPLACE INTO nodes VALUES (?, ?, ?)", (entry.node, entry.reservation, location))
        _raise_lease(database, entry.lease)


def _raise_lease(database: sqlite3.Connection, lease: int) -> None:
    database.execute(
        "INSERT INTO leases VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET highest = max(highest, ?)",
        (lease, lease),
    )


def _read(database: sqlite3.Connection) -> Restored:
    clients = tuple(map(_client, database.execute("SELECT * FROM clients ORDER BY place")))
    running = next((client.reservation for client in clients if client.scheduled), 0)
    nodes = database.execute("SELECT location FROM nodes WHERE reservation = ?", (running,))
    highest = database.execute("SELECT highest FROM leases").fetchone()
    former = database.execute("SELECT incarnation FROM schedulers")
    return Restored(
        clients,
        first_lease(highest[0] if highest else 0, time.time()),
        frozenset(Incarnation(row[0]) for row in former),
        tuple(_location(row[0]) for row in nodes),
    )


def _client(row: tuple[Any, ...]) -> KeepClient:
    # SQLite keeps whatever it is given.
    if tuple(map(type, row)) != _KINDS:
        raise ValueError("a client's row has values of other kinds")
    reservation, order, scheduled, incarnation, ticket, name, location, rules, *asked = row
    pulse, silence, abandon, pid = asked
    return KeepClient(
        reservation,
        order,
        bool(scheduled),
        Incarnation(incarnation),
        ticket,
        name,
        _location(location) if location else None,
        tuple(Rule(*values) for values in json.loads(rules)),
        pulse,
        silence,
        bool(abandon),
        pid,
    )


def _location(text: str) -> Location:
    # Numeric, as it was written: a port is always there.
    return Location.parse(text, 0)
