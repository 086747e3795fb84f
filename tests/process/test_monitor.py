"""HTTPServer with a real client and real servers."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos import Client, DispycosStatus, LocalCluster, Task
from dispycos.httpd import HTTPServer, asking, sampling
from dispycos.httpd.client_source import ClientSource
from dispycos.httpd.events import TaskEnded, TaskPlaced, TaskSubmitted
from dispycos.httpd.feed import Feed
from dispycos.httpd.lending import NOBODY
from dispycos.httpd.source import Look
from dispycos.httpd.view import View
from dispycos.model import Status
from dispycos.terminal import status as terminal
from tests.helpers import ROOT, background, environment, run_python, wait_until
from tests.monitors import Asker, Viewer, play, synthetic
from tests.process.clusters import Watcher, run, sleeps, two_servers
from tests.process.schedulers import Place, schedule
from tests.process.schedulers import run as run_task


def stands(task: Any = None) -> Iterator[Any]:
    def inner() -> Iterator[Any]:
        yield task.receive()

    print("standing here", flush=True)
    yield inner()


def fails(number: int) -> Iterator[Any]:
    yield
    raise ValueError(f"no {number}")


def asker_of(monitor: HTTPServer) -> Asker:
    return Asker(monitor._running)


def echoes(data: bytes) -> Iterator[Any]:
    yield
    return data


class Shown:
    """Counts how often it is converted to text."""

    count = 0

    def __str__(self) -> str:
        Shown.count += 1
        return "shown once"

    def __reduce__(self) -> Any:
        return (str, ("shown",))


@pytest.fixture
def watched(cluster: LocalCluster) -> Iterator[tuple[Client, HTTPServer, Asker]]:
    """A client with its monitor; the program closes the client."""
    client = Client([stands, fails, echoes, sleeps])
    monitor = HTTPServer(client, port=0)
    yield client, monitor, asker_of(monitor)
    monitor.shutdown(wait=False)


def during(client: Client, body: Any) -> Any:
    """Run `body()` in a plain thread while the client is scheduled and its servers are ready."""

    def main(task: Any = None) -> Iterator[Any]:
        assert (yield client.schedule()) == 0
        yield two_servers(client, task)
        failed: list[BaseException] = []
        done = threading.Event()

        def call() -> None:
            try:
                body()
            except BaseException as error:
                failed.append(error)
            done.set()

        thread = threading.Thread(target=call)
        thread.start()
        while not done.is_set():
            yield task.sleep(0.02)
        thread.join()
        yield client.close(terminate=True)
        if failed:
            raise failed[0]

    return run(main, timeout=60)


def submit(client: Client, target: Any, *args: Any, **kwargs: Any) -> Task:
    return client.rtask(target, *args, **kwargs).result(20)


@pytest.mark.row("MO-18")
def test_a_task_at_a_server_that_was_not_shown_yet_is_placed_there_with_it(cluster: LocalCluster) -> None:
    client, view, feed = Client([stands]), View("test", 0.0), Feed()
    source = ClientSource(client, show_args=True)
    source.watch(feed)
    source.refresh(Look(tasks=True, survey=True)).result(20)
    assert client.schedule().result(20) == 0
    # Nothing is asked until its server has it, which the answer to this says.
    submit(client, stands)
    source.refresh(Look(tasks=True)).result(20)
    for event in feed.take():
        view.handle(event, 0.0)
    view.end_tick(0.0)
    (task,) = view.tasks.living.values()
    assert task["state"] == "running" and view.rows[task["server"]].kind == "server"
    source.stop()
    client.close(terminate=True).result(20)


@pytest.mark.row("HT-01", "HT-11", "HT-12", "HT-16", "MO-01", "MO-18")
def test_what_a_client_does_is_seen(watched: tuple[Client, HTTPServer, Asker]) -> None:
    client, _, asker = watched
    assert asker.get("/api/v1/cluster")["cluster"]["state"] == "not scheduled"

    def body() -> None:
        for number in range(4):
            submit(client, fails, number)
        wait_until(lambda: asker.get("/api/v1/cluster")["cluster"]["failed"] == 4)
        found = asker.get("/api/v1/cluster")["cluster"]
        assert (found["state"], found["submitted"], found["done"], found["running"]) == ("scheduled", 4, 4, 0)
        [node] = asker.get("/api/v1/nodes")["nodes"]
        assert (node["address"], node["state"], node["servers"], node["done"]) == (
            "127.0.0.1",
            "initialized",
            2,
            4,
        )
        assert node["memory"] > 0
        servers = asker.get(f"/api/v1/nodes/{node['id']}")["servers"]
        assert sorted(server["location"] for server in servers) == sorted(map(str, client.servers().result()))
        assert sum(server["failed"] for server in servers) == 4
        story = asker.get("/api/v1/events?limit=1000")["events"]
        assert any("ValueError: no 3" in event["text"] for event in story)
        assert asker.get("/api/v1/versions")["client"]["components"] == [
            "stands",
            "fails",
            "echoes",
            "sleeps",
        ]

    during(client, body)
    wait_until(lambda: asker.get("/api/v1/cluster")["cluster"]["state"] == "closed")
    assert asker.get("/api/v1/nodes")["nodes"][0]["state"] == "closed"
    assert asker.get("/api/v1/cluster")["cluster"]["done"] == 4


@pytest.mark.row("HT-13", "MO-12", "MO-19", "MO-36")
def test_a_server_shows_where_its_task_stands_its_arguments_and_what_it_prints(
    watched: tuple[Client, HTTPServer, Asker],
) -> None:
    client, _, asker = watched

    def body() -> None:
        task = submit(client, stands)

        async def look() -> None:
            viewer = await Viewer.open(asker, "tasks")
            await viewer.until(
                lambda v: any(t["state"] == "running" for t in v.rows.get("tasks", {}).values())
            )
            server = next(iter(viewer.rows["tasks"].values()))["server"]
            topic = f"server/{server}"
            await viewer.say(type="topics", topics=[topic])
            await viewer.until(lambda v: any(row.get("where") for row in v.rows.get(topic, {}).values()))
            row = next(row for row in viewer.rows[topic].values() if row.get("where"))
            assert [frame[2] for frame in row["where"]] == ["stands", "stands.<locals>.inner"]
            assert row["where"][-1][1] > 0
            assert (row["name"], row["kind"], row["args"]) == ("stands", "CPU", "()")
            await viewer.until(lambda v: [line[2] for line in v.logs[topic]] == ["standing here"])
            await viewer.until(lambda v: v.rows[topic][server]["cpu"] is not None)
            assert abs(viewer.rows[topic][server]["pulse"] - time.time()) < 60
            assert viewer.rows[topic][server]["memory"] > 1_000_000
            await viewer.close()

        play(look)
        assert task.is_alive()

    during(client, body)


@pytest.mark.row("HT-14", "MO-34")
def test_operators_end_tasks_and_suspend_and_close_what_runs_them(
    watched: tuple[Client, HTTPServer, Asker],
) -> None:
    client, _, asker = watched

    def body() -> None:
        task = submit(client, stands)
        row = wait_until(lambda: asker.get("/api/v1/tasks?state=running")["tasks"])[0]
        assert asker.act("terminate_tasks", row["id"]).json["results"][0]["result"] == "done"
        status = task.value(20)
        assert status.type is KeyboardInterrupt
        assert "operator of the web monitor" in status.value
        wait_until(lambda: asker.get(f"/api/v1/tasks/{row['id']}")["task"]["state"] == "failed")
        assert asker.act("terminate_tasks", row["id"]).json["results"][0]["result"] == "gone"

        server = row["server"]
        assert asker.act("suspend_server", server).json["results"][0]["result"] == "done"
        wait_until(lambda: asker.get(f"/api/v1/servers/{server}")["server"]["state"] == "suspended")
        assert asker.act("resume_server", server).json["results"][0]["result"] == "done"
        wait_until(lambda: asker.get(f"/api/v1/servers/{server}")["server"]["state"] == "idle")
        assert asker.act("restart_server", server).json["results"][0]["result"] == "done"
        wait_until(lambda: asker.get(f"/api/v1/servers/{server}")["server"]["state"] == "closed")
        wait_until(lambda: len(client.servers().result()) == 2)
        assert asker.act("close_node", "n1").json["results"][0]["result"] == "done"
        wait_until(lambda: asker.get("/api/v1/nodes/n1")["node"]["state"] == "closed")

    during(client, body)


@pytest.mark.row("HT-06", "MO-36")
def test_arguments_are_converted_once_and_not_at_all_if_they_are_not_shown(cluster: LocalCluster) -> None:
    Shown.count = 0
    client = Client([])
    shown, hidden = HTTPServer(client, port=0), HTTPServer(client, port=0, show_task_args=False)

    def body() -> None:
        async def look() -> None:
            pages = [await Viewer.open(asker_of(monitor), "tasks") for monitor in (shown, hidden)]
            for page in pages:
                await page.until(lambda v: v.seq >= 0)
            await asyncio.to_thread(submit, client, echo_one, Shown())
            rows = []
            for page in pages:
                await page.until(lambda v: v.rows.get("tasks"))
                rows += page.rows["tasks"].values()
                await page.close()
            assert [row["args"] for row in rows] == ["(shown once)", None]
            assert rows[1]["notes"] == {"args": "the program does not show arguments"}

        play(look)
        assert Shown.count == 1

    during(client, body)
    shown.shutdown(wait=False)
    hidden.shutdown(wait=False)


def echo_one(value: Any) -> Iterator[Any]:
    yield
    return value


@pytest.mark.row("HT-08")
def test_the_clients_own_status_task_gets_every_message_once(cluster: LocalCluster) -> None:
    names = []
    for place in (None, "before", "after"):
        client = Client([sleeps])
        watcher = Watcher()
        monitor = HTTPServer(client, port=0) if place == "before" else None
        client.status_task = watcher.task
        if place == "after":
            monitor = HTTPServer(client, port=0)
        during(client, lambda client=client: submit(client, sleeps, 0.01).value(20))
        watcher.wait(Status.ClientClosed)
        counts: dict[str, int] = {}
        for name in watcher.names():
            counts[name] = counts.get(name, 0) + 1
        names.append((counts, len(watcher.ends())))
        if monitor is not None:
            task = monitor.status_task
            assert task.send(DispycosStatus(Status.NodeClosed, None)) == 0
            monitor.shutdown(wait=False)
    assert names[0] == names[1] == names[2]


@pytest.mark.row("HT-17", "MO-60")
def test_the_last_state_stays_and_a_next_client_starts_fresh(cluster: LocalCluster) -> None:
    first = Client([sleeps])
    monitor = HTTPServer(first, port=0)
    during(first, lambda: submit(first, sleeps, 0.01).value(20))
    asker = asker_of(monitor)
    wait_until(lambda: asker.get("/api/v1/cluster")["cluster"]["state"] == "closed")
    assert asker.get("/api/v1/cluster")["cluster"]["done"] == 1

    second = Client([sleeps])
    other = HTTPServer(second, port=0)
    assert asker_of(other).get("/api/v1/cluster")["cluster"]["done"] == 0
    assert monitor.port != other.port
    monitor.shutdown()
    monitor.shutdown()
    other.shutdown(wait=False)


PROGRAM = """
import sys, time
import dispycos
from dispycos.httpd import HTTPServer

def work(seconds, task=None):
    yield task.sleep(seconds)

def main(client, task=None):
    yield client.schedule()
    task = yield client.rtask(work, float(sys.argv[1]))
    yield task()
    yield client.close()
    if len(sys.argv) > 2:
        raise SystemExit if sys.argv[2] == "exit" else ValueError(sys.argv[2])

if __name__ == "__main__":
    with dispycos.LocalCluster(1) as cluster:
        client = dispycos.Client([work])
        monitor = HTTPServer(client, port=0)
        dispycos.Task(main, client).value()
        if len(sys.argv) > 2:
            raise ValueError(sys.argv[2])
"""


def started(tmp_path: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A program with a monitor, and the link that it printed."""
    path = tmp_path / "watched.py"
    path.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, str(path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.fullmatch(r"dispycos monitor: (http://127\.0\.0\.1:\d+/#token=\S+)\n", line)
    assert found, line
    return process, found[1]


class LinkAsker(Asker):
    """Asks the monitor of another process."""

    def __init__(self, link: str) -> None:
        url, _, self.token = link.partition("/#token=")
        self.port = int(url.rpartition(":")[2])


@pytest.mark.row("MO-60")
@pytest.mark.parametrize(
    ("arguments", "interrupt", "reason", "text"),
    [
        (("1.0",), False, "finished", ""),
        (("1.0", "no more"), False, "failed", "ValueError: no more"),
        (("30.0",), True, "interrupted", "Ctrl-C"),
    ],
)
def test_browsers_are_told_how_the_program_ended(
    tmp_path: Path, arguments: tuple[str, ...], interrupt: bool, reason: str, text: str
) -> None:
    process, link = started(tmp_path, *arguments)
    asker = LinkAsker(link)

    async def body() -> None:
        viewer = await Viewer.open(asker, "cluster")
        await viewer.until(lambda v: v.rows["cluster"]["cluster"]["running"] == 1)
        if interrupt:
            process.send_signal(signal.SIGINT)
        await viewer.until(lambda v: v.bye)
        assert (viewer.bye["reason"], viewer.bye["text"]) == (reason, text)
        last = viewer.rows["cluster"]["cluster"]
        assert viewer.bye["totals"] == {name: last[name] for name in viewer.bye["totals"]}
        assert viewer.bye["totals"]["submitted"] == 1
        assert viewer.rows["cluster"]["cluster"]["state"] == "closed"
        assert viewer.rows["cluster"]["n1"]["state"] == "closed"
        await viewer.closed()

    with process:
        play(body)
        process.communicate(timeout=30)
    assert process.returncode == {"finished": 0, "failed": 1}.get(reason, process.returncode)


@pytest.mark.row("MO-03", "MO-05")
def test_without_a_monitor_or_a_look_nothing_is_told_of_tasks(cluster: LocalCluster) -> None:
    client = Client([sleeps])
    assert client._watchers == ()
    monitor = HTTPServer(client, port=0)
    told = []
    put = monitor._running.thread.monitor.feed.put  # type: ignore[union-attr]  # it runs
    monitor._running.thread.monitor.feed.put = lambda event: (told.append(type(event).__name__), put(event))  # type: ignore[union-attr,method-assign]

    def body() -> None:
        for _ in range(5):
            submit(client, sleeps, 0.001).value(20)
        assert not {"TaskSubmitted", "TaskPlaced", "TaskEnded"} & set(told)
        asker = asker_of(monitor)
        assert asker.ask("GET", "/metrics", token=asker.token).body.count(b'outcome="finished"} 5') == 1

    during(client, body)
    monitor.shutdown(wait=False)
    assert client._watchers == ()


@pytest.mark.row("MO-04", "MO-06")
def test_of_a_burst_somebody_looks_at_so_many_tasks_a_second_are_told_to_their_end(
    watched: tuple[Client, HTTPServer, Asker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "MOST", 50)  # so that also a slow machine has too many
    client, _, asker = watched
    feed = asker.monitor.feed
    numbers: dict[type[Any], set[int]] = {TaskSubmitted: set(), TaskPlaced: set(), TaskEnded: set()}
    put = feed.put

    def note(event: Any) -> None:
        if type(event) in numbers:
            numbers[type(event)].add(event.number)
        put(event)

    feed.put = note  # type: ignore[method-assign]

    async def look() -> None:
        viewer = await Viewer.open(asker, "cluster", "tasks")
        await viewer.until(lambda v: "tasks" in v.rows)
        began = time.monotonic()
        futures = await asyncio.to_thread(lambda: [client.submit(abs, number) for number in range(1500)])
        await asyncio.to_thread(lambda: [future.result(60) for future in futures])
        seconds = time.monotonic() - began
        begun, ended = numbers[TaskSubmitted] | numbers[TaskPlaced], numbers[TaskEnded]
        assert 0 < len(ended) <= 50 * (seconds + 2)
        assert begun <= ended, "what was told is told to its end"
        found = await viewer.until(
            lambda v: [row for row in v.rows["cluster"].values() if row.get("done") == 1500]
        )
        assert (found[0]["submitted"], found[0]["failed"]) == (1500, 0)
        assert found[0]["collapsed"] >= 1500 - len(ended)
        await viewer.close()

    during(client, lambda: play(look))


def test_bad_arguments_are_refused(program: None) -> None:
    client = Client()
    for wrong in ({"port": "x"}, {"show_task_args": 3}, {"poll_sec": "y"}, {"host": 3}, {"redact": [3]}):
        with pytest.raises(TypeError):
            HTTPServer(client, **{"port": 0, **wrong})
    with pytest.raises(TypeError, match="must be a Client"):
        HTTPServer(None)  # type: ignore[arg-type]
    assert time.monotonic() > 0


def test_the_last_tasks_of_servers_that_go_are_counted(cluster: LocalCluster) -> None:
    client = Client([sleeps])
    monitor = HTTPServer(client, port=0)
    asker = asker_of(monitor)

    def main(task: Any = None) -> Iterator[Any]:
        assert (yield client.schedule()) == 0
        yield two_servers(client, task)
        # The servers are seen now, and then no more before they are gone.
        while [node["servers"] for node in asker.get("/api/v1/nodes")["nodes"]] != [2]:
            yield task.sleep(0.1)
        tasks = []
        for _ in range(60):
            tasks.append((yield client.rtask(sleeps, 0.001)))
        for one in tasks:
            yield one()
        yield client.close()

    run(main, timeout=60)
    wait_until(lambda: asker.get("/api/v1/nodes")["nodes"][0]["state"] == "closed")
    [node] = asker.get("/api/v1/nodes")["nodes"]
    servers = asker.get(f"/api/v1/nodes/{node['id']}")["servers"]
    assert (node["done"], sum(server["done"] for server in servers)) == (60, 60)
    assert asker.get("/api/v1/cluster")["cluster"]["done"] == 60
    monitor.shutdown(wait=False)


@pytest.mark.row("MO-35")
def test_what_travels_and_who_is_refused_is_counted(watched: tuple[Client, HTTPServer, Asker]) -> None:
    client, _, asker = watched

    def counted(metric: str) -> float:
        body = asker.ask("GET", "/metrics", token=asker.viewer).body.decode()
        lines = re.findall(rf"^dispycos_{metric} (\S+)$", body, re.MULTILINE)
        return sum(map(float, lines))

    def body() -> None:
        assert client.work is not None
        endpoint = client.work.network.endpoint
        came, went = (counted(f'bytes_total{{direction="{way}"}}') for way in ("in", "out"))
        submit(client, echoes, b"x" * 100_000)
        wait_until(lambda: counted('bytes_total{direction="in"}') >= came + 100_000)
        assert counted('bytes_total{direction="out"}') >= went + 100_000
        assert endpoint.location is not None
        before = counted(r'refused_total{reason="\w+"}')
        with socket.create_connection((endpoint.location.addr, endpoint.location.port)) as stranger:
            stranger.sendall(b"GET / HTTP/1.0\r\n\r\n" + bytes(200))
            stranger.recv(100)
            wait_until(lambda: counted(r'refused_total{reason="\w+"}') == before + 1)

    during(client, body)


SCHEDULER = (
    "from dispycos import cli\nimport sys\nif __name__ == '__main__':\n    sys.exit(cli.main(sys.argv[1:]))\n"
)


@pytest.mark.row("HT-10", "MO-01", "MO-14", "MO-23", "MO-24", "SE-24")
def test_a_scheduler_shows_who_has_its_servers_and_says_who_sees_their_tasks(place: Place) -> None:
    shared = place.scheduler("--http", "127.0.0.1:0")
    link = shared.program.wait_line("dispycos monitor: ").rpartition(" ")[2]
    asker = LinkAsker(link)

    def cluster() -> Any:
        return asker.get("/api/v1/cluster")["cluster"]

    assert asker.ask("GET", "/api/v1/cluster").status == 401
    found = cluster()
    assert (found["state"], found["show_args"], found["elsewhere"]) == ("not scheduled", False, NOBODY)
    tasks = ("submitted", "done", "failed", "waiting", "rate")
    assert [found[name] for name in tasks] == [None] * 5
    assert found["notes"].keys() == set(tasks)
    assert "start dispycosnode" in asker.get("/api/v1/why")["text"]

    place.node("--peer", shared.where, servers=1)
    one, two = place.client("one"), place.client("two")
    schedule(one, shared)
    two.write(f"schedule '{shared.where}'")
    run_task(one, 1, 60)
    run_task(one, 2, 60)
    wait_until(
        lambda: (cluster()["waiting_clients"], cluster()["running"], cluster()["waiting"]) == (1, 1, 1)
    )
    assert [cluster()[name] for name in ("client", "submitted", "done", "failed")] == ["one", 2, 0, None]
    holder, waiting = asker.get("/api/v1/cluster")["clients"]
    assert (holder["place"], holder["pid"], holder["nodes"], holder["servers"]) == (0, one.pid, 1, 1)
    assert (waiting["name"], waiting["place"], waiting["submitted"]) == ("two", 1, None)
    [node] = asker.get("/api/v1/nodes")["nodes"]
    assert (node["holder"], node["running"], node["submitted"]) == ("one", 1, None)
    assert node["since"] <= time.time() < node["lease_end"]
    assert node["notes"]["submitted"].startswith("a scheduler is not told")
    [server] = asker.get(f"/api/v1/nodes/{node['id']}")["servers"]
    assert (server["state"], server["running"], server["done"], server["waiting"]) == ("busy", 1, 0, None)
    figures = asker.ask("GET", "/metrics", token=asker.token).body.decode()
    assert 'dispycos_tasks{state="running"} 1' in figures and "dispycos_tasks_total" not in figures

    why = asker.get("/api/v1/why")["text"]
    assert re.search(
        rf"place 1: two at \S+ \(process {two.pid}\), for \d+ s: client one \(process {one.pid}\) holds", why
    )
    # A monitor that is made in the middle of the turn is known with the next pulse.
    assert "It has no monitor" in cluster()["elsewhere"]
    one.write("monitor")
    port = one.wait_line("monitor ").split()[1]
    wait_until(lambda: f"its monitor at http://127.0.0.1:{port} on its machine" in cluster()["elsewhere"])
    told = terminal.text(asking.link(link))
    assert "tasks    1 running, 1 waiting, 0 done" in told
    assert f"(process {two.pid}) waits at place 1 for" in told


CLIENT = """
import sys
import dispycos
from dispycos.httpd import HTTPServer, sampling

def job(number, task=None, **more):
    yield task.receive()

def main(task=None):
    dispycos.Pycos(node="127.0.0.1", discover_peers=False)
    client = dispycos.Client([job])
    assert (yield client.schedule(dispycos.Location.parse(sys.argv[1], 0))) == 0
    HTTPServer(client, port=0, redact="mine*")
    yield client.rtask(job, 1, My_Pin=1234, mine_own={"x": 1}, shown={"pin": 5, "mine": 6, "n": 7})
    print("ready", flush=True)
    yield task.receive()

dispycos.Task(main).value()
"""


@pytest.mark.row("MO-37")
def test_what_scheduler_or_program_want_hidden_no_monitor_shows(place: Place, tmp_path: Path) -> None:
    shared = place.scheduler("--redact", "*PIN", "--redact", "token")
    place.node("--peer", shared.where, servers=1)
    path = tmp_path / "client.py"
    path.write_text(CLIENT)
    env = {"DISPYCOS_SECRET_FILE": str(place.key)}
    with background([sys.executable, str(path), shared.where], env=env) as program:
        link = program.wait_line("dispycos monitor: ", 30).removeprefix("dispycos monitor: ")
        program.wait_line("ready", 30)
        asker = LinkAsker(link)
        [task] = wait_until(lambda: asker.get("/api/v1/tasks")["tasks"])
        assert task["args"] == "(1, My_Pin=***, mine_own=***, shown={'pin': ***, 'mine': ***, 'n': 7})"


@pytest.mark.row("MO-24")
def test_a_terminal_says_why_as_the_page_does(tmp_path: Path) -> None:
    path = tmp_path / "cli.py"
    path.write_text(SCHEDULER)
    with synthetic(rate=0.0) as asker:
        wait_until(lambda: asker.get("/api/v1/cluster")["cluster"]["state"] == "scheduled")
        # As of the same moment: what a tick had found before is not told.
        asker.monitor.view.cluster.put({"why": "an earlier cause"})
        assert asker.get("/api/v1/cluster")["cluster"]["why"] == asker.monitor.stuck()
        # Its evidence counts seconds.
        wanted = asker.get("/api/v1/why")["text"].splitlines()[0]
        code, out, err = run_python(path, "why", asker.running.link)
        assert (code, out.splitlines()[0], err) == (0, wanted, "")
        code, out, err = run_python(path, "why", "-", input=asker.running.viewer_link + "\n")
        assert (code, out.splitlines()[0]) == (0, wanted)
        code, out, err = run_python(path, "why", f"http://127.0.0.1:{asker.port}/#token=other")
        assert (code, out) == (1, "")
        assert "does not know this token" in err
        gone = asker.running.link
    wrong = {gone: "does not answer", "http://127.0.0.1:1/": "as the monitor printed it", "x": "printed"}
    for link, says in wrong.items():
        code, out, err = run_python(path, "why", link)
        assert (code, out) == (1, "")
        assert says in err
