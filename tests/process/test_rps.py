"""RPS between real processes: functions of one that others run by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from dispycos import RPS, Task
from tests import helpers
from tests.helpers import Program, background, run_python
from tests.process.clusters import run

SECRET = "a test's own secret"

HOME = f"""
import sys
from dispycos import RPS, Pycos, Task

def double(number, times=1, task=None):
    message = yield task.receive(timeout=10)
    if times < 0:
        raise ValueError(f"{{times}} is less than nothing")
    return (number * 2) * times, message

def waits(told, task=None):
    told.send(("began", task))
    try:
        yield task.sleep()
    finally:
        print("ended by", sys.exc_info()[0].__name__, flush=True)

def hidden(task=None):
    print("hidden ran", flush=True)
    yield

def give(task=None):
    task.register("give")
    while True:
        (yield task.receive()).send([RPS(hidden), service])

pycos = Pycos(host="127.0.0.1", discover_peers=False, name="home", secret={SECRET!r})
service = RPS(double)
assert service.register() == 0
assert RPS(double).register() == -1
assert RPS(waits, name="waiting").register() == 0
Task(give)
print("at", pycos.location.port, flush=True)
sys.stdin.readline()
print("unregistering", service.unregister(), flush=True)
pycos.join()
"""

PRELUDE = f"""
import os, signal, sys, threading
from dispycos import RPS, Location, MonitorStatus, NotSerializable, Pycos, Task
import dispycos

pycos = Pycos(host="127.0.0.1", discover_peers=False, name="visitor", secret={SECRET!r})
there = Location("127.0.0.1", int(sys.argv[1]))

def visit(main):
    def run(task=None):
        assert (yield pycos.peer(there)) == 0
        yield main(task)
        print("visited", flush=True)
    Task(run)
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Program]:
    """The home of all tests that leave it as it was."""
    with background([sys.executable, "-c", HOME]) as process:
        process.wait_line("at ")
        helpers.lasting.add(process.pid)
        yield process
        helpers.lasting.discard(process.pid)


@pytest.fixture
def own_home() -> Iterator[Program]:
    """The same, of the test's own."""
    with background([sys.executable, "-c", HOME]) as process:
        process.wait_line("at ")
        yield process


def script(body: str) -> str:
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    return f"{PRELUDE}\ndef main(task):\n{lines}\n\nvisit(main)\n"


def visit(home: Program, body: str) -> str:
    """Run `def main(task): body` in a process of its own; what it printed."""
    port = home.wait_line("at ").split()[1]
    code, out, err = run_python(script(body), port, timeout=30)
    assert code == 0 and "visited" in out, f"{out}\n{err}"
    return out


@pytest.mark.row("KE-32", "KE-05", "KE-06")
def test_a_call_gives_a_task_that_runs_over_there(home):
    visit(
        home,
        """
double = yield RPS.locate("double", timeout=5)
assert isinstance(double, RPS) and double.name == "double" and double.location == there
rtask = yield double(21)
assert isinstance(rtask, Task) and rtask.location == there
rtask.send("hello")
assert (yield rtask()) == (42, "hello")
failing = yield double(1, times=-3)
failing.send(None)
try:
    yield failing.result()
except ValueError as error:
    assert str(error) == "-3 is less than nothing"
else:
    raise AssertionError("no exception")
assert (yield RPS.locate("hidden", timeout=0.1)) is None
assert (yield RPS.locate("double", location=there)) == double
""",
    )


@pytest.mark.row("KE-32")
def test_a_monitor_gets_one_status_for_each_task(home):
    visit(
        home,
        """
double = yield RPS.locate("double", timeout=5)
assert double.monitor(task) == 0
made = {}
for number in range(5):
    rtask = yield double(number, times=number - 1)
    made[rtask] = number
    rtask.send(number)
seen = {}
while len(seen) < 5:
    status = yield task.receive(timeout=10)
    assert isinstance(status, MonitorStatus) and status.info not in seen
    seen[status.info] = (status.type, status.value)
assert (yield task.receive(timeout=0.3)) is None
for rtask, number in made.items():
    kind, value = seen[rtask]
    if number:
        assert (kind, value) == (StopIteration, (2 * number * (number - 1), number)), (kind, value)
    else:
        assert kind is ValueError and "less than nothing" in value, value
""",
    )


@pytest.mark.row("KE-32")
def test_what_can_not_be_run_is_refused_with_its_reason(home):
    visit(
        home,
        """
double = yield RPS.locate("double", timeout=5)
refused = yield double()
assert not isinstance(refused, Task) and refused.type is TypeError and "number" in refused.value, refused
try:
    double(threading.Lock())
except NotSerializable:
    pass
else:
    raise AssertionError("a lock was sent")
assert double.register("other") == -1 and double.unregister() == -1
try:
    refused.send("x")
except AttributeError as error:
    assert "refused" in str(error)
else:
    raise AssertionError("a refusal was used as a Task")
# Nothing but calls can be asked for, and calls of nothing but RPS.
from dispycos.net import remote
from dispycos.messages import Verb
give = yield Task.locate("give", timeout=5)
asked = [(double, Verb.REGISTER, "x"), (double, Verb.CLOSE, None), (give, Verb.CALL, ((), {}))]
for handle, verb, value in asked:
    try:
        yield remote.here().ask(handle, verb, value, 5)
    except ValueError as error:
        assert "can't be asked" in str(error), error
    else:
        raise AssertionError(verb)
assert (yield remote.here().deliver(double, "a message", 5)) == -1
""",
    )


@pytest.mark.row("KE-32", "KE-15")
def test_only_a_registered_function_is_called(own_home):
    out = visit(
        own_home,
        """
give = yield Task.locate("give", timeout=5)
give.send(task)
hidden, double = yield task.receive(timeout=5)
assert isinstance(hidden, RPS)
refused = yield hidden()
assert refused.type is dispycos.TaskRejected and "not registered" in refused.value, refused.value
assert (yield RPS.locate("double", timeout=5)) == double
print("located", flush=True)
""",
    )
    assert "located" in out
    assert "hidden ran" not in own_home.output
    own_home.write("now")
    own_home.wait_line("unregistering 0")
    visit(
        own_home,
        """
assert (yield RPS.locate("double", timeout=0.2)) is None
give = yield Task.locate("give", timeout=5)
give.send(task)
_, double = yield task.receive(timeout=5)
refused = yield double(1)
assert "not registered" in refused.value, refused.value
""",
    )


@pytest.mark.row("KE-32")
@pytest.mark.parametrize("end", ["assert waiting.close() == 0 and waiting.close() == -1", "pass"])
def test_tasks_end_with_the_reference_through_which_they_were_made(home, end):
    before = len(home.lines)
    visit(
        home,
        f"""
waiting = yield RPS.locate("waiting", timeout=5)
rtask = yield waiting(task)
assert (yield task.receive(timeout=5)) == ("began", rtask)
{end}
if {end != "pass"}:
    refused = yield waiting(task)
    assert refused.type is dispycos.Closed, refused
    status = yield rtask.finish(5)
    assert "close()" in status.value, status
""",
    )
    home.wait_line("ended by GeneratorExit", after=before)


@pytest.mark.row("KE-32")
def test_a_process_that_dies_ends_calls_tasks_and_statuses(own_home):
    pid = own_home.process.pid
    visit(
        own_home,
        f"""
waiting = yield RPS.locate("waiting", timeout=5)
waiting.monitor(task)
rtask = yield waiting(task)
assert (yield task.receive(timeout=5)) == ("began", rtask)
os.kill({pid}, signal.SIGKILL)
status = yield task.receive(timeout=20)
assert status.info == rtask
assert status.type.name == "TaskAbandoned", status
refused = yield waiting(task)
assert refused.type is dispycos.PeerLost and refused.value, refused
""",
    )


@pytest.mark.row("KE-32")
def test_it_is_called_at_home_in_the_same_way(program):
    def square(number, task=None):
        yield task.sleep(0)
        return number * number

    def main(task=None):
        rps = RPS(square)
        assert "not registered" in (yield rps(3)).value
        assert rps.register() == 0
        assert (yield RPS.locate("square")) is rps
        assert rps.monitor(task) == 0
        made = yield rps(3)
        assert isinstance(made, Task)
        status = yield task.receive(timeout=5)
        assert (status.info, status.type, status.value) == (made, StopIteration, 9)
        assert rps.close() == 0
        assert "closed" in (yield rps(3)).value
        assert rps.register() == -1 and rps.monitor(task) == -1 and rps.close() == -1
        with pytest.raises(TypeError):
            rps.monitor("me")

    run(main)


@pytest.mark.row("KE-32")
@pytest.mark.parametrize("arguments", [(print,), (7,), (lambda: 1,), (None,)])
def test_only_what_a_task_can_run_is_offered(program, arguments):
    with pytest.raises(TypeError, match="generator function"):
        RPS(*arguments)
