"""The journal's file: what is written comes back, what is damaged is kept aside."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from dispycos import messages as m
from dispycos.model import Location
from dispycos.scheduler import leases
from dispycos.scheduler.events import DropClient, KeepClient, KeepLease, Restored
from dispycos.scheduler.journal import MAX_FORMER, Journal, JournalError
from tests.unit.bench import who

RULE = m.Rule("10.0.*", 9706, "linux.*", -1, 5, 6, True)


def client(number: int, *, scheduled: bool = False, location: Location | None = None) -> KeepClient:
    name = f"c{number}"
    return KeepClient(number, number, scheduled, who(name), 7, name, location, (RULE,), 1.5, 7.5, True, 4711)


def lease(number: int, reservation: int = 1, node: str = "n1", place: str = "10.0.0.1") -> KeepLease:
    return KeepLease(number, reservation, who(node), Location(place, 9706))


def reopened(path: Path, our: str = "next") -> Restored:
    journal = Journal(str(path), who(our))
    journal.close()
    return journal.restored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.mark.row("R-54", "R-35", "R-17")
def test_what_was_written_comes_back(path: Path) -> None:
    journal = Journal(str(path), who("first"))
    assert journal.restored.clients == () and not journal.restored.lost
    first = client(1, scheduled=True, location=Location("fd99::1", 4000))
    journal.write([client(3), first, client(2), lease(5), lease(6, node="n2", place="10.0.0.2")])
    # Nothing is left in memory: as after kill -9.
    with sqlite3.connect(path) as database, pytest.raises(sqlite3.OperationalError):
        database.execute("SELECT * FROM clients")
    database.close()
    journal.close()
    restored = reopened(path)
    assert restored.clients == (first, client(2), client(3))
    assert set(restored.nodes) == {Location("10.0.0.1", 9706), Location("10.0.0.2", 9706)}
    assert restored.last_lease > 6
    assert restored.former == {who("first")}


@pytest.mark.row("R-54")
def test_who_left_is_gone_with_its_nodes(path: Path) -> None:
    journal = Journal(str(path), who("first"))
    journal.write([client(1, scheduled=True), client(2), lease(5)])
    journal.write([DropClient(1), client(2, scheduled=True), lease(6, reservation=2, node="n2")])
    journal.close()
    restored = reopened(path)
    assert restored.clients == (client(2, scheduled=True),)
    assert restored.nodes == (Location("10.0.0.1", 9706),)


@pytest.mark.row("R-22")
def test_everything_can_be_written_anew(path: Path) -> None:
    journal = Journal(str(path), who("first"))
    journal.write([client(1), client(2), lease(5)])
    journal.rewrite([client(3, scheduled=True), lease(4, reservation=3, node="n4", place="10.0.0.4")])
    journal.close()
    restored = reopened(path)
    assert restored.clients == (client(3, scheduled=True),)
    assert restored.nodes == (Location("10.0.0.4", 9706),)


@pytest.mark.row("R-35")
def test_lease_numbers_rise_whatever_happens_to_the_file(path: Path) -> None:
    journal = Journal(str(path), who("first"))
    first = journal.restored.last_lease
    # The clock was set back: what was granted counts.
    ahead = (int(time.time()) + 10_000) << 20
    journal.write([lease(ahead)])
    journal.close()
    assert reopened(path).last_lease > ahead
    path.unlink()
    assert reopened(path).last_lease >= first > 1 << 50


@pytest.mark.row("R-35", "R-25")
def test_lease_numbers_rise_though_nothing_was_written_and_the_clock_was_set_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reopened(path).last_lease
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 86400)
    assert reopened(path).last_lease >= first + leases.UNWRITTEN


def test_only_so_many_former_schedulers_are_remembered(path: Path) -> None:
    for number in range(MAX_FORMER + 5):
        Journal(str(path), who(f"s{number}")).close()
    former = reopened(path).former
    assert len(former) == MAX_FORMER
    assert who(f"s{MAX_FORMER + 4}") in former and who("s0") not in former


DAMAGES = {
    "no database": lambda path: path.write_bytes(b"something else " * 500),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "overwritten": lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * 20_000),
    "another format": lambda path: _execute(path, "PRAGMA user_version=99"),
    "other values": lambda path: _execute(path, "UPDATE clients SET ticket='seven'"),
    "rules of another kind": lambda path: _execute(path, "UPDATE clients SET rules='[[1]]'"),
    "random bytes": lambda path: path.write_bytes(os.urandom(50_000)),
    "a pickle": lambda path: path.write_bytes(b"cos\nabort\n(tR."),
    "no table": lambda path: _execute(path, "DROP TABLE clients"),
}


def _execute(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()


@pytest.mark.row("R-54", "SE-123", "SE-50")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_moved_aside_and_the_journal_begins_anew(path: Path, damage: str) -> None:
    journal = Journal(str(path), who("first"))
    journal.write([client(number) for number in range(1, 50)])
    journal.close()
    DAMAGES[damage](path)
    content = path.read_bytes()
    again = Journal(str(path), who("second"))
    assert again.restored.clients == () and again.restored.lost
    assert Path(again.damaged).read_bytes() == content
    again.write([client(1)])
    again.close()
    assert reopened(path).clients == (client(1),)


@pytest.mark.row("SE-123")
@pytest.mark.parametrize("to", ["a file of somebody", "nothing"])
def test_a_journal_that_is_a_link_is_not_followed(path: Path, to: str) -> None:
    target = path.with_name("target")
    if to == "a file of somebody":
        target.write_bytes(b"worth keeping " * 500)
    path.symlink_to(target)
    before = target.read_bytes() if target.exists() else None
    with pytest.raises(JournalError, match=r"journal\.db is a link"):
        Journal(str(path), who("first"))
    assert (target.read_bytes() if target.exists() else None) == before
    assert path.is_symlink()


@pytest.mark.row("SE-123")
def test_a_file_that_another_process_has_is_left_alone(path: Path) -> None:
    journal = Journal(str(path), who("first"))
    journal.write([client(1)])
    with pytest.raises(JournalError, match="is in use by another scheduler"):
        Journal(str(path), who("second"))
    journal.write([client(2)])
    journal.close()
    assert [kept.name for kept in reopened(path).clients] == ["c1", "c2"]


@pytest.mark.row("R-22")
def test_what_can_not_be_written_is_one_sentence_and_nothing_of_it_is_there(path: Path) -> None:
    journal = Journal(str(path), who("first"))
    journal.write([client(1)])
    assert journal._database is not None
    (pages,) = journal._database.execute("PRAGMA page_count").fetchone()
    journal._database.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(JournalError, match=r"journal\.db can't be written: database or disk is full"):
        journal.write([client(number) for number in range(2, 200)])
    journal._database.execute("PRAGMA max_page_count=1000000")
    journal.write([client(2)])
    journal.close()
    assert [kept.name for kept in reopened(path).clients] == ["c1", "c2"]
    with pytest.raises(JournalError, match="is closed"):
        journal.write([client(3)])


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="unable to open"):
        Journal(str(tmp_path / "nowhere" / "journal.db"), who("first"))


def test_the_file_is_ours_alone(path: Path) -> None:
    journal = Journal(str(path), who("first"))
    journal.write([client(1)])
    assert {file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == {0}
    journal.close()


@pytest.mark.row("R-54", "R-17")
@pytest.mark.parametrize("how", ["the file is removed", "the folder is removed", "another file is there"])
def test_a_journal_that_is_removed_while_it_is_used_is_noticed_and_made_again(
    tmp_path: Path, how: str
) -> None:
    path = tmp_path / "folder" / "journal.db"
    path.parent.mkdir()
    journal = Journal(str(path), who("first"), make_folder=lambda: path.parent.mkdir(exist_ok=True))
    journal.write([client(1)])
    if how == "another file is there":
        path.rename(path.with_suffix(".old"))
        path.touch()
    else:
        for file in path.parent.iterdir():
            file.unlink()
        if how == "the folder is removed":
            path.parent.rmdir()
    with pytest.raises(JournalError, match=r"journal\.db was removed or replaced while it was in use"):
        journal.write([client(2)])
    journal.rewrite([client(1), client(2)])
    journal.write([client(3)])
    journal.close()
    assert [kept.name for kept in reopened(path).clients] == ["c1", "c2", "c3"]
    assert reopened(path, "later").former == {who("first"), who("next")}


@pytest.mark.row("R-54")
def test_a_journal_that_can_not_be_made_again_is_told_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "journal.db"
    path.parent.mkdir()

    def make() -> None:
        if "blocked" in made:
            raise PermissionError(13, "Permission denied")
        path.parent.mkdir()

    made = ["blocked"]
    journal = Journal(str(path), who("first"), make_folder=make)
    shutil.rmtree(path.parent)
    for _ in range(2):
        with pytest.raises(JournalError, match=r"can't be made again: .*Permission denied"):
            journal.rewrite([client(1)])
    made.clear()
    journal.rewrite([client(1)])
    journal.close()
    assert [kept.name for kept in reopened(path).clients] == ["c1"]
