"""What happens when the main program ends (KE-27), on each Python that is there."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers import Finished, background, run_program
from tests.process.kernel.pythons import HEAD, run


@pytest.mark.row("KE-27")
@pytest.mark.row("R-85")
def test_a_script_whose_main_ends_goes_on_until_its_tasks_finish(python: str, tmp_path: Path) -> None:
    code, out, err = run(
        python,
        tmp_path,
        """
def work(task=None):
    for number in range(3):
        yield task.sleep(0.05)
        print("task", number)

def forever(task=None):
    task.set_daemon()
    try:
        yield task.receive()
    finally:
        print("daemon ended")

Task(work)
Task(forever)
loop.default().at_exit(0, print, "network closed")
print("end of main")
""",
    )
    assert out.splitlines() == [
        "end of main", "task 0", "task 1", "task 2", "daemon ended", "network closed",
    ]  # fmt: skip
    assert (code, err) == (0, "")


@pytest.mark.row("KE-27")
@pytest.mark.row("KE-21")
@pytest.mark.row("R-85")
def test_tasks_start_threads_pools_and_servers_after_the_end_of_main(python: str, tmp_path: Path) -> None:
    code, out, err = run(
        python,
        tmp_path,
        """
from dispycos.kernel.threads import AsyncThreadPool
from dispycos.kernel.sockets import AsyncSocket

def work(task=None):
    yield task.sleep(0.2)
    assert not main_is_running(), "the main program has not ended yet"
    thread = threading.Thread(target=print, args=("thread",))
    thread.start()
    thread.join()

    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(2) as pool:
        print("executor", pool.submit(lambda: 5).result())

    pool = AsyncThreadPool(2)
    print("pool", (yield pool.async_task(lambda: 6)))
    pool.terminate()

    import http.server, socket, socketserver
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")
        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    with AsyncSocket(socket.socket()) as sock:
        yield sock.connect(server.server_address)
        yield sock.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        answer = b""
        while part := (yield sock.recv(1000)):
            answer += part
    print("http", answer.split()[-1].decode())
    server.shutdown()
    serving.join()
    server.server_close()

    import asyncio
    def in_thread():
        return asyncio.run(asyncio.sleep(0.01, "asyncio"))
    pool = AsyncThreadPool(1)
    print((yield pool.async_task(in_thread)))
    pool.terminate()

def main_is_running():
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame is not None:
        if frame.f_code.co_name == "in_main":
            return True
        frame = frame.f_back
    return False

def in_main():
    Task(work)

in_main()
""",
    )
    assert out.splitlines() == ["thread", "executor 5", "pool 6", "http hello", "asyncio"]
    assert (code, err) == (0, "")


@pytest.mark.row("KE-27")
@pytest.mark.parametrize("how", ["sys.exit(3)", "raise ValueError('main')", "raise SystemExit"])
def test_the_exit_status_is_that_of_the_main_program(python: str, tmp_path: Path, how: str) -> None:
    code, out, err = run(
        python,
        tmp_path,
        f"""
def work(task=None):
    yield task.sleep(0.2)
    thread = threading.Thread(target=print, args=("thread",))
    thread.start()
    thread.join()
    print("done")

Task(work)
{how}
""",
    )
    assert out.split() == ["thread", "done"], err
    assert code == {"sys.exit(3)": 3, "raise ValueError('main')": 1, "raise SystemExit": 0}[how]
    assert ("ValueError: main" in err) == ("ValueError" in how)


@pytest.mark.row("KE-27")
def test_a_program_run_as_a_module_goes_on_too(python: str, tmp_path: Path) -> None:
    (tmp_path / "program_module.py").write_text(
        HEAD
        + """
def work(task=None):
    yield task.sleep(0.1)
    thread = threading.Thread(target=print, args=("thread",))
    thread.start()
    thread.join()  # it is a daemon, as the thread of the tasks is

if __name__ == "__main__":
    Task(work)
"""
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    code, out, err = run_program([python, "-m", "program_module"], env={"PYTHONPATH": paths})
    assert (code, out, err) == (0, "thread\n", "")


@pytest.mark.row("KE-27")
def test_a_program_without_tasks_ends_at_once(python: str, tmp_path: Path) -> None:
    assert run(python, tmp_path, "print('end')\n") == (0, "end\n", "")


@pytest.mark.row("KE-27")
def test_a_daemon_task_that_blocks_does_not_hold_the_program(python: str, tmp_path: Path) -> None:
    code, out, _ = run(
        python,
        tmp_path,
        """
def block(task=None):
    task.set_daemon()
    print("blocks", flush=True)
    yield
    time.sleep(1000)

Task(block)
time.sleep(0.1)
""",
    )
    assert (code, out) == (0, "blocks\n")


FORKING = """
import multiprocessing, os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads: that is the test
"""


def run_forking(python: str, tmp_path: Path, body: str) -> Finished:
    if not hasattr(os, "fork"):
        pytest.skip("fork: this system has none")
    return run(python, tmp_path, FORKING + body)


@pytest.mark.row("KE-27")
def test_a_forked_child_does_not_wait_for_its_parents_tasks(python: str, tmp_path: Path) -> None:
    code, out, err = run_forking(
        python,
        tmp_path,
        """
def wait(task=None):
    yield task.receive()

def child_task(task=None):
    yield task.sleep(0.01)
    print("child task", flush=True)

def child():
    print("child value", Task(child_task).value(5), flush=True)
    Task(child_task)

if __name__ == "__main__":
    task = Task(wait)
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    print("exit", process.exitcode)
    task.send("go on")
""",
    )
    assert (code, err) == (0, "")
    assert out.splitlines() == ["child task", "child value None", "child task", "exit 0"]


@pytest.mark.row("KE-27")
def test_a_child_forked_by_a_task_has_a_kernel_of_its_own(python: str, tmp_path: Path) -> None:
    code, out, err = run_forking(
        python,
        tmp_path,
        """
def child_task(task=None):
    yield task.sleep(0.01)
    return "from the child"

def forks():
    yield
    pid = os.fork()
    if pid == 0:
        print(Task(child_task).value(5), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)

Task(forks)
""",
    )
    assert (code, out, err) == (0, "from the child\n", "")


INTERRUPTED = """
def work(task=None):
    try:
        print("ready", flush=True)
        yield task.receive()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        if sys.argv[1:] != ["stubborn"]:
            yield task.sleep(0.05)
            print("saved", flush=True)
            return
    while True:
        try:
            yield task.receive()
        except KeyboardInterrupt:
            print("again", flush=True)

Task(work)
"""


@pytest.mark.row("KE-27")
@pytest.mark.row("GN-06")
# Not one long sleep: Python can miss a signal that comes just before it, until the sleep is over.
@pytest.mark.parametrize("main", ["", "while True:\n    time.sleep(0.01)\n"], ids=["main ended", "main runs"])
def test_ctrl_c_interrupts_the_tasks(python: str, tmp_path: Path, main: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(HEAD + INTERRUPTED + main)
    with background([python, program]) as running:
        running.wait_line("ready")
        running.signal(signal.SIGINT)
        running.wait_line("saved")
        code = running.wait()
        assert code in ((0,) if not main else (-signal.SIGINT, 130))


@pytest.mark.row("KE-27", "GN-06", "R-20")
def test_ctrl_c_that_a_task_does_not_catch_ends_the_program_by_that_signal(
    python: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    other = """
def other():
    yield Task(work)()
    yield from ()

import atexit
atexit.register(print, "at exit")
Task(other)
"""
    program.write_text(HEAD + INTERRUPTED + other)
    with background([python, program]) as running:
        running.wait_line("ready")
        running.signal(signal.SIGINT)
        running.wait_line("at exit")  # nothing of the interpreter's own end is left out
        assert running.wait() == -signal.SIGINT


@pytest.mark.row("KE-27")
def test_a_prompt_at_which_ctrl_c_ended_a_line_ends_as_any(python: str, tmp_path: Path) -> None:
    ended = "sys.ps1, sys.last_value = '>>> ', KeyboardInterrupt()\nloop.default()\n"
    assert run(python, tmp_path, ended) == (0, "", "")


MAIN_WAITS = """
def main_waits():
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame is not None and frame.f_code.co_name != "join":
        frame = frame.f_back
    return frame is not None
"""


@pytest.mark.row("KE-27")
@pytest.mark.row("GN-06")
def test_ctrl_c_says_what_it_waits_for_and_how_to_leave_at_once(python: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    blocks = """
def block(task=None):
    while not main_waits():
        yield task.sleep(0.001)
    print("ready", flush=True)
    time.sleep(1000)

for _ in range(5):
    Task(block)
"""
    program.write_text(HEAD + MAIN_WAITS + blocks)
    with background([python, program]) as running:
        running.wait_line("ready")
        running.signal(signal.SIGINT)
        line = running.wait_line("interrupted: ")
        assert line.endswith("ending block/1, block/2, block/3 and 2 more; Ctrl-C again leaves at once")
        running.signal(signal.SIGINT)
        assert running.wait() == 130


@pytest.mark.row("R-20", "GN-06")
def test_a_program_whose_task_blocks_ends_within_its_grace_after_ctrl_c(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    blocks = """
def block(task=None):
    while not main_waits():
        yield task.sleep(0.001)
    print("ready", flush=True)
    time.sleep(1000)

Task(block)
"""
    program.write_text(HEAD + MAIN_WAITS + blocks)
    with background([sys.executable, program]) as running:
        running.wait_line("ready")
        running.signal(signal.SIGINT)
        line = running.wait_line("not yielded")
        number = program.read_text().splitlines().index("    time.sleep(1000)") + 1
        assert line.endswith(f"for 5 s, in {program}, line {number}: this process ends")
        assert running.wait() == 130


@pytest.mark.row("KE-27")
def test_a_second_ctrl_c_leaves_at_once_what_is_called_at_exit_too(python: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        HEAD
        + MAIN_WAITS
        + """
def lasts():
    print("at exit", flush=True)
    while True:
        time.sleep(0.01)  # not one long sleep: see test_ctrl_c_interrupts_the_tasks

def work(task=None):
    while not main_waits():
        yield task.sleep(0.001)
    print("ready", flush=True)
    yield task.receive()

loop.default().at_exit(0, lasts)
Task(work)
"""
    )
    with background([python, program]) as running:
        running.wait_line("ready")
        running.signal(signal.SIGINT)
        running.wait_line("at exit")
        running.signal(signal.SIGINT)
        assert running.wait() == 130


@pytest.mark.row("KE-27")
@pytest.mark.row("GN-06")
def test_a_second_ctrl_c_leaves_at_once(python: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(HEAD + INTERRUPTED)
    with background([python, program, "stubborn"]) as running:
        running.wait_line("ready")
        running.signal(signal.SIGINT)
        running.wait_line("interrupted")
        running.signal(signal.SIGINT)
        assert running.wait() == 130
