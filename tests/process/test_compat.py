"""pycos programs under `python -m dispycos.compat`: one process, and several."""

from __future__ import annotations

import ast
import secrets
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from dispycos.compat import aliases
from tests.helpers import Finished, background, run_program
from tests.process.daemons import free_ports
from tests.process.test_rps import HOME, SECRET

COMPAT = [sys.executable, "-m", "dispycos.compat"]
EXAMPLES = Path(aliases.HOME) / "examples"


def run(program: str | Path, *args: str, folder: Path | None = None, **options) -> Finished:
    """Run a program, given by its path or its source, under compat."""
    if isinstance(program, str):
        assert folder is not None
        path = folder / "program.py"
        path.write_text(textwrap.dedent(program))
        program = path
    return run_program([*COMPAT, program, *args], **{"timeout": 40, **options})


def expected(path: Path) -> str:
    """What stands after "prints" in the docstring."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    output = text.partition("\nprints")[2].partition("\n")[2]
    assert output.strip(), f"{path.name} does not say what it prints"
    return "".join(line.removeprefix("    ") + "\n" for line in output.strip("\n").splitlines())


def key(folder: Path) -> dict[str, str]:
    """An environment with a key of its own."""
    path = folder / "key"
    if not path.exists():
        path.write_text(secrets.token_hex(32) + "\n")
        path.chmod(0o600)
    return {"DISPYCOS_SECRET_FILE": str(path), "TMPDIR": str(folder)}


# As Python itself would run it.

ENDS = ["", "sys.exit(3)", "sys.exit('why')", "raise ValueError('it')", "raise KeyboardInterrupt", "1 +"]


@pytest.mark.row("CO-01")
@pytest.mark.parametrize("end", ENDS)
def test_a_program_runs_and_ends_as_python_runs_it(tmp_path, end):
    path = tmp_path / "program.py"
    path.write_text(
        f"import os, sys\nprint(sys.argv, sys.path[0], __file__, __name__)\nimport beside\n{end}\n"
    )
    (tmp_path / "beside.py").write_text("import __main__\nprint(__main__.__file__, flush=True)\n")
    theirs = run_program([sys.executable, path, "one", "--two"])
    ours = run_program([*COMPAT, path, "one", "--two"])
    assert (ours.code, ours.out) == (theirs.code, theirs.out)
    assert ours.err == theirs.err
    assert ours.code == {"sys.exit(3)": 3, "": 0, "raise KeyboardInterrupt": -signal.SIGINT}.get(end, 1)


@pytest.mark.row("CO-01")
def test_no_installed_pycos_is_used_and_other_programs_keep_theirs(tmp_path):
    (tmp_path / "pycos.py").write_text("print('another pycos')\n")
    code, out, err = run("import pycos\nprint(pycos.Task.__module__)\n", folder=tmp_path)
    assert (code, out) == (0, "dispycos.kernel.task\n"), err
    code, out, err = run_program([sys.executable, tmp_path / "program.py"])
    assert out == "another pycos\n"
    assert "no attribute 'Task'" in err


@pytest.mark.row("CO-01")
@pytest.mark.parametrize(
    ("name", "module"), [("dispycosnode.py", "dispycos.node"), ("dispycos.py", "dispycos")]
)
def test_our_node_and_scheduler_stand_for_those_of_pycos(tmp_path, name, module):
    ours = run_program([*COMPAT, name, "--help"], cwd=tmp_path)
    assert (ours.code, ours.out) == run_program([sys.executable, "-m", module, "--help"])[:2]
    assert "--secret" in ours.out
    own = tmp_path / "own" / name
    own.parent.mkdir()
    own.write_text("print('mine')\n")
    assert run_program([*COMPAT, own])[:2] == (0, "mine\n")


@pytest.mark.row("CO-01")
def test_a_program_that_is_not_there_is_told(tmp_path):
    code, out, err = run(tmp_path / "none.py")
    assert (code, out) == (2, "")
    assert "none.py" in err and "No such file" in err
    assert run_program(COMPAT).code == 2
    assert "usage" in run_program([*COMPAT, "--help"]).out


# Names.

NAMES = {
    "pycos": "AsyncDBCursor AsyncSocket AsyncThreadPool CategorizeMessages Channel Condition Event "
    "HotSwapException Location Lock Logger MonitorStatus MsgTimeout PickleProtocolVersion Pycos RLock "
    "Semaphore Singleton Struct SysTask Task config deserialize logger serialize",
    "pycos.netpycos": "Task Pycos Lock AsyncSocket Location Channel Logger logger PeerStatus RPS RTI SysTask "
    "serialize deserialize MonitorStatus MsgTimeout",
    "pycos.dispycos": "Client Computation DispycosNodeAllocate DispycosNodeAvailInfo DispycosNodeInfo "
    "DispycosStatus DispycosTaskInfo Scheduler MinPulseInterval MaxPulseInterval MsgTimeout Task Location "
    "logger MonitorStatus SysTask",
    "pycos.httpd": "HTTPServer",
    "pycos.asyncfile": "AsyncFile AsyncPipe",
    "pycos.config": "DispycosNodePort DispycosSchedulerPort IPV4_MULTICAST_GROUP IPV6_MULTICAST_GROUP "
    "MaxConnectionErrors MaxPulseInterval MinPulseInterval MsgTimeout NetPort PickleProtocolVersion",
}


@pytest.mark.row("CO-02", "CO-04")
def test_every_public_name_is_there_and_no_other(tmp_path):
    source = f"""
        import importlib, pycos
        for module, names in {NAMES!r}.items():
            module = importlib.import_module(module)
            for name in names.split():
                getattr(module, name)
            try:
                module.no_such_name
            except AttributeError:
                pass
            else:
                raise SystemExit("no_such_name")
        for line in ("import pycos.nothing", "from pycos import nothing", "from pycos.httpd import nothing"):
            try:
                exec(line)
            except ImportError:
                continue
            raise SystemExit(line)
        names = {{}}
        exec("from pycos.dispycos import *", names)
        print(sorted(set(names) - {{"__builtins__"}}))
        import os, pycos.netpycos
        folder = os.path.dirname(pycos.__file__)
        print(pycos.__version__.split(".")[0], os.path.isfile(os.path.join(folder, "data", "Dockerfile")))
        print(sum(name.endswith(".py") for name in os.listdir(os.path.join(folder, "examples"))) > 3)
        print(isinstance(pycos.Location("127.0.0.1", tcp_port="9000"), pycos.Location))
    """
    code, out, err = run(source, folder=tmp_path)
    assert code == 0, out + err
    assert out.splitlines() == [
        str(sorted(NAMES["pycos.dispycos"].split()[:8])),
        "4 True",
        "True",
        "True",
    ]


@pytest.mark.row("CO-03")
def test_pycos_alone_has_no_network_and_netpycos_adds_it_in_place(tmp_path):
    source = """
        import os, pycos
        def sockets():
            links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
            return sum(os.path.islink(link) and os.readlink(link).startswith("socket") for link in links)
        def nothing(task=None):
            yield
        before = sockets()
        pycos.Task(nothing).value()
        print(sockets() - before, hasattr(pycos, "RPS"), pycos.Pycos().location)
        import pycos.netpycos
        pycos.Task(nothing).value()
        print(sockets() > before, hasattr(pycos, "RPS"), pycos.Pycos().location is not None)
        import pycos.netpycos as other
        print(other.Task is pycos.Task, other.Pycos is pycos.Pycos, other.RTI is pycos.RPS)
    """
    code, out, err = run(source, folder=tmp_path, env=key(tmp_path))
    assert (code, out.splitlines()) == (0, ["0 False None", "True True True", "True True True"]), err


@pytest.mark.row("CO-09")
def test_pycos_takes_the_newest_order_and_the_known_port_if_it_is_free(tmp_path):
    source = """
        import socket, sys
        import pycos, pycos.config
        taken = socket.create_server(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        pycos.config.NetPort = port
        import pycos.netpycos
        first = pycos.Pycos(0, None, "127.0.0.1", None, None, False, "named", False, "a secret of nobody's")
        print(first.location.port not in (0, port), first.name, first.location.addr)
        first.terminate()
        taken.close()
        second = pycos.Pycos(node="127.0.0.1", discover_peers=False, secret="a secret of nobody's")
        print(second.location.port == port, pycos.Pycos.instance() is second)
        print(pycos.Pycos(name="x").name == "x")
    """
    code, out, err = run(source, folder=tmp_path)
    assert (code, out.splitlines()) == (0, ["True named 127.0.0.1", "True True", "False"]), err


# What programs use.


@pytest.mark.row("CO-09")
def test_pycos_listens_in_the_family_that_is_asked_for(tmp_path):
    source = """
        import socket
        import pycos.netpycos as pycos
        net = pycos.Pycos(socket_family=socket.AF_INET6, discover_peers=False)
        print(":" in net.location.addr)
    """
    code, out, err = run(source, folder=tmp_path, env=key(tmp_path))
    assert (code, out) == (0, "True\n"), err


@pytest.mark.row("CO-10")
def test_settings_are_understood_as_sums_and_nothing_else(tmp_path):
    source = """
        import pycos.config
        from dispycos import config
        print(pycos.config.DispycosNodePort)
        pycos.config.NetPort = 9800
        print(config.NetPort, config.DispycosSchedulerPort, config.DispycosNodePort)
        pycos.config.DispycosNodePort = "pycos.config.DispycosSchedulerPort + 20 - 5"
        pycos.config.MsgTimeout = 3
        print(config.DispycosNodePort, config.MsgTimeout)
        for bad in ("__import__('os').getpid()", "pycos.config.Nothing", "1 * 2", None, "", "1 +",
                    "pycos.config.DispycosNodePort", True):
            try:
                pycos.config.DispycosNodePort = bad
            except ValueError:
                continue
            raise SystemExit(repr(bad))
        print(config.DispycosNodePort)
    """
    code, out, err = run(source, folder=tmp_path)
    lines = ["pycos.config.DispycosSchedulerPort + 1", "9800 9800 9801", "9815 3", "9815"]
    assert (code, out.splitlines()) == (0, lines), err


@pytest.mark.row("CO-10")
def test_the_log_goes_to_standard_output(tmp_path):
    source = """
        import pycos
        pycos.logger.debug("not shown")
        pycos.logger.info("shown %s", 1)
        pycos.logger.setLevel(pycos.Logger.ERROR)
        pycos.logger.warning("not shown")
        pycos.logger.error("%d", "no number")
        def fails(task=None):
            yield
            raise ValueError("of the task")
        pycos.Task(fails)
        own = pycos.Logger("own", level=pycos.Logger.DEBUG, log_ms=True)
        own.debug("milliseconds")
    """
    code, out, err = run(source, folder=tmp_path)
    assert (code, err) == (0, "")
    assert "not shown" not in out
    lines = out.splitlines()
    assert lines[0].endswith(" pycos - shown 1") and lines[0][4] == "-"
    assert "no number" in lines[1]
    assert any(line.endswith("own - milliseconds") and line[19] == "." for line in lines)
    assert "ValueError: of the task" in out


@pytest.mark.row("CO-10")
def test_small_tools_work(tmp_path):
    source = """
        import pycos
        class One(metaclass=pycos.Singleton):
            def __init__(self, value): self.value = value
        print(One(1) is One(2), One(3).value, pycos.Singleton.instance(One).value)
        pycos.Singleton.discard(One)
        print(pycos.Singleton.instance(One), One(4).value)
        point = pycos.Struct(x=1, y=2)
        point.x = 5
        print(point.x, point.y, point.z)
        print(pycos.deserialize(pycos.serialize({"a": (1, 2)})))
        condition, event = pycos.Condition(), pycos.Event()
        print(pycos.Task.scheduler() is not None, callable(condition.notifyAll), event.isSet())
        status = pycos.MonitorStatus("who", StopIteration, 7)
        print(status[0], status[1] is StopIteration, status[2], [*status][2])
    """
    code, out, err = run(source, folder=tmp_path)
    assert code == 0, err
    lines = [line for line in out.splitlines() if "invalid" not in line]
    assert lines == ["True 1 1", "None 4", "5 2 None", "{'a': (1, 2)}", "True True False", "who True 7 7"]


@pytest.mark.row("CO-10")
def test_a_systask_runs_while_a_task_blocks(tmp_path):
    source = """
        import threading, time
        import pycos, pycos.netpycos
        pycos.Pycos(host="127.0.0.1", discover_peers=False, secret="a secret of nobody's")
        five = threading.Event()
        def ticks(told, task=None):
            print(task.name, isinstance(task, pycos.Task), task.location == pycos.Pycos().location)
            task.register()
            started = time.monotonic()
            moments = []
            while len(moments) < 5:
                yield task.sleep(0.02)
                moments.append(time.monotonic())
            five.set()
            told.send(moments)
            inner = pycos.Task(answers)
            inner.send((task, "asked"))
            answer = yield task.receive(timeout=10)
            return (answer, (yield task.receive(timeout=10)))
        def answers(task=None):
            sender, message = yield task.receive(timeout=10)
            sender.send(message + " and answered")
        def blocks(task=None):
            systask = pycos.SysTask(ticks, task)
            began = time.monotonic()
            five.wait(30)
            ended = time.monotonic()
            moments = yield task.receive(timeout=10)
            print(sum(began < moment < ended for moment in moments))
            found = yield pycos.SysTask.locate("ticks", timeout=5)
            print(found is systask, (yield found.deliver("more", timeout=5)))
            print((yield systask()), (yield systask.finish(5)))
            print((yield systask.deliver("late")), systask.is_alive())
            def fails(task=None):
                yield task.sleep(0.01)
                raise KeyError("x")
            failing = pycos.SysTask(fails)
            failing.notify(task)
            status = yield task.receive(timeout=10)
            print(status.info is failing, status.type.__name__)
            try:
                yield failing.result()
            except KeyError as error:
                print(repr(error))
            sleeper = pycos.SysTask(lasting)
            print((yield sleeper.finish(0.05)), sleeper.terminate())
            print((yield sleeper.finish(5)).type.name)
        def lasting(task=None):
            yield task.sleep()
        pycos.Task(blocks)
    """
    code, out, err = run(source, folder=tmp_path)
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if line[:2] != "20" and "Error: 'x'" not in line]
    lines = [line for line in lines if not line.startswith(("Traceback", "  "))]
    assert lines == [
        "^ticks True True",
        "5",
        "True 1",
        "('asked and answered', 'more') ('asked and answered', 'more')",
        "-1 False",
        "True KeyError",
        "KeyError('x')",
        "None 0",
        "TaskTerminated",
    ], out


@pytest.mark.row("CO-02")
def test_sockets_and_pipes_take_the_arguments_of_pycos(tmp_path):
    source = """
        import socket, subprocess, sys
        import pycos, pycos.asyncfile
        listener = socket.create_server(("127.0.0.1", 0))
        def server(task=None):
            conn, _ = yield pycos.AsyncSocket(listener).accept()
            message = yield conn.recv_msg()
            yield conn.send_msg(message.upper())
            plain = conn.unwrap()
            print(type(conn).__name__, type(plain).__name__)
            plain.close()
        task = pycos.Task(server)
        client = pycos.AsyncSocket(socket.create_connection(listener.getsockname()), True, None, None)
        client.send_msg(b"blocking")
        print(client.recv_msg(), client.recv(1))
        client.close()
        task.value()
        def pipes(task=None):
            first = subprocess.Popen([sys.executable, "-c", "print(input()); print(input())"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            pipe = pycos.asyncfile.AsyncPipe(first)
            yield pipe.write(b"one\\ntwo\\n", True, 5)
            print((yield pipe.readline(0, 100, 5)), (yield pipe.stdout.readline(2, 100)))
            pipe.close()
            first.wait()
            echo = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            with open(__file__) as file:
                out, err = yield pycos.asyncfile.AsyncPipe(echo).communicate(file)
            print(out == open(__file__, "rb").read(), err)
            echo.wait()
        pycos.Task(pipes)
    """
    code, out, err = run(source, folder=tmp_path)
    assert code == 0, err
    assert sorted(out.splitlines()) == sorted(
        ["AsyncSocket socket", "b'BLOCKING' b''", "b'one\\n' b'tw'", "True None"]
    )


@pytest.mark.row("CO-11", "CO-12")
@pytest.mark.parametrize("name", ["greetings", "old_returns", "news"])
def test_an_example_prints_what_it_says(name):
    path = EXAMPLES / f"{name}.py"
    code, out, err = run(path)
    assert (code, out) == (0, expected(path)), err


@pytest.mark.row("CO-11")
def test_native_tasks_keep_what_python_says_of_stopiteration():
    source = "from dispycos import Task\ndef f(task=None):\n    yield\n    raise StopIteration(7)\n"
    code, out, _ = run_program([sys.executable, "-c", source + "print(Task(f).value().type.__name__)\n"])
    assert (code, out) == (0, "RuntimeError\n")


@pytest.mark.row("CO-12")
def test_a_service_is_called_from_another_program(tmp_path):
    path = EXAMPLES / "clock_client.py"
    # A UDP port of their own: a test beside this one may announce programs of another key, which is told.
    env = key(tmp_path) | {"DISPYCOS_UDP_PORT": str(free_ports(1))}
    with background([*COMPAT, EXAMPLES / "clock_service.py"], env=env) as service:
        service.wait_line("the clock is at ")
        code, out, err = run(path, env=env)
        assert (code, out) == (0, expected(path)), err + service.output
        service.write("")
        assert service.wait() == 0


@pytest.mark.row("CO-10")
def test_messages_are_made_by_the_programs_own_serialize(tmp_path):
    home = """
        import pickle
        import pycos, pycos.netpycos
        pycos.deserialize = lambda data: pickle.loads(bytes(255 - byte for byte in data))
        def home(task=None):
            task.register()
            message, sender = yield task.receive()
            sender.send(["seen", message])
            yield task.receive()
        pycos.Pycos(host="127.0.0.1", discover_peers=False, secret="a secret of nobody's")
        pycos.Task(home)
        print("at", pycos.Pycos().location.port, flush=True)
    """
    visitor = """
        import pickle, sys
        import pycos, pycos.netpycos
        made = []
        def serialize(value):
            made.append(value)
            return bytes(255 - byte for byte in pickle.dumps(value))
        pycos.serialize = serialize
        pycos.Pycos(host="127.0.0.1", discover_peers=False, secret="a secret of nobody's")
        def visit(task=None):
            there = pycos.Location("127.0.0.1", int(sys.argv[1]))
            yield pycos.Pycos().peer(there)
            home = yield pycos.Task.locate("home", there, 5)
            home.send(({"a": 1}, task))
            print((yield task.receive(timeout=10)), len(made))
            home.send("end")
        pycos.Task(visit)
    """
    (tmp_path / "home.py").write_text(textwrap.dedent(home))
    with background([*COMPAT, tmp_path / "home.py"]) as process:
        port = process.wait_line("at ").split()[1]
        code, out, err = run(visitor, port, folder=tmp_path)
        assert (code, out) == (0, "['seen', {'a': 1}] 1\n"), err + process.output
        assert process.wait() == 0


@pytest.mark.row("CO-08", "CO-10")
def test_a_refused_call_of_an_rps_gives_none_here_and_at_another_process(tmp_path):
    source = f"""
        import sys, pycos, pycos.netpycos

        def local(task=None):
            yield task.sleep(0.01)

        def main(task=None):
            service = pycos.RPS(local)
            print("unregistered", (yield service()))
            service.register()
            print("wrong arguments", (yield service(1, 2)))
            print("a task", isinstance((yield service()), pycos.Task))
            service.close()
            print("closed", (yield service()))
            home = pycos.Location("127.0.0.1", int(sys.argv[1]))
            assert (yield pycos.Pycos().peer(home)) == 0
            there = yield pycos.RPS.locate("double", home, timeout=10)
            print("there", isinstance(there, pycos.RPS), (yield there(1, 2, 3, 4)))
            made = yield there(4)
            made.send("end")
            print("made there", (yield made()))
            there.close()
            print("closed there", (yield there(1)))

        pycos.Pycos(host="127.0.0.1", discover_peers=False, secret={SECRET!r})
        pycos.Task(main)
    """
    with background([sys.executable, "-c", HOME]) as home:
        port = home.wait_line("at ").split()[1]
        code, out, err = run(source, port, folder=tmp_path)
    assert code == 0, out + err
    assert [line for line in out.splitlines() if " - " not in line] == [
        "unregistered None",
        "wrong arguments None",
        "a task True",
        "closed None",
        "there True None",
        "made there (8, 'end')",
        "closed there None",
    ]
