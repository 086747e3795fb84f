"""The node's directories and pid files."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispycos.folders import FolderError
from dispycos.launch.fate import ended
from dispycos.node import fresh, ties, workspace
from dispycos.node.workspace import Workspace, open_workspace
from tests.helpers import unavailable, wait_until


@pytest.fixture(autouse=True)
def _own_tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "node"


@pytest.fixture
def opened(folder: Path) -> Iterator[Workspace]:
    place = open_workspace(str(folder))
    yield place
    place.close()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A live process that has nothing to do with us."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def forge(folder: Path, name: str, pid: int, start: str | None = None, boot: str | None = None) -> Path:
    """A pid file as an earlier run would have left it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    who = ties.identity(pid)
    start = start or (who.start if who else "1")
    file = folder / f"{name}.pid"
    file.write_text(f"pid {pid}\nstart {start}\nboot {boot or ties.boot_id()}\n")
    return file


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.row("DN-32", "SE-49")
def test_the_default_directory_is_ours_alone(tmp_path: Path) -> None:
    place = open_workspace()
    assert place.path == str(tmp_path / f"dispycos-{os.getuid()}")
    assert mode(place.path) == 0o700
    place.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.row("SE-49", "SE-117")
def test_a_default_directory_with_wider_bits_is_refused(tmp_path: Path) -> None:
    planted = tmp_path / f"dispycos-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o750)
    with pytest.raises(FolderError, match="chmod 700"):
        open_workspace()


@pytest.mark.row("SE-49", "SE-117")
def test_a_default_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"dispycos-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderError, match="is a link"):
        open_workspace()


@pytest.mark.row("SE-49", "SE-117")
def test_a_file_in_the_place_of_the_default_directory_is_refused_and_stays(tmp_path: Path) -> None:
    planted = tmp_path / f"dispycos-{os.getuid()}"
    planted.write_text("planted")
    with pytest.raises(FolderError, match="Not a directory"):
        open_workspace()
    assert planted.read_text() == "planted"


@pytest.mark.row("SE-49", "SE-117")
@pytest.mark.skipif(os.getuid() != 0, reason="root: only root can give a directory to another account")
def test_a_directory_of_another_account_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(FolderError, match="belongs to uid 12345"):
        open_workspace(str(folder))


@pytest.mark.row("DN-07")
def test_a_named_directory_is_made_private_and_removed_again(folder: Path) -> None:
    place = open_workspace(str(folder / "deeper"))
    assert mode(folder / "deeper") == 0o700
    place.close()
    assert not (folder / "deeper").exists()


@pytest.mark.row("DN-07")
def test_a_named_directory_of_the_user_stays(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    (folder / "mine.txt").write_text("mine")
    open_workspace(str(folder)).close()
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]


@pytest.mark.row("DN-01")
@pytest.mark.parametrize("bad", ["a file", "below a file", "writable by all"])
def test_an_unusable_directory_is_refused_in_one_sentence(folder: Path, bad: str) -> None:
    path = folder
    if bad == "writable by all":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        folder.write_text("")
        path = folder if bad == "a file" else folder / "below"
    with pytest.raises(FolderError) as caught:
        open_workspace(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.row("R-49")
def test_a_pid_file_is_text_with_pid_start_and_boot(opened: Workspace, folder: Path) -> None:
    opened.claim("server-1", os.getpid())
    fields = dict(line.split(" ", 1) for line in (folder / "server-1.pid").read_text().splitlines())
    who = ties.identity(os.getpid())
    assert who
    assert fields == {"pid": str(os.getpid()), "start": who.start, "boot": who.boot}
    opened.disclaim("server-1")
    opened.disclaim("server-1")
    assert [file.name for file in folder.iterdir()] == ["dispycosnode.pid"]


@pytest.mark.row("DN-26", "DN-40")
def test_a_directory_in_use_is_refused(folder: Path, sleeper: subprocess.Popen[bytes]) -> None:
    file = forge(folder, "dispycosnode", sleeper.pid)
    with pytest.raises(FolderError, match=rf"dispycosnode \(pid {sleeper.pid}\).*--clean"):
        open_workspace(str(folder))
    assert file.exists()
    assert sleeper.poll() is None


@pytest.mark.row("DN-26", "R-86")
def test_files_of_dead_processes_go_with_a_notice(folder: Path) -> None:
    forge(folder, "server-1", dead_pid())
    place = open_workspace(str(folder))
    assert place.notices == ["removed the pid file of server-1, which no longer runs"]
    assert not (folder / "server-1.pid").exists()
    place.close()


@pytest.mark.row("DN-25", "R-49")
def test_clean_ends_a_process_of_an_earlier_run(folder: Path, sleeper: subprocess.Popen[bytes]) -> None:
    forge(folder, "dispycosnode", sleeper.pid)
    place = open_workspace(str(folder), clean=True)
    assert sleeper.wait(5) == -signal.SIGTERM
    assert place.notices == [f"ended dispycosnode (pid {sleeper.pid}) of an earlier run"]
    place.close()


@pytest.mark.row("DN-25")
def test_clean_kills_what_ignores_the_request(folder: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        who = ties.identity(process.pid)
        assert who
        assert ties.end_process(who, grace=0.1)
        assert process.wait(5) == -signal.SIGKILL


@pytest.mark.row("R-11", "R-49")
def test_what_a_dead_node_s_tasks_left_is_ended_and_nothing_of_another_node(folder: Path) -> None:
    dead = dead_pid()
    forge(folder, "dispycosnode", dead, "17")
    # The last one's node had the same pid, at another time.
    marks = [{"_DISPYCOS_OF_NODE": f"{dead}:{start}:{ties.boot_id()}"} for start in ("17", "17", "171")]
    left, more, other = (subprocess.Popen(["sleep", "60"], env=mark) for mark in marks)
    try:
        place = open_workspace(str(folder))
        assert (left.wait(5), more.wait(5), other.poll()) == (-signal.SIGKILL, -signal.SIGKILL, None)
        assert "ended 2 processes that tasks of an earlier run had started" in place.notices
        place.close()
    finally:
        for process in (left, more, other):
            process.kill()
            process.wait()


@pytest.mark.row("DN-25", "R-49", "R-86")
@pytest.mark.parametrize("forged", [{"start": "12345"}, {"boot": "another-boot"}])
def test_clean_never_ends_a_stranger_with_a_reused_pid(
    folder: Path, sleeper: subprocess.Popen[bytes], forged: dict[str, str]
) -> None:
    forge(folder, "server-1", sleeper.pid, **forged)
    open_workspace(str(folder), clean=True).close()
    assert sleeper.poll() is None
    assert not (folder / "server-1.pid").exists()


@pytest.mark.row("DN-25", "SE-118", "SE-50")
@pytest.mark.parametrize(
    "content",
    [
        "", "pid\n", "pid x\nstart 1\n", "pid -1\nstart 1\n", "pid 99999999999\n", "\xff",
        pytest.param("pid 2\n" * 200_000, id="1 MB"), "__import__('os').abort()", "(S'pid'\ntR.",
    ],
)  # fmt: skip
def test_a_damaged_pid_file_is_nobodys(folder: Path, content: str) -> None:
    folder.mkdir(mode=0o700)
    (folder / "server-1.pid").write_text(content)
    open_workspace(str(folder), clean=True).close()
    assert not (folder / "server-1.pid").exists()


@pytest.mark.row("SE-118", "R-49")
@pytest.mark.parametrize("whose", ["init's", "ours", "another account's"])
def test_a_pid_file_that_names_a_process_which_can_not_be_ours_ends_nobody(
    folder: Path, whose: str, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = {"init's": 1, "ours": os.getpid(), "another account's": sleeper.pid}[whose]
    if whose == "another account's":
        owner = os.stat(f"/proc/{sleeper.pid}").st_uid
        monkeypatch.setattr("os.getuid", lambda: owner + 1)
        folder.mkdir(mode=0o700)
        if owner != 0:
            unavailable("root", "only root can play two accounts")
        os.chown(folder, owner + 1, -1)
    file = forge(folder, "server-1", pid)
    signals: list[tuple[int, int]] = []
    with monkeypatch.context() as patched:
        patched.setattr(signal, "pidfd_send_signal", lambda fd, number: signals.append((fd, number)))
        patched.setattr(os, "kill", lambda pid, number: signals.append((pid, number)))
        place = open_workspace(str(folder), clean=True)
    assert signals == []
    assert any("server-1" in notice for notice in place.notices)
    assert not file.exists()
    place.close()


@pytest.mark.row("DN-25")
def test_clean_removes_files_of_an_earlier_run_and_no_others(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    old = folder / f"dispycos-client-{'0' * 32}"
    (old / "dispycosproc-1").mkdir(parents=True)
    (folder / "dispycos-client-of-mine").mkdir()
    open_workspace(str(folder)).close()
    assert [file.name for file in folder.iterdir()] == ["dispycos-client-of-mine"]


@pytest.mark.row("DN-32", "SE-49")
def test_each_client_has_a_directory_of_its_own(opened: Workspace) -> None:
    one, two = opened.new_client(), opened.new_client()
    assert one.path != two.path
    assert mode(one.path) == 0o700
    assert one.server_path(1) == one.server_path(1) == f"{one.path}/dispycosproc-1"
    assert Path(one.server_path(2)).is_dir()


@pytest.mark.row("DN-32")
def test_a_planted_link_is_no_server_directory(opened: Workspace, tmp_path: Path) -> None:
    client = opened.new_client()
    Path(client.path, "dispycosproc-1").symlink_to(tmp_path)
    with pytest.raises(FolderError, match="not a directory"):
        client.server_path(1)


@pytest.mark.row("DN-33", "SE-49", "R-48")
def test_removal_follows_no_link(opened: Workspace, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold").write_text("gold")
    client = opened.new_client()
    Path(client.path, "to-folder").symlink_to(treasure)
    Path(client.path, "to-file").symlink_to(treasure / "gold")
    inner = Path(client.server_path(1), "inner")
    inner.symlink_to(treasure)
    os.link(treasure / "gold", Path(client.path, "hard"))
    client.remove()
    assert not Path(client.path).exists()
    assert (treasure / "gold").read_text() == "gold"


@pytest.mark.row("SE-49")
def test_a_client_directory_that_became_a_link_is_unlinked(opened: Workspace, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold").write_text("gold")
    client = opened.new_client()
    Path(client.path).rmdir()
    Path(client.path).symlink_to(treasure)
    client.remove()
    assert not os.path.lexists(client.path)
    assert (treasure / "gold").exists()


@pytest.mark.row("DN-33")
def test_removal_outlives_depth_modes_and_odd_names(opened: Workspace) -> None:
    client = opened.new_client()
    odd = Path(client.path, "odd")
    odd.mkdir()
    (odd / "line\nbreak").write_text("")
    os.mkfifo(odd / "fifo")
    (odd / "sealed" / "inner").mkdir(parents=True)
    (odd / "sealed").chmod(0)
    # Deeper than a path may be long and than Python recurses.
    here = os.open(client.path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    client.remove()
    assert not Path(client.path).exists()
    client.remove()  # gone already: fine


@pytest.mark.row("DC-59")
def test_a_dead_local_cluster_is_swept_and_a_live_one_is_not(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    dead, live, young = (Path(workspace.local_path()) for _ in range(3))
    forge(dead, "dispycosnode", dead_pid())
    forge(live, "dispycosnode", sleeper.pid)
    another = Path(workspace.local_path())
    base = tmp_path / f"dispycos-{os.getuid()}"
    assert set(base.iterdir()) == {live, young, another}


@pytest.mark.row("R-48")
def test_a_process_with_a_session_of_its_own_is_found_below_us() -> None:
    code = "import os, time; os.setsid(); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert process.pid in ties.descendants(os.getpid())
        assert ties.descendants(os.getpid(), group=process.pid) == [process.pid]
        assert ties.kill_below(os.getpid(), group=process.pid) == [process.pid]
        assert process.wait(5) == -signal.SIGKILL
        wait_until(lambda: process.pid not in ties.descendants(os.getpid()))


@pytest.mark.row("R-48")
def test_a_process_whose_parent_ends_while_we_look_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # 30 was read below 20; when 20 was read it had been waited for, and 30 was below 10 by then.
    torn = {1: ties._Seen(0, 1, False), 10: ties._Seen(1, 10, False), 30: ties._Seen(20, 30, False)}
    whole = {**torn, 30: ties._Seen(10, 30, False)}
    looks = iter([torn, whole])
    monkeypatch.setattr(ties, "_look", lambda: next(looks))
    assert ties.descendants(10) == [30]


@pytest.mark.row("R-48")
def test_a_zombie_is_a_link_to_what_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {
        1: ties._Seen(0, 1, False),
        10: ties._Seen(1, 10, False),
        20: ties._Seen(10, 10, True),
        30: ties._Seen(20, 30, False),
    }
    monkeypatch.setattr(ties, "_look", lambda: seen)
    assert ties.descendants(10) == [30]


@pytest.mark.row("R-05")
def test_ends_are_told_in_words() -> None:
    assert [ended(-9), ended(3)] == ["killed by signal 9 (SIGKILL)", "exit code 3"]
    assert ended(-40).startswith("killed by signal 40 (real-time signal")


@pytest.mark.row("SE-51")
def test_the_environment_of_client_code_leads_to_no_key() -> None:
    found = fresh.clean_environment({"DISPYCOS_SECRET_FILE": "/x", "DISPYCOS_SECRET": "s", "PATH": "/bin"})
    assert found == {"PATH": "/bin"}
