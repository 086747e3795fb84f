"""`dispycos top` and `dispycos status`, in a real terminal, on real clusters."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispycos import keyfile
from dispycos.httpd import notes
from tests.helpers import Program, background, run_program, wait_until
from tests.monitors import synthetic
from tests.process.terminals import DISPYCOS, terminal

# A cluster of one node with two servers; what is typed at it happens.
PROGRAM = """
import sys
import threading
import dispycos
from dispycos.httpd import HTTPServer

def stands(number, task=None):
    def inner():
        yield task.receive()
    print("printed by", number, flush=True)
    yield inner()

def fails(task=None):
    yield
    raise ValueError("no such row")

def main(client, task=None):
    yield client.schedule()
    threading.Thread(target=lambda: [task.send(line.strip()) for line in sys.stdin], daemon=True).start()
    for number in range(2):
        yield client.rtask(stands, number)
    print("ready", flush=True)
    while (yield task.receive()) != "end":
        yield client.io_rtask(fails)
    yield client.close(terminate=True)

if __name__ == "__main__":
    with dispycos.LocalCluster(2):
        client = dispycos.Client([stands, fails])
        monitor = HTTPServer(client, port=0)
        dispycos.Task(main, client).value()
"""
SHOWN, HIDDEN = b"\x1b[?1049h", b"\x1b[?1049l"  # the other screen of a terminal
LINK = re.compile(r"http://127\.0\.0\.1:(\d+)/#token=\S+")


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, str]:
    """An environment whose account's folder is the test's own: no other monitor is found in it."""
    path = tmp_path / "tmp"
    path.mkdir()
    return {"TMPDIR": str(path)}


@pytest.fixture
def watched(tmp_path: Path, folder: dict[str, str]) -> Iterator[tuple[Program, str]]:
    """A program with a cluster and a monitor, and the link that it printed."""
    path = tmp_path / "watched.py"
    path.write_text(PROGRAM)
    with background([sys.executable, str(path)], env=folder) as program:
        link = program.wait_line("dispycos monitor: ").rpartition(" ")[2]
        program.wait_line("ready", 30)
        yield program, link


@pytest.mark.row("MO-15", "MO-16", "MO-18", "MO-19", "MO-22", "MO-60")
def test_a_terminal_finds_the_program_of_its_account_and_shows_it_live(
    watched: tuple[Program, str], folder: dict[str, str]
) -> None:
    program, _ = watched
    with terminal(*DISPYCOS, "top", env=folder) as screen:
        screen.wait_for("watched.py", "nodes 1 initialized", "servers 2 busy", "tasks 2 running", "127.0.0.1")
        program.write("go")
        screen.wait_for("1 done, 1 of them failed")
        screen.type("2")
        screen.wait_for("by server", "RUNNING")
        screen.type("1\r")  # the node, then its first server
        screen.wait_for("CPU free", "dispycos 0", "MEAN")
        screen.type("\r")
        screen.wait_for("stands", "inner watched.py:9", "printed last")
        screen.type("4")
        screen.wait_for("no such row", "error")
        program.write("end")
        screen.wait_for("the program finished at", "its last state", "4 events")
        program.wait(30)
        screen.type("q")
        assert screen.end() == 0
        assert "watched.py, closed" in screen.text
    assert notes_in(folder) == []


@pytest.mark.row("SE-57")
def test_a_dump_has_cluster_settings_and_logs_and_nothing_that_is_secret(
    watched: tuple[Program, str], folder: dict[str, str], tmp_path: Path
) -> None:
    _, link = watched
    token = link.rpartition("=")[2]
    home = tmp_path / "home"
    key = home / "keys" / "key"
    key.parent.mkdir(mode=0o700, parents=True)
    keyfile.create(key)
    hidden = key.read_text().split()[-1]
    log, report = home / "node.log", tmp_path / "report.json"
    log.write_text(
        "dropped line\n" + "an early line\n" * 198 + f"opened {link}\nkey {hidden} --secret SESAME\n"
    )
    env = {**folder, "HOME": str(home), "DISPYCOS_SECRET_FILE": str(key), "DISPYCOS_SECRET": "SESAME"}
    env |= {"DISPYCOS_PASSPHRASE": "planted", "DISPYCOS_OTHER": "planted"}
    env |= {"DISPYCOS_NODE_CPUS": "3", "DISPYCOS_NODE_CPU": "3"}
    command = [*DISPYCOS, "dump", "--log", str(log)]
    code, _, err = run_program([*command, "--json", "-o", str(report)], env=env)
    assert code == 0, err
    assert report.stat().st_mode & 0o777 == 0o600
    text = report.read_text()
    assert not [word for word in ("SESAME", "planted", token, hidden, str(home)) if word in text]
    found = json.loads(text)
    assert found["cluster"]["status"]["nodes"] and found["cluster"]["why"]["text"]
    assert any(line.split() == ["cpus", "=", "3", "#", "DISPYCOS_NODE_CPUS"] for line in found["settings"])
    assert any("DISPYCOS_NODE_CPU is no setting" in line for line in found["settings"]) and found["doctor"]
    assert {"DISPYCOS_NODE_CPUS=3", "DISPYCOS_OTHER is set"} <= set(found["variables"])
    (lines,) = found["logs"].values()
    assert (
        len(lines) == 200
        and lines[0] == "an early line"
        and lines[-1] == "key [redacted] --secret [redacted]"
    )
    # A file that is there is not written over, and a cluster that does not answer is no fault.
    code, _, err = run_program([*command, "-o", str(report)], env=env)
    assert code == 1 and "File exists" in err and report.read_text() == text
    code, out, _ = run_program([*command, "1"], env=env)
    assert code == 0 and "not known: no monitor of this account listens at port 1 here" in out
    assert not [word for word in ("SESAME", token, hidden, str(home)) if word in out]


@pytest.mark.row("MO-61")
def test_a_killed_program_is_told_and_its_note_swept(
    watched: tuple[Program, str], folder: dict[str, str]
) -> None:
    program, _ = watched
    with terminal(*DISPYCOS, "top", env=folder) as screen:
        screen.wait_for("live", "servers 2 busy")
        program.kill()
        screen.wait_for("no answer: the program has probably ended; trying again, as of", "servers 2 busy")
        wait_until(lambda: notes_in(folder) == [], what="the note to be swept")
        screen.type("\x03")
        assert screen.end() == 0
    code, _, err = run_program([*DISPYCOS, "top"], env=folder)
    assert code == 1 and "must be a terminal" in err
    with terminal(*DISPYCOS, "top", env=folder) as screen:
        assert screen.end() == 1
        assert "no monitor of this account runs on this machine" in screen.text


@pytest.mark.row("MO-33", "MO-16", "SE-36", "SE-39")
def test_status_prints_once_what_is_known_and_the_note_lets_only_its_account_look(
    watched: tuple[Program, str], folder: dict[str, str]
) -> None:
    _, link = watched
    port = LINK.fullmatch(link)[1]  # type: ignore[index]  # it matched when it was printed
    # What was asked for a second ago still counts as present.
    wait_until(lambda: "2 busy" in run_program([*DISPYCOS, "status"], env=folder).out, 20, "two busy servers")
    for which, typed in (([], ""), ([port], ""), (["-"], f"{link}\n")):
        code, out, err = run_program([*DISPYCOS, "status", *which], env=folder, input=typed)
        assert (code, err) == (0, "")
        assert re.match(
            rf"watched\.py: scheduled, at 127\.0\.0\.1:{port}\n"
            r"nodes    1 initialized\nservers  2 busy\ntasks    2 running, 0 waiting, 0 done, 0\.0/s\n",
            out,
        ), out
        assert re.search(r"\nADDRESS +NAME +STATE .*\n127\.0\.0\.1 +\S+ +initialized +2 ", out), out
    code, out, err = run_program([*DISPYCOS, "status", "--json"], env=folder)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["cluster"]["running"], found["nodes"][0]["address"]) == (2, "127.0.0.1")
    code, out, _ = run_program([*DISPYCOS, "why"], env=folder)
    assert code == 0 and out.strip()
    [note] = notes_in(folder)
    assert note.stat().st_mode & 0o777 == 0o600
    assert note.parent.stat().st_mode & 0o777 == 0o700
    assert link.rpartition("=")[2] not in note.read_text()
    with terminal(*DISPYCOS, "top", env=folder) as screen:
        screen.wait_for("live")
        note.parent.parent.chmod(0o755)
        screen.type("q")
        assert screen.end() == 0
    code, _, err = run_program([*DISPYCOS, "status"], env=folder)
    assert code == 1 and "is open to others" in err
    note.parent.parent.chmod(0o700)


def test_of_several_monitors_one_is_named_by_its_port(tmp_path: Path, folder: dict[str, str]) -> None:
    path = tmp_path / "two.py"
    path.write_text(
        "import dispycos, sys\nfrom dispycos.httpd import HTTPServer\n"
        "ports = [HTTPServer(dispycos.Client(), port=0).port for _ in range(2)]\n"
        "print('ports', *ports, flush=True)\nsys.stdin.readline()\n"
    )
    with background([sys.executable, str(path)], env=folder) as program:
        ports = program.wait_line("ports").split()[1:]
        code, _, err = run_program([*DISPYCOS, "status"], env=folder)
        assert code == 1 and "2 monitors of this account run here" in err
        assert all(f"{port} (two.py, pid {program.pid})" in err for port in ports)
        code, out, _ = run_program([*DISPYCOS, "status", ports[1]], env=folder)
        assert code == 0 and f"at 127.0.0.1:{ports[1]}" in out
        code, _, err = run_program([*DISPYCOS, "status", "1"], env=folder)
        assert code == 1 and "listens at port 1 here" in err
        program.write("")
        program.wait()
    assert notes_in(folder) == []


def test_the_terminal_is_given_back_as_it_was_also_while_stopped() -> None:
    shell = ("bash", "--norc", "--noprofile", "-i")
    with synthetic(3, 2, rate=5) as asker, terminal(*shell, env={"PS1": "ready>"}) as screen:
        screen.wait_for("ready>")
        before = screen.settings
        screen.type(f"{' '.join(DISPYCOS)} top '{asker.running.viewer_link}'\r")
        screen.wait_for("live", "10.0.2.3")
        assert screen.settings != before
        screen.type("\x1a")
        screen.wait_for("Stopped")
        # The shell says so before it prepares the terminal for its next line.
        wait_until(lambda: screen.settings == before)
        assert screen.drawn.count(SHOWN) == screen.drawn.count(HIDDEN) == 1
        screen.type("fg\r")
        screen.wait_for("live", "q end")
        assert screen.drawn.count(SHOWN) == 2
        screen.resize(12, 60)
        wait_until(lambda: len(screen.wait_for("live", "q end").split("\n")) == 12)
        screen.type("/10.0.2")
        screen.wait_gone("10.0.0.1 ")
        screen.type("\r\x03")
        screen.wait_for("rehearsal.py, scheduled, at", "ready>")
        wait_until(lambda: screen.settings == before)
        assert screen.drawn.count(HIDDEN) == 2
        assert screen.drawn.rindex(b"\x1b[?25h") > screen.drawn.rindex(b"\x1b[?25l")
        screen.type("exit $?\r")
        assert screen.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_as_it_was(number: signal.Signals) -> None:
    with synthetic() as asker, terminal(*DISPYCOS, "top", asker.running.viewer_link) as screen:
        screen.wait_for("live")
        assert screen.settings != screen.before
        os.kill(screen.pid, number)
        assert screen.end() == 0
        assert screen.settings == screen.before
        assert screen.drawn.count(SHOWN) == screen.drawn.count(HIDDEN) == 1


def test_a_wrong_link_is_a_sentence_and_an_exit_status() -> None:
    with synthetic() as asker:
        place = f"http://127.0.0.1:{asker.port}/#token="
        with terminal(*DISPYCOS, "top", f"{place}other", columns=160) as screen:
            assert screen.end() == 1
            assert "does not know this token" in screen.text
        gone = asker.running.link
    for link, says in ((gone, "does not answer"), ("http://127.0.0.1:1/", "as the monitor printed it")):
        with terminal(*DISPYCOS, "top", link, columns=160) as screen:
            assert screen.end() == 1
            assert says in screen.text


def test_without_rich_a_sentence_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['rich'] = None\n")
    with terminal(*DISPYCOS, "top", columns=200, env={"PYTHONPATH": str(tmp_path)}) as screen:
        assert screen.end() == 1
        assert "pip install 'dispycos[top]'" in screen.text


def notes_in(folder: dict[str, str]) -> list[Path]:
    return sorted(Path(folder["TMPDIR"]).glob(f"*/{notes.FOLDER}/*"))
