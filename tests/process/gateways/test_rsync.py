"""Copies of folders: what travels, what is kept, and what is refused."""

from __future__ import annotations

import importlib.util
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispycos.errors import RemoteProtocolError
from dispycos.gateways import Group, RemoteError, RSync, rsync_far

pytestmark = pytest.mark.row("EX-28")


@pytest.fixture(scope="module")
def pair() -> Iterator[Group]:
    made = Group(["popen//id=first", "popen//id=second"])
    yield made
    made.terminate(5)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    (top / "inner" / "empty").mkdir(parents=True)
    (top / "plain").write_text("plain")
    (top / "inner" / "large").write_bytes(os.urandom(3_000_000))
    (top / "inner" / "nothing").touch()
    (top / "plain").chmod(0o750)
    os.utime(top / "plain", ns=(10**18, 10**18))
    (top / "to_plain").symlink_to("plain")
    (top / "inner" / "absolute").symlink_to(top / "inner" / "large")
    (top / "out").symlink_to("/nowhere/at all")
    return top


def tree(top: Path) -> dict[str, tuple[object, ...]]:
    """What is below a folder, by relative name."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            found[name] = ("link", os.readlink(path).replace(str(top), "TOP"))
        elif path.is_dir():
            found[name] = ("folder", mode)
        else:
            found[name] = ("file", mode, path.read_bytes(), path.stat().st_mtime_ns)
    return found


class Copies:
    """Copies to all gateways of a group, and what was reported meanwhile."""

    def __init__(self, source: Path, group: Group, tmp_path: Path, **options: bool) -> None:
        self.folders = [tmp_path / f"copy-{gateway.id}" for gateway in group]
        self.events: list[tuple[str, int]] = []
        rsync = RSync(
            source, callback=lambda event, size, _: self.events.append((event, size)), verbose=False
        )
        for gateway, folder in zip(group, self.folders, strict=True):
            rsync.add_target(gateway, folder, **options)
        rsync.send()

    def note(self, event: str, size: int, channel: object) -> None:
        self.events.append((event, size))


def test_a_folder_is_copied_whole_to_each_far_end(source, pair, tmp_path):
    copies = Copies(source, pair, tmp_path)
    for folder in copies.folders:
        assert tree(folder) == tree(source)
    assert copies.events.count(("list", 3_000_005)) == 2
    assert copies.events.count(("ack", 3_000_000)) == copies.events.count(("ack", 5)) == 2


def test_only_what_changed_travels(source, pair, tmp_path):
    Copies(source, pair, tmp_path)
    assert Copies(source, pair, tmp_path).events == [("list", 0)] * 2
    facts = (source / "plain").stat()
    (source / "plain").write_text("PLAIN")
    os.utime(source / "plain", ns=(facts.st_atime_ns, facts.st_mtime_ns))  # size and time tell nothing
    (source / "plain").chmod(0o600)
    copies = Copies(source, pair, tmp_path)
    assert sorted(copies.events) == [("ack", 5)] * 2 + [("list", 5)] * 2
    for folder in copies.folders:
        assert tree(folder) == tree(source)


def test_modes_and_times_are_kept_though_no_content_travels(source, pair, tmp_path):
    Copies(source, pair, tmp_path)
    (source / "plain").chmod(0o640)
    (source / "inner").chmod(0o710)
    os.utime(source / "plain", ns=(5, 5_000_000_000))
    copies = Copies(source, pair, tmp_path)
    assert copies.events == [("list", 0)] * 2
    for folder in copies.folders:
        assert tree(folder) == tree(source)


def test_a_folder_without_write_permission_can_be_copied_again(source, pair, tmp_path):
    (source / "inner").chmod(0o500)
    try:
        for _ in range(2):
            copies = Copies(source, pair, tmp_path)
        assert stat.S_IMODE((copies.folders[0] / "inner").stat().st_mode) == 0o700
    finally:
        (source / "inner").chmod(0o700)


def test_what_the_source_has_no_more_goes_only_if_asked(source, pair, tmp_path):
    copies = Copies(source, pair, tmp_path)
    (source / "plain").unlink()
    (source / "to_plain").unlink()
    (copies.folders[0] / "inner" / "empty" / "extra").mkdir()
    Copies(source, pair, tmp_path)
    assert (copies.folders[0] / "plain").exists() and (copies.folders[0] / "to_plain").is_symlink()
    Copies(source, pair, tmp_path, delete=True)
    for folder in copies.folders:
        assert tree(folder) == tree(source)


def test_kinds_may_change_places(source, pair, tmp_path):
    copies = Copies(source, pair, tmp_path)
    (source / "plain").unlink()
    (source / "plain").mkdir()
    (source / "plain" / "inside").write_text("a folder now")
    (source / "to_plain").unlink()
    (source / "to_plain").write_text("a file now")
    (source / "inner" / "empty").rmdir()
    (source / "inner" / "empty").symlink_to("nothing")
    Copies(source, pair, tmp_path)
    for folder in copies.folders:
        assert tree(folder) == tree(source)


def test_a_folder_with_files_is_not_thrown_away_for_a_file_unasked(source, pair, tmp_path):
    copies = Copies(source, pair, tmp_path)
    for folder in copies.folders:
        (folder / "plain").unlink()
        (folder / "plain").mkdir()
        (folder / "plain" / "precious").write_text("mine")
    with pytest.raises(RemoteError, match="not empty"):
        Copies(source, pair, tmp_path)
    assert all((folder / "plain" / "precious").read_text() == "mine" for folder in copies.folders)
    Copies(source, pair, tmp_path, delete=True)
    assert tree(copies.folders[0]) == tree(source)


def test_a_link_at_the_far_end_is_replaced_and_not_followed(source, pair, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "large").write_text("untouched")
    copy = tmp_path / "copy-first"
    copy.mkdir()
    (copy / "inner").symlink_to(outside)
    (copy / "plain").symlink_to(outside / "large")
    Copies(source, pair, tmp_path, delete=True)
    assert tree(copy) == tree(source)
    assert tree(outside)["large"][2] == b"untouched" and len(tree(outside)) == 1


def test_a_filter_leaves_out_files_and_folders(source, pair, tmp_path):
    asked = []

    class Some(RSync):
        def filter(self, path):
            asked.append(path)
            return not path.endswith(("inner", "out"))

    rsync = Some(source, verbose=False)
    rsync.add_target(pair[0], tmp_path / "copy")
    rsync.send()
    assert sorted(tree(tmp_path / "copy")) == ["plain", "to_plain"]
    assert str(source) not in asked and not any("large" in path for path in asked)


def test_files_that_disappear_meanwhile_are_left_out(source, pair, tmp_path):
    class Removes(RSync):
        def filter(self, path):
            if path.endswith("plain"):
                os.unlink(path)
            return True

    def remove(event, size, channel):
        # Told after the list was made, and before the files are read.
        if event == "list":
            (source / "inner" / "large").unlink()

    rsync = Removes(source, callback=remove, verbose=False)
    rsync.add_target(pair[0], tmp_path / "copy")
    rsync.send()
    assert sorted(tree(tmp_path / "copy")) == [
        "inner",
        "inner/absolute",
        "inner/empty",
        "inner/nothing",
        "out",
    ]


def test_without_a_target_there_is_an_error(source, pair, tmp_path):
    rsync = RSync(source, verbose=False)
    with pytest.raises(OSError, match="no target"):
        rsync.send()
    rsync.send(raises=False)
    rsync.add_target(pair[0], tmp_path / "copy")
    rsync.send()
    with pytest.raises(OSError, match="no target"):  # each send uses them up
        rsync.send()
    with pytest.raises(FileNotFoundError):
        gone = RSync(source / "nowhere")
        gone.add_target(pair[0], tmp_path / "copy")
        gone.send()


def test_one_far_end_that_fails_leaves_the_others_their_copy(source, pair, tmp_path):
    (tmp_path / "file").write_text("in the way")
    rsync = RSync(source, verbose=False)
    done = threading.Event()
    rsync.add_target(pair[0], tmp_path / "file" / "copy")
    rsync.add_target(pair[1], tmp_path / "copy", finishedcallback=done.set)
    with pytest.raises(RemoteError, match="NotADirectoryError"):
        rsync.send()
    assert done.is_set()
    assert tree(tmp_path / "copy") == tree(source)


def test_what_travels_is_printed_unless_one_does_not_want_it(source, pair, tmp_path, capsys):
    rsync = RSync(source)
    rsync.add_target(pair[0], tmp_path / "copy")
    rsync.send()
    assert "first <= plain\n" in capsys.readouterr().out


# Other ends than ours.


@pytest.mark.parametrize(
    "folder",
    [
        (("..",), 0o700, [], [], []),
        (("inner", "deeper"), 0o700, [], [], []),
        ((), 0o700, [("../file", 0o600, 0, 0)], [], []),
        ((), 0o700, [("/etc/passwd", 0o600, 0, 0)], [], []),
        ((), 0o700, [(".", 0o600, 0, 0)], [], []),
        ((), 0o700, [("", 0o600, 0, 0)], [], []),
        ((), 0o700, [("a\0b", 0o600, 0, 0)], [], []),
        ((), 0o700, [], [("../link", False, "x")], []),
        ((), 0o700, [], [("link", True, ("..", "..", "etc"))], []),
        ((), 0o700, [], [], [".."]),
    ],
)
def test_a_sender_can_not_lead_out_of_the_folder(pair, tmp_path, folder):
    outside = tmp_path / "outside"
    outside.mkdir()
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "inner").symlink_to(outside)
    channel = pair[0].remote_exec(rsync_far)
    channel.send((str(copy), True))
    if folder[0]:
        channel.send(((), 0o700, [], [], ["inner"]))
    channel.send(folder)
    with pytest.raises(RemoteError, match=r"no name of a file|before the folder"):
        channel.waitclose(20)
    assert list(outside.iterdir()) == []


def test_a_link_that_takes_a_folders_place_is_not_gone_through(pair, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    channel = pair[0].remote_exec(rsync_far)
    channel.send((str(tmp_path / "copy"), True))
    channel.send(((), 0o700, [], [("inner", False, str(outside))], ["inner"]))
    channel.send((("inner",), 0o777, [("file", 0o600, 1, 0)], [], []))
    channel.send(None)
    assert channel.receive(20) == (0, None)
    assert channel.receive(20) is None
    channel.send((0, b"x", False))
    assert channel.receive(20) == 0
    channel.send(None)
    channel.waitclose(20)
    assert list(outside.iterdir()) == [] and stat.S_IMODE(outside.stat().st_mode) == 0o700


@pytest.mark.parametrize("answer", [(7, None), (-1, None), ("../../etc/passwd", None), 5])
def test_a_receiver_gets_no_file_that_was_not_offered(source, group, tmp_path, monkeypatch, answer):
    hostile = tmp_path / "hostile.py"
    hostile.write_text(
        "while channel.receive() is not None: pass\n"
        f"channel.send({answer!r})\n"
        "for item in channel: print('LEAKED', item)\n"
    )
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("hostile", hostile))
    monkeypatch.setattr("dispycos.gateways.rsync.rsync_far", module)
    rsync = RSync(source, verbose=False)
    rsync.add_target(group.makegateway("popen"), tmp_path / "copy")
    with pytest.raises(RemoteProtocolError, match="a far end asks for"):
        rsync.send()
