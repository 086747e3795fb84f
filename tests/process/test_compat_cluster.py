"""pycos programs that use a cluster: an ordinary node serves them, and native programs after them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import Program, background, run_program, run_python
from tests.process.daemons import free_ports
from tests.process.test_compat import COMPAT, EXAMPLES, key, run

SHIPPED = os.environ.get("DISPYCOS_PYCOS_EXAMPLES", "")  # the folder `examples` of a pycos sdist


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Program]:
    command = [
        sys.executable, "-m", "dispycos.node", "--cpus", "2", "--host", "127.0.0.1", "--daemon",
        "--tcp_ports", str(free_ports(3)), "--dest_path", str(tmp_path / "node"),
    ]  # fmt: skip
    with background(command, env=key(tmp_path)) as program:
        program.wait_line("ready at")
        yield program


@pytest.mark.row("CO-05", "CO-11", "CO-13")
def test_code_that_is_shipped_finds_pycos_on_an_ordinary_node(tmp_path, node):
    files = [tmp_path / name for name in ("one.txt", "two.txt")]
    for file in files:
        file.write_text(f"the file {file.name}")
    code, out, err = run(EXAMPLES / "word_lengths.py", *map(str, files), env=key(tmp_path), cwd=tmp_path)
    wanted = [f"{file.name}: 3 words, the longest has 7 letters (True)" for file in files]
    assert (code, sorted(line for line in out.splitlines() if "words" in line)) == (0, wanted), out + err
    # The next one is a native program: in its servers there is no pycos of ours.
    native = """
import os
from dispycos import Client, Task
def looks(task=None):
    yield
    try:
        import pycos
    except ImportError:
        return "no pycos"
    return pycos.__file__
def main(task=None):
    client = Client([looks])
    assert (yield client.schedule()) == 0
    print((yield (yield client.rtask(looks))()))
    yield client.close()
Task(main)
"""
    code, out, err = run_python(native, env=key(tmp_path), timeout=40)
    assert (code, out) == (0, "no pycos\n"), err + node.output


WHOLE = """
def setup_server(name, task=None):
    global text
    with open(name) as file:
        text = file.read()
    os.remove(name)
    yield task.sleep(0.01)
    return 0

def compute(number, task=None):
    import pycos.asyncfile, pycos.httpd, pycos.dispycos
    yield task.sleep(0.01)
    print(pycos.Pycos().location == task.location, "printed by a server")
    if number < 0:
        raise ValueError(number)
    return (text, number, task.location, pycos.RTI is pycos.RPS)

def status_proc(task=None):
    task.set_daemon()
    while True:
        msg = yield task.receive()
        if isinstance(msg, pycos.MonitorStatus):
            ends.append((msg.type, msg.value, msg[0] == msg.info, msg[1] is msg.type))
        if not isinstance(msg, DispycosStatus):
            continue
        seen.append(msg.status)
        if msg.status == Scheduler.NodeDiscovered:
            assert isinstance(msg.info, DispycosNodeInfo) and msg.info.platform
            assert isinstance(msg.info.avail_info, DispycosNodeAvailInfo)
            assert isinstance(msg.info.avail_info.location, pycos.Location)
        elif msg.status == Scheduler.ServerDiscovered:
            pycos.Task(enable, msg.info)
        elif msg.status == Scheduler.TaskStarted:
            assert isinstance(msg.info, DispycosTaskInfo) and msg.info.kwargs == {}, msg.info

def enable(location, task=None):
    # At once: nobody else has spoken with that server yet.
    sent = yield pycos.Pycos().send_file(location, data, timeout=5, overwrite=True)
    assert sent == 0, sent
    assert (yield client.enable_server(location, os.path.basename(data))) == 0

def main(task=None):
    assert (yield client.rtask(compute, 1)) is None
    assert (yield client.schedule()) == 0
    rtasks = []
    for number in (1, 2, -3):
        rtask = yield client.rtask(compute, number)
        assert isinstance(rtask, pycos.Task)
        rtasks.append(rtask)
    results = []
    for rtask in rtasks:
        results.append((yield rtask()))
    found = [result[:2] + result[3:] for result in results[:2]]
    assert found == [("sent", 1, True), ("sent", 2, True)], results
    assert isinstance(results[2], pycos.MonitorStatus) and results[2].type is ValueError
    servers = yield client.servers()
    assert sorted(map(str, servers)) == sorted({str(result[2]) for result in results[:2]}), servers
    assert len((yield client.nodes())) == 1 and (yield client.tasks(servers[0])) == []
    assert (yield client.rtask_at(pycos.Location("127.0.0.1", 1), compute, 1)) is None
    try:
        yield client.io_rtask(compute, threading.Lock())
    except TypeError:
        print("a lock is not sent")
    assert (yield client.restart_node("127.0.0.9", 1, 2, terminate=True)) == -1
    assert (yield client.node_allocate(DispycosNodeAllocate("127.0.0.1", cpus=0))) == 0
    assert (yield client.close()) == 0
    assert (yield client.run(compute, 1)) is None
    http.shutdown()
    assert (StopIteration, results[0], True, True) in ends
    for status in (Scheduler.NodeInitialized, Scheduler.ServerInitialized, Scheduler.TaskCreated):
        assert status in seen, seen
    print("done")

if __name__ == "__main__":
    import os, sys, threading
    import pycos, pycos.httpd
    import pycos.netpycos
    from pycos.dispycos import *

    data = sys.argv[1]
    seen, ends = [], []
    never = DispycosNodeAllocate("*", platform="Windows", cpus=0)
    client = Client([compute], [never], pycos.Task(status_proc), None, setup_server, False, True, 10,
                    ["127.0.0.7"], 5, True, None, False)
    http = pycos.httpd.HTTPServer(client, "", 0)
    pycos.Task(main)
"""


@pytest.mark.row("CO-05", "CO-06", "CO-07", "CO-08", "CO-13")
def test_a_program_meets_what_the_newest_pycos_gives(tmp_path, node):
    (tmp_path / "data.txt").write_text("sent")
    code, out, err = run(WHOLE, str(tmp_path / "data.txt"), folder=tmp_path, env=key(tmp_path), cwd=tmp_path)
    lines = [line for line in out.splitlines() if line[:2] != "20"]
    assert (code, lines[-2:]) == (0, ["a lock is not sent", "done"]), out + err + node.output
    node.wait_line("True printed by a server")


@pytest.mark.row("CO-07")
def test_a_rule_of_no_servers_is_never(tmp_path, node):
    source = """
        import sys
        import pycos, pycos.netpycos
        from pycos.dispycos import *
        asked = []
        class Asked(DispycosNodeAllocate):
            def allocate(self, ip_addr, name, platform, cpus, memory, disk):
                asked.append(cpus)
                return 1
        def watches(task=None):
            task.set_daemon()
            while True:
                msg = yield task.receive()
                if isinstance(msg, DispycosStatus) and msg.status == Scheduler.NodeIgnore:
                    told.set()
        def main(task=None):
            never = DispycosNodeAllocate("127.0.0.*", cpus=0)
            client = Client([], nodes=[never], status_task=pycos.Task(watches))
            assert (yield client.schedule()) == 0
            assert (yield told.wait(20))
            assert (yield client.nodes()) == []
            yield client.close()
            client = Client([], nodes=[Asked("*")])
            assert (yield client.schedule()) == 0
            while not (yield client.servers()):
                yield task.sleep(0.05)
            yield client.close()
            print(asked)
        told = pycos.Event()
        pycos.Task(main)
    """
    code, out, err = run(source, folder=tmp_path, env=key(tmp_path), cwd=tmp_path)
    assert (code, out.splitlines()[-1:]) == (0, ["[2]"]), out + err + node.output


# The programs that pycos ships are not ours to keep: `DISPYCOS_PYCOS_EXAMPLES` names their folder.

ALONE = {"channel": "prod: ", "client_server": "msg_id 30", "tasks": "terminating", "udp": "client socket"}
ON_A_CLUSTER = {
    "dispycos_client2": ("2", "result for 1 from"),
    "dispycos_client3": ("2", "result for job 1"),
    "dispycos_client7": ("2", "finished with"),
    "dispycos_client9_node": ("1", "md5sum for"),
    "dispycos_client9_server": ("1", "md5sum for"),
    "dispycos_live_analytics": ("", "trend signal"),
    "dispycos_live_analytics_channel": ("", "trend signal"),
}


@pytest.mark.skipif(not SHIPPED, reason="DISPYCOS_PYCOS_EXAMPLES names no folder of pycos's own programs")
@pytest.mark.row("CO-12")
@pytest.mark.parametrize("name", ALONE)
def test_a_shipped_program_runs(tmp_path, name):
    code, out, err = run_program([*COMPAT, Path(SHIPPED) / f"{name}.py"], env=key(tmp_path), timeout=50)
    assert code == 0 and ALONE[name] in out, out + err


@pytest.mark.skipif(not SHIPPED, reason="DISPYCOS_PYCOS_EXAMPLES names no folder of pycos's own programs")
@pytest.mark.row("CO-13")
@pytest.mark.parametrize("name", ON_A_CLUSTER)
def test_a_shipped_program_runs_on_a_cluster(tmp_path, node, name):
    argument, wanted = ON_A_CLUSTER[name]
    command = [*COMPAT, Path(SHIPPED) / f"{name}.py", *argument.split()]
    code, out, err = run_program(command, env=key(tmp_path), cwd=tmp_path, timeout=55)
    assert code == 0 and wanted in out, out + err + node.output
