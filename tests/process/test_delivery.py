"""Handles between real processes: messages, results, monitors, channels, names, losses."""

import os
import secrets
import sys
from collections.abc import Iterator

import pytest

from tests.helpers import Program, background, run_python

KEY = {"PARTY_KEY": secrets.token_hex(32)}

PRELUDE = """
import sys
from dispycos.kernel.task import Task
from dispycos.kernel.channel import Channel
from dispycos.model import MonitorStatus, Status
from tests.process.party import start, echo

delivery = start("visitor", sys.argv[1])

def new(kind, task):
    spawner = yield Task.locate("spawner", timeout=5)
    spawner.send((kind, task))
    return (yield task.receive(timeout=5))

def visit(main):
    def run(task=None):
        try:
            yield main(task)
        except BaseException as error:
            import traceback; traceback.print_exc()
            return
        print("visited")
    Task(run)
"""


@pytest.fixture
def home() -> Iterator[Program]:
    with background([sys.executable, "-m", "tests.process.party"], env=KEY) as program:
        program.wait_line("home ")
        yield program


def visit(home: Program, body: str) -> str:
    """Run `def main(task): body` in a process of its own; its output."""
    where = home.wait_line("home ").split()[1]
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    script = f"{PRELUDE}\ndef main(task):\n{lines}\n\nvisit(main)\n"
    code, out, err = run_python(script, where, env=KEY, timeout=20)
    assert code == 0 and "visited" in out, f"{out}\n{err}"
    return err


@pytest.mark.row("KE-10", "KE-14", "KE-15")
def test_a_located_task_answers_the_task_whose_handle_it_was_sent(home):
    visit(
        home,
        """
echo = yield Task.locate("echo", timeout=5)
assert isinstance(echo, Task) and echo.name == "echo", echo
assert str(echo).startswith("echo/") and str(echo).endswith(str(echo.location))
for number in range(500):
    assert echo.send((number, task)) == 0
for number in range(500):
    message = yield task.receive(timeout=5)
    assert message == ("echo", number), message
# A handle that travelled home is the original; two handles of one task are equal.
echo.send((echo, task))
_, back = yield task.receive(timeout=5)
assert back == echo and hash(back) == hash(echo)
echo.send((task, task))
_, me = yield task.receive(timeout=5)
assert me is task

def short(task=None):
    yield
    return 7

# Also of a task that has ended meanwhile.
ended = Task(short)
echo.send((ended, task))
assert (yield ended()) == 7
_, back = yield task.receive(timeout=5)
assert back is ended
echo.send((ended, task))
_, back = yield task.receive(timeout=5)
assert back is ended
assert (yield echo.deliver(("x", task), timeout=5)) == 1
assert (yield task.receive(timeout=5)) == ("echo", "x")
""",
    )


@pytest.mark.row("KE-05", "KE-06")
def test_results_of_remote_tasks_come_before_and_after_their_end(home):
    visit(
        home,
        """
answer = yield new("answer", task)
assert (yield answer.finish(timeout=0.05)) is None
answer.send("go")
assert (yield answer()) == 42
assert (yield answer.finish()) == 42 and (yield answer.result()) == 42
failing = yield new("failing", task)
failing.send("go")
status = yield failing()
assert isinstance(status, MonitorStatus) and status.type is KeyError, status
assert "party.py" in status.value and status.info == failing
try:
    yield failing.result()
except KeyError as error:
    assert error.args == ("lost", 7)
    assert "party.py" in str(error.__cause__), repr(error.__cause__)
else:
    raise AssertionError("no exception")
""",
    )


@pytest.mark.row("KE-12", "KE-13")
def test_remote_tasks_are_monitored_thrown_into_and_terminated(home):
    visit(
        home,
        """
caught = yield new("caught", task)
assert int((yield task.monitor(caught))) == 0
assert caught.throw(ZeroDivisionError("by me")) == 0
status = yield task.receive(timeout=5)
assert status.type is StopIteration and status.value == "caught by me", status
assert status.info == caught
other = yield new("caught", task)
yield task.monitor(other)
other.terminate()
status = yield task.receive(timeout=5)
assert status.type is Status.TaskTerminated and status.info == other, status
# Monitoring one that has ended tells at once.
yield task.monitor(other)
again = yield task.receive(timeout=5)
assert again.type is Status.TaskTerminated, again
""",
    )


@pytest.mark.row("KE-17", "KE-18")
def test_a_remote_channel_works_as_at_home(home):
    visit(
        home,
        """
news = yield Channel.locate("news", timeout=5)
assert (yield news.subscribe(task)) == 0
assert news.send("first") == 0
assert (yield task.receive(timeout=5)) == ("news", "first")
news.send("secret")
assert (yield news.deliver("second", timeout=5, n=1)) == 1
assert (yield task.receive(timeout=5)) == ("news", "second")
assert (yield news.unsubscribe(task)) == 0
assert (yield news.deliver("third", timeout=0.2, n=1)) == 0
""",
    )


@pytest.mark.rule("N3")
@pytest.mark.row("KE-13")
def test_the_loss_of_a_process_comes_to_monitors_and_waiters_with_a_reason(home):
    visit(
        home,
        """
crash = yield Task.locate("crash", timeout=5)
answer = yield new("answer", task)
yield task.monitor(answer)
crash.send("now")
status = yield task.receive(timeout=8)
assert status.type is Status.TaskAbandoned and "refused" in status.value, status
waited = yield crash.finish(timeout=8)
assert isinstance(waited, MonitorStatus) and waited.type is Status.TaskAbandoned, waited
assert answer.send("late") == -1
assert (yield answer.deliver("late", timeout=5)) == -1
""",
    )


@pytest.mark.row("KE-14")
def test_a_name_nobody_has_is_none_after_the_time_out(home):
    visit(
        home,
        """
assert (yield Task.locate("nobody", timeout=0.2)) is None
echo = yield Task.locate("echo", timeout=5)
assert (yield Task.locate("echo", location=echo.location, timeout=5)) == echo
assert (yield Task.locate("nobody", location=echo.location, timeout=0.2)) is None
""",
    )


@pytest.mark.row("KE-10")
def test_what_cannot_be_pickled_raises_in_the_sender(home):
    visit(
        home,
        """
import threading
echo = yield Task.locate("echo", timeout=5)
try:
    echo.send(({"a": [threading.Lock()]}, task))
except TypeError as error:
    assert "lock" in str(error), error
else:
    raise AssertionError("nothing was raised")
echo.send((1, task))
assert (yield task.receive(timeout=5)) == ("echo", 1)
""",
    )


@pytest.mark.rule("N6")
def test_large_values_travel_and_later_changes_do_not(home):
    visit(
        home,
        """
echo = yield Task.locate("echo", timeout=5)
data = bytearray(20_000_000)
echo.send((data, task))
data[0] = 1
_, back = yield task.receive(timeout=10)
assert len(back) == 20_000_000 and back[0] == 0
""",
    )


@pytest.mark.row("R-24")
@pytest.mark.rule("N4")
def test_a_sender_is_held_while_its_peer_takes_nothing_and_nothing_is_lost(home):
    visit(
        home,
        """
import os, signal
echo = yield Task.locate("echo", timeout=5)
home_pid = yield new("pid", task)
sent = 0
def flood(task=None):
    nonlocal sent
    while sent < 3000:
        echo.send((b"x" * 30_000 + str(sent).encode(), task_of_main))
        sent += 1
        yield
task_of_main = task
os.kill(home_pid, signal.SIGSTOP)
try:
    Task(flood)
    held = -1
    while held != sent:            # 90 MB want to leave; about 64 may wait
        held = sent
        yield task.sleep(0.5)
    assert 1500 < held < 2900, held
finally:
    os.kill(home_pid, signal.SIGCONT)
for number in range(3000):
    _, message = yield task.receive(timeout=10)
    assert message[30_000:] == str(number).encode(), number
""",
    )


def test_the_scripts_see_the_same_key_only_through_their_environment():
    assert "PARTY_KEY" not in os.environ
