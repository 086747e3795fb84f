"""Gateways that are servers of a running cluster."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from dispycos import Client
from dispycos.errors import HostNotFound
from dispycos.gateways import RemoteError
from tests.helpers import wait_until
from tests.process.clusters import cluster, program, run

__all__ = ["cluster", "program"]

PROGRAM = '''
from dispycos import Client, LocalCluster, Task

table = {}


def fill(name, value, task=None):
    table[name] = value
    yield task.sleep(0)
    return dict(table)


def counts(channel, task=None):
    for number in range(3):
        yield task.sleep(0.001)
        yield channel.send(number)


def main(task=None):
    client = Client([fill])
    yield client.schedule()
    [server] = yield client.run_everywhere(fill, "everywhere", 1)
    gateway = yield client.gateway(server)
    print(gateway)
    channel = gateway.remote_exec(
        """
        import __main__, os
        __main__.table[channel.receive()] = 2
        channel.send(os.getpid())
        """
    )
    channel.send("by the gateway")
    pid = yield channel.receive()
    yield channel.waitclose()
    rtask = yield client.rtask_at(server, fill, "by a task", 3)
    print((yield rtask()))
    info = yield gateway._rinfo()
    print(info.pid == pid)
    numbers = []
    async_channel = gateway.remote_exec(counts)
    for _ in range(3):
        numbers.append((yield async_channel.receive()))
    print(numbers, [str(one).partition("/")[0] for one in (yield client.tasks(server))])
    gateway.exit()
    while (yield client.tasks(server)):
        yield task.sleep(0.01)
    rtask = yield client.rtask_at(server, fill, "afterwards", 4)
    print(len((yield rtask())), gateway)
    yield client.close()


if __name__ == "__main__":
    with LocalCluster(1):
        Task(main).value(60)
'''


def test_a_program_sees_its_own_names_through_a_gateway_into_a_server(tmp_path, run_python):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    code, out, err = run_python(str(path), timeout=90)
    assert code == 0 and err == "", err
    lines = out.splitlines()
    assert lines[0].startswith("<ServerGateway '127.0.0.1:") and lines[0].endswith(" open>")
    assert lines[1:4] == [
        "{'everywhere': 1, 'by the gateway': 2, 'by a task': 3}",
        "True",
        "[0, 1, 2] ['gateway']",
    ]
    assert lines[4].startswith("4 <ServerGateway ") and lines[4].endswith(" the gateway was told to exit>")


def ready(client: Client, task: Any) -> Iterator[Any]:
    yield client.schedule()
    while len(servers := (yield client.servers())) < 2:
        yield task.sleep(0.01)
    return servers


def test_the_end_of_a_gateway_is_told_with_its_reason(cluster):
    client = Client()

    def body(task: Any = None) -> Any:
        first, second = yield ready(client, task)
        told = []

        def ending(channel: Any) -> Any:
            try:
                yield channel.receive(20)
            except EOFError as exc:
                told.append(str(exc))

        gateway = yield client.gateway(first)
        status = yield gateway.remote_status()
        assert (status.numexecuting, status.numchannels) == (0, 0)
        failed = gateway.remote_exec("1 / 0")
        with pytest.raises(RemoteError, match="ZeroDivisionError"):
            yield failed.receive(20)
        yield ending(gateway.remote_exec("import os; os._exit(3)"))
        assert "exit code 3" in told[-1]
        assert gateway.join(10)

        # Closed before its far end knows that it is open: nothing of it is left, and nothing is told.
        (yield client.gateway(second)).exit()
        while (yield client.tasks(second)):
            yield task.sleep(0.01)

        gateway = yield client.gateway(second)
        channel = gateway.remote_exec("channel.receive()")
        assert (yield client.close_server(second, terminate=True)) == 0
        yield ending(channel)
        assert "closed" in told[-1], told[-1]

        for where, why in (("192.0.2.1", "no server or node at 192.0.2.1"), (second, "no server or node at")):
            with pytest.raises(HostNotFound, match=why):
                yield client.gateway(where)

        while not (servers := (yield client.servers())):
            yield task.sleep(0.01)
        gateway = yield client.gateway(servers[0])
        channel = gateway.remote_exec("channel.receive()")
        assert (yield client.close()) == 0
        yield ending(channel)
        assert "closed" in told[-1], told[-1]
        with pytest.raises(HostNotFound, match="the client is closed"):
            yield client.gateway(servers[0])

    run(body, timeout=60)


def test_code_is_interrupted_at_exit_and_what_does_not_end_stays_a_task_of_its_server(cluster, tmp_path):
    client = Client()
    marks = tmp_path / "interrupted"

    def opened(task: Any = None) -> Any:
        first, _ = yield ready(client, task)
        gateways = []
        for _ in range(2):
            gateways.append((yield client.gateway(first)))
        return gateways

    first, second = run(opened)
    pid = first._rinfo().pid
    assert pid == second._rinfo().pid != os.getpid()

    # In plain threads, many items and large ones.
    echo = first.remote_exec("for item in channel: channel.send(item)")
    sender = threading.Thread(target=lambda: [echo.send(b"x" * 100_000) for _ in range(100)])
    sender.start()
    assert sum(len(echo.receive(20)) for _ in range(100)) == 10_000_000
    sender.join(10)

    # In asyncio.
    async def asks() -> Any:
        channel = second.remote_exec("channel.send(channel.receive() * 2)")
        await channel.send(21)
        return await channel.receive(10)

    assert asyncio.run(asks()) == 42

    loop = (
        "import time\n"
        "channel.send(1)\n"
        "try:\n"
        "    while True: time.sleep(0.01)\n"
        f"except KeyboardInterrupt: open({str(marks)!r}, 'x').close()\n"
    )
    first.remote_exec(loop).receive(10)
    first.exit()
    assert first.join(10) and marks.exists()

    stubborn = (
        "import time\n"
        "end = time.monotonic() + 30\n"
        "channel.send(1)\n"
        "while time.monotonic() < end:\n"
        "    try: time.sleep(0.01)\n"
        "    except KeyboardInterrupt: pass\n"
    )
    second.remote_exec(stubborn).receive(10)
    second.exit()
    assert not second.join(0.3)
    assert [task.name for task in client.tasks().result(10)] == ["gateway"]
    second.kill()
    assert second.join(20)
    assert psutil.pid_exists(pid)
    wait_until(lambda: not client.tasks().result(10), what="no task to be left")
    assert client.close().result(20) == 0
