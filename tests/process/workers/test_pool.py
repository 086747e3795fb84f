"""Masters and workers as programs: who starts first, who is lost, who may not come in."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from dispycos.errors import TaskLost
from dispycos.workers import ClientThread, ClusterExecutor, MasterLost, NoMaster, RemoteException, WorkerLost
from dispycos.workers.master import main as master_main
from dispycos.workers.worker import main as worker_main
from tests.helpers import background, run_main, run_program, run_python, wait_until
from tests.process.workers.conftest import MASTER, Master, a_master, a_worker

pytestmark = pytest.mark.usefixtures("program")


@pytest.mark.row("CW-06")
def test_a_client_thread_calls_back_once_for_each_job(pool: Master) -> None:
    called: list[tuple[Any, Any]] = []
    with ClientThread(lambda jobid, result: called.append((jobid, result)), port=pool.port) as client:
        for number in range(50):
            client.submit(number, pow, number, 2)
        client.wait()
        assert sorted(called) == [(number, number**2) for number in range(50)]
        with pytest.raises(TypeError, match="pickle"):
            client.submit("bad", abs, threading.Lock())
        client.wait()
        client.submit("named", lambda **kw: kw, jobid=1, func=2)
    assert called[-1] == ("named", {"jobid": 1, "func": 2})
    client.stop()


@pytest.mark.row("CW-06")
def test_waiting_raises_the_first_failure_after_all_have_ended(pool: Master) -> None:
    called: list[Any] = []
    client = ClientThread(lambda jobid, result: called.append(jobid), port=pool.port)
    with pytest.raises(Exception, match="not started yet"):
        client.submit(0, abs, 1)
    client.start()
    client.submit("fails", divmod, 1, 0)
    for number in range(20):
        client.submit(number, abs, number)
    with pytest.raises(RemoteException, match="ZeroDivisionError") as caught:
        client.wait(20)
    assert caught.value.jobid == "fails"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert sorted(called) == list(range(20))
    client.wait()  # it was told
    client.stop()
    with pytest.raises(Exception, match="was stopped"):
        client.submit(0, abs, 1)


@pytest.mark.row("CW-06")
def test_a_callback_may_submit_and_what_it_raises_comes_out_of_wait(pool: Master) -> None:
    called: list[Any] = []

    def callback(jobid: int, result: int) -> None:
        called.append(result)
        if jobid < 5:
            client.submit(jobid + 1, abs, jobid + 1)
        if jobid == 5:
            raise LookupError("a callback of the test")

    client = ClientThread(callback, port=pool.port)
    with pytest.raises(LookupError), client:
        client.submit(0, abs, 0)
    assert called == [0, 1, 2, 3, 4, 5]


@pytest.mark.row("CW-02")
def test_a_program_with_few_jobs_does_not_wait_for_one_with_many(pool: Master, tmp_path: Path) -> None:
    source = """
import sys, time
from dispycos.workers import ClusterExecutor
with ClusterExecutor(port=int(sys.argv[1])) as executor:
    futures = [executor.submit(time.sleep, 0.02) for _ in range(400)]
    print("sent", flush=True)
    executor.shutdown()
print("done", flush=True)
"""
    with background([sys.executable, "-c", source, str(pool.port)]) as many:
        many.wait_line("sent", 20)
        with ClusterExecutor(port=pool.port) as executor:
            assert [executor.submit(abs, -n).result(20) for n in range(5)] == list(range(5))
        assert "done" not in many.output
        many.kill()
    # What a killed program left is dropped: the workers are free.
    with ClusterExecutor(port=pool.port) as executor:
        assert executor.submit(abs, -1).result(20) == 1


@pytest.mark.row("CW-01")
def test_the_master_refuses_who_has_another_key(pool: Master) -> None:
    source = """
import sys
from dispycos.workers import ClusterExecutor
try:
    ClusterExecutor(port=int(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
"""
    code, out, _ = run_python(source, str(pool.port), env={"DISPYCOS_SECRET_FILE": _another_key()})
    assert code == 0
    assert out.startswith("NoMaster")
    assert "authentication" in out.lower()
    with ClusterExecutor(port=pool.port) as executor:
        assert executor.submit(abs, -1).result(20) == 1


def _another_key() -> str:
    path = Path(os.environ["XDG_CONFIG_HOME"]).parent / "another-key"
    path.write_text("ab" * 32 + "\n")
    path.chmod(0o600)
    return str(path)


@pytest.mark.row("CW-05")
@pytest.mark.row("CW-03")
def test_workers_may_start_first_come_later_and_find_a_master_again(tmp_path: Path) -> None:
    with a_master() as first:
        port = first.port
    with a_worker(port) as worker:
        worker.wait_line(f"for the master at 127.0.0.1:{port}", 20)
        with a_master(port=port) as master:
            executor = ClusterExecutor(port=port)
            assert executor.submit(abs, -1).result(30) == 1
            with a_worker(port):
                master.wait_workers(2)
            master.wait_workers(1)
            assert executor.submit(abs, -2).result(30) == 2
            waiting = executor.submit(time.sleep, 30)
            wait_until(waiting.running)
            master.program.signal(signal.SIGKILL)
            assert isinstance(waiting.exception(20), MasterLost)
            with pytest.raises(MasterLost):
                executor.submit(abs, 1)
            executor.shutdown()
        with a_master(port=port) as again:
            again.wait_workers(1)
            with ClusterExecutor(port=port) as executor:
                assert executor.submit(abs, -3).result(30) == 3


def sleeps(path: str) -> None:
    """Say in that file who sleeps here, for longer than any test."""
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    time.sleep(600)


def once(path: str) -> str:
    """Sleep at the first call, return at the next."""
    if not os.path.exists(path):
        sleeps(path)
    return "again"


@pytest.mark.row("CW-03")
@pytest.mark.row("CW-17")
def test_a_worker_that_is_killed_or_ended_is_noticed_and_its_job_told_or_repeated(tmp_path: Path) -> None:
    with a_master() as master, ClusterExecutor(port=master.port) as executor:
        for number, how in enumerate((signal.SIGKILL, signal.SIGTERM)):
            mark = tmp_path / str(number)
            with a_worker(master.port) as worker:
                running = executor.submit(sleeps, str(mark))
                wait_until(mark.exists, 20)
                worker.signal(how)
                error = running.exception(30)
                assert isinstance(error, WorkerLost)
                assert isinstance(error, TaskLost)
                assert "127.0.0.1:" in str(error)
                worker.wait(20)
            master.wait_workers(0)
        later = executor.submit(abs, -1)
        with ClusterExecutor(port=master.port, retries=1) as patient:
            again = patient.submit(once, str(tmp_path / "once"))
            with a_worker(master.port) as worker:
                wait_until((tmp_path / "once").exists, 20)
                worker.kill()
            with a_worker(master.port):
                assert again.result(30) == "again"
                assert later.result(20) == 1


def test_without_a_master_it_is_said_where_it_was_looked_for_and_in_time() -> None:
    before = time.monotonic()
    with pytest.raises(NoMaster, match=r"127\.0\.0\.1:9 in 0\.5 s.*dispycos\.workers\.master"):
        ClusterExecutor("localhost:9", timeout=0.5)
    assert time.monotonic() - before < 5
    with pytest.raises(NoMaster), ClientThread(print, "localhost:9", timeout=0.1):
        raise AssertionError("it was not started")
    with pytest.raises(ValueError, match=r"another one"):
        ClusterExecutor("localhost:9", port=10)


def test_wrong_usage_and_taken_ports_are_one_sentence(pool: Master) -> None:
    taken = run_program([*MASTER, "--port", str(pool.port)])
    assert taken.code == 1
    assert f"127.0.0.1:{pool.port}" in taken.err
    assert "Traceback" not in taken.err
    assert run_main(worker_main, "localhost:x").code == 2
    assert run_main(master_main, "--port", "99999").code == 2


@pytest.mark.row("GN-06")
def test_a_signal_ends_master_and_worker_in_time_and_leaves_nothing(tmp_path: Path) -> None:
    with a_master() as master, a_worker(master.port) as worker:
        master.wait_workers(1)
        executor = ClusterExecutor(port=master.port)
        future = executor.submit(sleeps, str(tmp_path / "mark"))
        wait_until((tmp_path / "mark").exists, 20)
        job = int((tmp_path / "mark").read_text())
        master.program.signal(signal.SIGINT)
        assert master.program.wait(20) == 0
        assert isinstance(future.exception(20), MasterLost)
        executor.shutdown()
        # The job of the lost master ends with it, and the worker waits for the next one.
        wait_until(lambda: not psutil.pid_exists(job), 20)
        worker.signal(signal.SIGINT)
        assert worker.wait(20) == 0
