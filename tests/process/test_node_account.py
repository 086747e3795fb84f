"""A node of root whose clients' code is another account: `--run_as`.

Needs root, and a Python that the other account may run.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import site
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos.messages import ServerStarted
from tests.helpers import ROOT, background, run_program, unavailable, wait_until
from tests.process.daemons import Node, command
from tests.process.nodes import Master
from tests.process.test_node import compute

USER = "nobody"
# Pytest's own folders are closed to other accounts, from the top on.
PARENT = Path("/tmp") / f"dispycos-test-{os.getpid()}-account"
FOLDER = PARENT / "work"


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that the other account may run, with all that a node needs."""
    if os.geteuid() != 0:
        unavailable("root", "only root can run tasks as another account")
    said = ""
    for candidate in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run(
                [candidate, "-c", "import dispycos.node.zygote, msgpack, cloudpickle, tblib, psutil"],
                user=USER, group=pwd.getpwnam(USER).pw_gid, extra_groups=[], env=environment(), cwd="/",
                capture_output=True, timeout=30, check=True,
            )  # fmt: skip
        except (OSError, subprocess.CalledProcessError) as exc:
            said = str(exc)
        else:
            break
    else:
        unavailable("account", f"no Python here can be run by {USER}: {said}")
    return candidate


def environment() -> dict[str, str]:
    paths = [str(ROOT), *site.getsitepackages()]
    # Tests of other workers have processes of that account, too; the folder tells them apart.
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "TEST_FOLDER": str(PARENT),
    }


@pytest.fixture
def node(python: str, key_file: Path) -> Iterator[Node]:
    PARENT.mkdir(mode=0o711)
    line = command(PARENT, key_file, "--run_as", USER, "--daemon")
    try:
        with background([python, *line[1:]], env=environment()) as program:
            yield Node(program)
            if program.process.poll() is None:
                program.process.terminate()
                assert program.wait(20) == 0, program.output
                assert not list(PARENT.iterdir()), "files of the node were left"
    finally:
        shutil.rmtree(PARENT)


def who(task: Any = None) -> Any:
    yield
    status = dict(
        line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line
    )
    ids = (os.getresuid(), os.getresgid(), sorted(os.getgroups()))
    return ids, status["NoNewPrivs"], os.environ["HOME"]


def try_everything(daemon: int, key: str, folder: str, task: Any = None) -> Any:
    """What a task must not be able to do to its node; the names of what it could."""
    import signal

    def become_root() -> None:
        os.setuid(0)

    def signal_daemon() -> None:
        os.kill(daemon, signal.SIGURG)

    def signal_a_thread_of_it() -> None:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        allowed = [
            libc.tgkill(daemon, int(thread), signal.SIGURG) for thread in os.listdir(f"/proc/{daemon}/task")
        ]
        if 0 not in allowed:
            raise PermissionError

    def read_key() -> None:
        Path(key).read_text()

    def read_memory() -> None:
        Path(f"/proc/{daemon}/mem").open("rb").close()

    def read_environment() -> None:
        Path(f"/proc/{daemon}/environ").read_bytes()

    def list_folder() -> None:
        os.listdir(folder)

    def read_pid_file() -> None:
        Path(folder, "dispycosnode.pid").read_text()

    def write_in_folder() -> None:
        Path(folder, "planted.pid").touch()

    yield
    done = []
    for attempt in (
        become_root, signal_daemon, signal_a_thread_of_it, read_key, read_memory, read_environment,
        list_folder, read_pid_file, write_in_folder,
    ):  # fmt: skip
        try:
            attempt()
        except PermissionError:
            continue
        done.append(attempt.__name__)
    return done


def use_files(task: Any = None) -> Any:
    """What a task must be able to do: read what was sent, write beside it and above."""
    yield
    Path("own").write_text(Path("../sent/data").read_text())
    os.makedirs("../made/deep", mode=0o700)
    owners = {os.stat(name).st_uid for name in ("own", ".", "..", "../sent", "../sent/data", "../made")}
    return Path("own").read_text(), owners


@pytest.mark.row("SE-52", "DN-31")
def test_tasks_are_the_other_account_for_good_and_can_not_touch_their_node(
    node: Node, master: Master, key_file: Path
) -> None:
    (server, _) = master.use(node.location, 2)
    ids, no_new_privileges, home = master.run(server, who)
    entry = pwd.getpwnam(USER)
    assert ids == ((entry.pw_uid,) * 3, (entry.pw_gid,) * 3, sorted(os.getgrouplist(USER, entry.pw_gid)))
    assert no_new_privileges == "1"
    assert home == entry.pw_dir
    assert os.stat(f"/proc/{node.pid}").st_uid == 0
    assert master.run(server, try_everything, node.pid, str(key_file), str(FOLDER)) == []
    master.release(master.dial(node.location))


@pytest.mark.row("SE-52", "DN-33")
def test_a_task_uses_files_that_were_sent_and_all_of_them_go(
    node: Node, master: Master, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("for the task")
    (tmp_path / "data").chmod(0o600)
    peer = master.dial(node.location)
    master.prepare(peer, 2)
    master.send_file(peer, tmp_path / "data", "sent/data")
    server = master.take(master.next(ServerStarted).server)
    assert master.run(server, use_files) == ("for the task", {pwd.getpwnam(USER).pw_uid})
    master.release(peer)


@pytest.mark.row("SE-52", "R-11")
def test_nothing_of_the_other_account_outlives_a_node_that_is_killed(node: Node, master: Master) -> None:
    (server, _) = master.use(node.location, 2)
    assert master.run(server, compute, 7) == 49
    node.program.process.kill()
    node.program.wait(10)
    wait_until(lambda: not [pid for pid in processes_of(USER) if mine(pid)], 20, "processes of its clients")
    # The directory itself is in the node's own, which the account can't write: the next node removes it.
    (left,) = FOLDER.glob("dispycos-client-*")
    assert not list(left.iterdir())


def processes_of(user: str) -> list[int]:
    uid = pwd.getpwnam(user).pw_uid
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and owner(p) == uid]


def owner(path: Path) -> int:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return -1


def mine(pid: int, word: bytes = b"dispycos.node.zygote") -> bool:
    """It is of this test's node, and has that word in its command line."""
    process = Path(f"/proc/{pid}")
    try:
        ours = f"TEST_FOLDER={PARENT}".encode() in (process / "environ").read_bytes().split(b"\0")
        return ours and word in (process / "cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.row("SE-52", "DN-31")
@pytest.mark.parametrize("name", ["nobody-of-that-name", "root"])
def test_an_account_that_can_not_be_used_is_refused(
    tmp_path: Path, key_file: Path, python: str, name: str
) -> None:
    found = run_program(command(tmp_path, key_file, "--run_as", name))
    assert found.code == 2
    assert f"--run_as {name!r}" in found.err


# A Python whose file has set-user-id bits (DN-39).

STARTER = "daemon"


def with_bits(python: str, folder: Path, mode: int, account: str = USER) -> Path:
    """A copy of the interpreter that makes who runs it that account."""
    entry = pwd.getpwnam(account)
    copy = Path(shutil.copy(os.path.realpath(python), folder / "python"))
    os.chown(copy, entry.pw_uid, entry.pw_gid)
    copy.chmod(0o755 | mode)
    if os.statvfs(folder).f_flag & os.ST_NOSUID:
        unavailable("account", f"{folder} is mounted without set-user-id bits")
    return copy


def of_a_copy(python: str) -> dict[str, str]:
    """The environment in which a copy of that interpreter finds its library."""
    return {**environment(), "PYTHONHOME": sys.base_prefix if python == sys.executable else "/usr"}


def run_as_starter(line: list[str]) -> list[str]:
    entry = pwd.getpwnam(STARTER)
    ids = f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}"
    return ["setpriv", *ids, "--clear-groups", "--", *line]


@pytest.fixture
def bits(python: str, key_file: Path) -> Iterator[Node]:
    PARENT.mkdir(mode=0o711)
    starter = pwd.getpwnam(STARTER)
    try:
        copy = with_bits(python, PARENT, stat.S_ISUID | stat.S_ISGID)
        FOLDER.mkdir(mode=0o700)
        key = shutil.copy(key_file, PARENT / "key")
        for path in (FOLDER, key):
            os.chown(path, starter.pw_uid, starter.pw_gid)
        line = command(PARENT, Path(key), "--daemon")
        with background(run_as_starter([str(copy), *line[1:]]), env=of_a_copy(python)) as program:
            yield Node(program)
            if program.process.poll() is None:
                program.process.terminate()
                assert program.wait(20) == 0, program.output
                assert not list(FOLDER.iterdir()), "files of the node were left"
    finally:
        shutil.rmtree(PARENT)


def ids_of(pid: int) -> list[set[int]]:
    """Real, effective and saved: of users, of groups."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [set(map(int, line.split()[1:4])) for line in lines if line.startswith(("Uid:", "Gid:"))]


@pytest.mark.row("DN-39", "SE-52")
def test_with_set_user_id_bits_tasks_are_that_account_for_good_and_the_node_is_who_started_it(
    bits: Node, master: Master
) -> None:
    (server, _) = master.use(bits.location, 2)
    ids, no_new_privileges, home = master.run(server, who)
    entry = pwd.getpwnam(USER)
    assert ids[:2] == ((entry.pw_uid,) * 3, (entry.pw_gid,) * 3)
    assert no_new_privileges == "1"
    assert home == entry.pw_dir
    starter = pwd.getpwnam(STARTER)
    status = Path(f"/proc/{bits.pid}/status").read_text()
    (uids,) = [line.split()[1:] for line in status.splitlines() if line.startswith("Uid:")]
    assert set(map(int, uids)) == {starter.pw_uid}
    key, folder = str(PARENT / "key"), str(FOLDER)
    assert master.run(server, try_everything, bits.pid, key, folder) == []
    master.release(master.dial(bits.location))


@pytest.mark.row("DN-39", "DN-33")
def test_with_bits_files_are_the_other_account_s_and_the_node_removes_them(
    bits: Node, master: Master, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("for the task")
    (tmp_path / "data").chmod(0o600)
    peer = master.dial(bits.location)
    master.prepare(peer, 2)
    master.send_file(peer, tmp_path / "data", "sent/data")
    server = master.take(master.next(ServerStarted).server)
    assert master.run(server, use_files) == ("for the task", {pwd.getpwnam(USER).pw_uid})
    master.release(peer)
    assert not list(FOLDER.glob("dispycos-client-*"))


@pytest.mark.row("DN-39", "R-48", "R-08")
def test_with_bits_the_node_ends_what_does_not_end_by_itself(bits: Node, master: Master) -> None:
    (server, _) = master.use(bits.location, 2)
    master.submit(server, stays)
    wait_until(lambda: len([pid for pid in processes_with(USER) if sleeps(pid)]) == 1, 20, "the orphan")
    master.release(master.dial(bits.location))
    assert not [pid for pid in processes_with(USER) if mine(pid) or sleeps(pid)]


@pytest.mark.row("DN-39", "DN-25")
def test_with_bits_clean_removes_what_a_killed_node_left(bits: Node, master: Master, python: str) -> None:
    (server, _) = master.use(bits.location, 2)
    assert master.run(server, compute, 7) == 49
    line = bits.program.process.args
    bits.program.process.kill()
    bits.program.wait(10)
    wait_until(lambda: not [pid for pid in processes_with(USER) if mine(pid)], 20, "processes of its clients")
    assert list(FOLDER.glob("dispycos-client-*"))
    with background([*line, "--clean"], env=of_a_copy(python)) as program:
        Node(program)
        assert not list(FOLDER.glob("dispycos-client-*"))
        program.process.terminate()
        assert program.wait(20) == 0, program.output


def stays(task: Any = None) -> Any:
    """Leaves a process with a session of its own, and does not yield."""
    import subprocess
    import time

    subprocess.Popen(["sleep", "7654"], start_new_session=True)
    time.sleep(1000)
    yield


def processes_with(user: str) -> list[int]:
    uid = pwd.getpwnam(user).pw_uid
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if uid in ids_of(int(process.name))[0]:
                    found.append(int(process.name))
            except (OSError, IndexError):
                continue
    return found


def sleeps(pid: int) -> bool:
    return mine(pid, b"7654")


@pytest.mark.row("DN-39", "SE-52")
def test_bits_that_can_not_keep_tasks_from_their_node_are_refused(python: str) -> None:
    with tempfile.TemporaryDirectory(prefix="dispycos-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        copy = with_bits(python, folder, stat.S_ISGID)
        line = [str(copy), "-m", "dispycos.node", "--host", "127.0.0.1", "--dest_path", f"{folder}/work"]
        found = run_program(run_as_starter(line), env=of_a_copy(python), cwd="/")
    assert found.code == 1, found.err
    assert re.fullmatch(r"dispycosnode: \S+ has the set-group-id bit alone, .+\n", found.err)


@pytest.mark.row("DN-39", "SE-52")
def test_bits_of_root_are_warned_of_and_refused_where_others_reach_the_node(python: str) -> None:
    with tempfile.TemporaryDirectory(prefix="dispycos-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        copy = with_bits(python, folder, stat.S_ISUID, "root")
        line = [str(copy), "-m", "dispycos.node", "--host", "0.0.0.0", "--dest_path", f"{folder}/work"]
        found = run_program(run_as_starter(line), env=of_a_copy(python), cwd="/")
    assert found.code == 2, found.err
    assert "tasks of clients run as root, for" in found.err
    assert "tasks of clients would run as root here, and other machines reach 0.0.0.0" in found.err
    assert "--host 127.0.0.1" in found.err
