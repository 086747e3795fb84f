"""The monitor over real HTTP and WebSockets, with a cluster that is made up."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import ssl
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos.httpd import asking, audience, listening, live, packing, running, topics, web_certificate
from dispycos.httpd.events import Changed
from dispycos.httpd.rows import KINDS, NAMES
from dispycos.httpd.view import View
from dispycos.httpd.web_certificate import WebCertificate
from tests.browser.feed import SyntheticSource
from tests.certificates import Authority
from tests.helpers import wait_until
from tests.monitors import Asker, Viewer, play, synthetic


@pytest.fixture
def asker() -> Iterator[Asker]:
    with synthetic() as asker:
        yield asker


def running_task(asker: Asker) -> str:
    """The id of a task that runs."""

    def found() -> Any:
        tasks = asker.get("/api/v1/tasks?state=running")["tasks"]
        return tasks and tasks[-1]["id"]

    return str(wait_until(found, 10))


# The first view, differences, several browsers.


@pytest.mark.row("MO-26", "MO-27", "MO-16", "HT-09", "HT-11")
def test_a_browser_sees_the_cluster_and_what_changes(asker: Asker) -> None:
    async def body() -> None:
        viewer = await Viewer.open(asker, "cluster", "tasks")
        await viewer.until(lambda v: v.rows.get("cluster", {}).get("cluster", {}).get("done", 0) >= 3)
        rows = viewer.rows["cluster"]
        assert viewer.hello["role"] == "operator"
        assert viewer.kinds[0] == ("hello", "")
        assert {"n1", "n2", "s1", "s2", "s3", "s4"} <= set(rows)
        assert rows["n1"]["address"] == "10.0.0.1"
        done = rows["cluster"]["done"]
        await viewer.until(lambda v: v.rows["cluster"]["cluster"]["done"] > done)
        await viewer.close()

    play(body)


@pytest.mark.row("MO-27", "MO-18", "MO-19", "HT-12", "HT-13")
def test_a_node_and_a_server_have_their_own_topics(asker: Asker) -> None:
    async def body() -> None:
        viewer = await Viewer.open(asker, "node/n1", "server/s1")
        await viewer.until(
            lambda v: (
                any(row.get("where") for row in v.rows.get("server/s1", {}).values()) and v.logs["server/s1"]
            )
        )
        assert viewer.rows["node/n1"]["s1"]["location"].startswith("10.0.0.1:")
        assert "n2" not in viewer.rows["node/n1"]
        task = next(row for row in viewer.rows["server/s1"].values() if row.get("where"))
        assert task["where"][-1] == ["lib/data.py", 88, "Table.rows"]
        assert task["args"]
        await viewer.say(type="topics", topics=["events", "node/n2"])
        await viewer.until(lambda v: "node/n2" in v.rows)
        await viewer.close()

    play(body)


def test_a_topic_that_is_unknown_is_said_to_be_gone(asker: Asker) -> None:
    async def body() -> None:
        viewer = await Viewer.open(asker, "cluster", "server/s99")
        await viewer.until(lambda v: ("gone", "server/s99") in v.kinds)
        assert ("snapshot", "cluster") in viewer.kinds
        await viewer.close()

    play(body)


@pytest.mark.row("MO-28")
def test_fifty_browsers_cost_no_more_encodings_than_one() -> None:
    def encodings(count: int) -> float:
        with synthetic(rate=50) as asker:

            async def body() -> float:
                viewers = [await Viewer.open(asker, "cluster") for _ in range(count)]
                for viewer in viewers:
                    await viewer.until(lambda v: v.seq >= 0)
                # Each that joined made a tick: from the next ones on all stand at one number.
                joined = asker.monitor.view.seq
                await viewers[0].until(lambda v: v.seq >= joined + 3)
                figures, first = asker.monitor.audience.figures, asker.monitor.view.seq
                before = figures.encodings
                await viewers[0].until(lambda v: v.seq >= first + 6)
                for viewer in viewers:
                    await viewer.close()
                return (figures.encodings - before) / (asker.monitor.view.seq - first)

            return play(body)

    one, fifty = encodings(1), encodings(50)
    assert fifty <= one * 1.35 + 0.2, f"{one:.2f} encodings a tick with 1 browser, {fifty:.2f} with 50"


@pytest.mark.row("MO-26", "HT-09")
def test_who_comes_back_gets_only_what_it_missed(asker: Asker) -> None:
    async def body() -> None:
        first = await Viewer.open(asker, "cluster")
        await first.until(lambda v: v.seq > 0)
        await first.close()
        wait_until(lambda: asker.monitor.view.seq > first.seq + 1)
        again = await Viewer.open(asker, "cluster", epoch=first.hello["epoch"], since=first.seq)
        again.rows, again.numbers = first.rows, {"cluster": first.seq}
        await again.until(lambda v: v.seq > first.seq)
        assert ("snapshot", "cluster") not in again.kinds
        await again.close()

        stranger = await Viewer.open(asker, "cluster", epoch="another", since=first.seq)
        await stranger.until(lambda v: ("snapshot", "cluster") in v.kinds)
        await stranger.close()

    play(body)


@pytest.mark.row("MO-30", "HT-03")
def test_a_browser_with_a_longer_interval_gets_one_difference_for_many_ticks(asker: Asker) -> None:
    async def body() -> None:
        slow = await Viewer.open(asker, "cluster", interval=2)
        fast = await Viewer.open(asker, "cluster")
        await slow.until(lambda v: v.seq > 0)
        began = slow.seq
        await slow.until(lambda v: v.seq > began)
        await fast.until(lambda v: v.seq >= slow.seq)
        updates = [kind for kind, _ in slow.kinds].count("tick")
        assert updates < [kind for kind, _ in fast.kinds].count("tick")
        assert slow.seq - began >= 2
        same = {key: slow.rows["cluster"][key]["address"] for key in ("n1", "n2")}
        assert same == {key: fast.rows["cluster"][key]["address"] for key in ("n1", "n2")}
        await slow.close()
        await fast.close()

    play(body)


@pytest.mark.row("MO-31")
def test_who_missed_something_asks_for_all_of_it(asker: Asker) -> None:
    async def body() -> None:
        viewer = await Viewer.open(asker, "cluster")
        await viewer.until(lambda v: v.seq > 0)
        for _ in range(2):
            viewer.kinds.clear()
            await viewer.say(type="snapshot", topic="cluster")
            await viewer.until(lambda v: ("snapshot", "cluster") in v.kinds)
        assert asker.monitor.audience.figures.gaps == 1
        await viewer.close()

    play(body)


@pytest.mark.row("MO-32")
def test_who_can_not_open_a_websocket_polls_the_same_messages(asker: Asker) -> None:
    def poll(since: int, epoch: str = "") -> list[dict[str, Any]]:
        reply = asker.ask(
            "GET", f"/api/v1/updates?epoch={epoch}&since={since}&topics=cluster,events", token=asker.token
        )
        assert reply.status == 200, reply
        body, found = reply.body, []
        while body:
            size = int.from_bytes(body[:4], "big")
            found.append(packing.unpack(body[4 : 4 + size]))
            body = body[4 + size :]
        return found

    first = poll(-1)
    assert [message["type"] for message in first] == ["hello", "snapshot", "snapshot", "tick"]
    again = poll(first[-1]["seq"], first[0]["epoch"])
    assert {message["type"] for message in again} == {"delta", "tick"}
    assert all(message["from"] == first[-1]["seq"] for message in again if message["type"] == "delta")
    assert poll(first[-1]["seq"], "another")[0]["type"] == "hello"
    for query in (
        "",
        "?since=x&topics=cluster",
        "?since=1",
        "?since=-1&topics=" + ",".join(f"node/n{n}" for n in range(9)),
    ):
        assert asker.ask("GET", f"/api/v1/updates{query}", token=asker.token).status == 400


@pytest.mark.row("MO-30", "SE-104")
def test_a_browser_that_reads_nothing_is_skipped_and_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "MAX_UNSENT", 4000)
    monkeypatch.setattr(audience, "STALLED", 3.0)
    monkeypatch.setattr(live, "SOCKET_BUFFER", 8192)
    with synthetic(nodes=60, servers=8, rate=200) as asker:

        async def body() -> None:
            stalled = socket.create_connection(("127.0.0.1", asker.port))
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            key = "dGhlIHNhbXBsZSBub25jZQ=="
            stalled.sendall(
                f"GET /api/v1/live HTTP/1.1\r\nHost: 127.0.0.1:{asker.port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            login = json.dumps(
                {"type": "login", "login": asker.token, "topics": ["cluster", "tasks", "timeline", "events"]}
            ).encode()
            mask = b"\1\2\3\4"
            masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(login))
            stalled.sendall(bytes([0x81, 0xFE]) + len(login).to_bytes(2, "big") + mask + masked)
            quick = await Viewer.open(asker, "cluster")
            await quick.until(lambda v: asker.monitor.audience.figures.skipped > 0)
            assert len(asker.monitor.audience.browsers) == 2
            await quick.until(lambda v: asker.monitor.audience.figures.stalled == 1)
            assert len(asker.monitor.audience.browsers) == 1
            seq = quick.seq
            await quick.until(lambda v: v.seq >= seq + 2)
            await quick.close()
            stalled.close()

        play(body)


# JSON.


@pytest.mark.row("HT-16", "MO-33")
def test_the_same_facts_are_json_and_rows_have_the_fields_of_the_page(asker: Asker) -> None:
    task = running_task(asker)
    cluster = asker.get("/api/v1/cluster")
    nodes, node = asker.get("/api/v1/nodes"), asker.get("/api/v1/nodes/n1")
    server, tasks = asker.get("/api/v1/servers/s1"), asker.get("/api/v1/tasks?limit=5")
    one, events = asker.get(f"/api/v1/tasks/{task}"), asker.get("/api/v1/events")

    def fields(row: dict[str, Any]) -> tuple[str, ...]:
        assert row.pop("id")
        assert isinstance(row.pop("seq"), int)
        return tuple(row)

    assert fields(cluster["cluster"]) == NAMES["cluster"]
    assert fields(cluster["clients"][0]) == NAMES["client"]
    assert fields(nodes["nodes"][0]) == fields(node["node"]) == NAMES["node"]
    assert fields(server["server"]) == fields(node["servers"][0]) == NAMES["server"]
    assert fields(tasks["tasks"][0]) == fields(one["task"]) == NAMES["task"]
    assert all(fields(event) == NAMES["event"] for event in events["events"])
    assert asker.get("/api/v1/versions")["program"]["name"] == "rehearsal.py"
    assert set(KINDS) == {"cluster", "client", "node", "server", "task", "event"}


@pytest.mark.row("MO-33", "HT-12")
def test_what_is_unknown_is_404_and_what_is_unchanged_304(asker: Asker) -> None:
    for path in ("nodes/n99", "nodes/s1", "servers/n1", "tasks/t0", "tasks/x", "nope", "nodes/n1/x"):
        assert asker.ask("GET", f"/api/v1/{path}", token=asker.token).status == 404
    for query in ("nodes?limit=x", "nodes?what=1", "tasks?state=happy", "events?since=-1", "nodes?after=?",
                  "nodes?limit=20000", "tasks?name=" + "x" * 300, "nodes?limit=1&limit=2"):  # fmt: skip
        assert asker.ask("GET", f"/api/v1/{query}", token=asker.token).status == 400, query

    def unchanged() -> bool:
        tag = asker.ask("GET", "/api/v1/cluster", token=asker.token).headers["etag"]
        reply = asker.ask("GET", "/api/v1/cluster", token=asker.token, headers={"If-None-Match": tag})
        return (reply.status, reply.body) == (304, b"")

    assert wait_until(unchanged)


@pytest.mark.row("MO-33")
def test_many_rows_come_page_by_page() -> None:
    with synthetic(nodes=25, servers=1, rate=0.1) as asker:
        found, after = [], ""
        while True:
            page = asker.get(f"/api/v1/nodes?limit=10{after}")
            found += [row["id"] for row in page["nodes"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert found == [f"n{number}" for number in range(1, 26)]


@pytest.mark.row("MO-24")
def test_why_is_the_same_for_people_and_programs(asker: Asker) -> None:
    answer = asker.get("/api/v1/why")
    assert set(answer) == {"seq", "text", "causes"}
    assert answer["text"]


@pytest.mark.row("MO-35", "SE-46")
def test_metrics_need_a_token_unless_they_are_public(asker: Asker) -> None:
    assert asker.ask("GET", "/metrics").status == 401
    reply = asker.ask("GET", "/metrics", token=asker.viewer)
    assert (reply.status, reply.headers["content-type"][:10]) == (200, "text/plain")
    assert b'dispycos_nodes{state="initialized"} 2' in reply.body
    with synthetic(metrics_public=True) as public:
        assert public.ask("GET", "/metrics").status == 200
        assert public.ask("GET", "/api/v1/cluster").status == 401


@pytest.mark.row("MO-20", "R-32")
def test_a_failed_tasks_whole_story_can_be_asked_for(asker: Asker) -> None:
    running_task(asker)
    failed = wait_until(lambda: asker.get("/api/v1/tasks?state=failed")["tasks"])
    story = asker.get(f"/api/v1/tasks/{failed[0]['id']}")
    assert failed[0]["reason"].startswith("ValueError: no such")
    assert story["reason"].startswith("Traceback (most recent call last):")
    assert not story["lives"]


# Actions.


@pytest.mark.row("MO-34", "HT-14", "SE-45")
def test_an_operator_acts_and_each_action_leaves_a_line(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dispycos.monitor")
    reply = asker.act("suspend_node", "n1", "n99", "s1")
    assert reply.status == 200
    assert [result["result"] for result in reply.json["results"]] == ["done", "gone", "refused"]
    wait_until(lambda: asker.get("/api/v1/nodes/n1")["node"]["state"] == "suspended")
    assert asker.act("resume_node", "n1").json["results"][0]["result"] == "done"
    task = running_task(asker)
    assert asker.act("terminate_tasks", task).json["results"][0]["result"] in ("done", "gone")
    wait_until(lambda: not asker.get(f"/api/v1/tasks/{task}")["lives"])
    lines = [record.getMessage() for record in caplog.records]
    assert any("suspend_node by operator at 127.0.0.1: done" in line for line in lines)
    assert any("refused, suspend_node is for a node" in line for line in lines)
    texts = [event["text"] for event in asker.get("/api/v1/events?limit=10000")["events"]]
    assert any("suspend_node by operator" in text for text in texts)


@pytest.mark.row("MO-57")
def test_a_node_that_changed_since_it_was_looked_at_is_not_touched(asker: Asker) -> None:
    seen = asker.get("/api/v1/nodes/n1")["seq"]
    asker.act("suspend_node", "n1")
    wait_until(lambda: asker.get("/api/v1/nodes/n1")["node"]["state"] == "suspended")
    result = asker.act("close_node", "n1", seen=seen).json["results"][0]
    assert (result["result"], "suspended since you looked" in result["text"]) == ("refused", True)
    assert asker.get("/api/v1/nodes/n1")["node"]["state"] == "suspended"


@pytest.mark.row("MO-17", "SE-39")
def test_an_operator_sets_whether_arguments_are_recorded(asker: Asker) -> None:
    origin = {"Origin": asker.origin}
    body = {"show_args": False}
    assert asker.ask("POST", "/api/v1/settings", body, asker.viewer, origin).status == 403
    assert asker.ask("POST", "/api/v1/settings", body, asker.token, origin).json == body
    wait_until(lambda: not asker.get("/api/v1/cluster")["cluster"]["show_args"])
    for wrong in ({}, {"show_args": 1}, [], {"show_args": True, "x": 1}):
        assert asker.ask("POST", "/api/v1/settings", wrong, asker.token, origin).status == 400


@pytest.mark.row("SE-39")
def test_a_read_only_monitor_has_no_actions() -> None:
    with synthetic(read_only=True) as asker:
        assert asker.act("suspend_node", "n1").status == 404

        async def body() -> None:
            viewer = await Viewer.open(asker, "cluster")
            await viewer.until(lambda v: v.seq >= 0)
            assert (viewer.hello["role"], viewer.hello["actions"]) == ("viewer", False)
            await viewer.close()

        play(body)


# The end.


@pytest.mark.row("MO-60", "HT-07")
def test_every_browser_gets_the_last_state_and_bye(asker: Asker) -> None:
    async def body() -> None:
        viewers = [await Viewer.open(asker, "cluster") for _ in range(3)]
        for viewer in viewers:
            await viewer.until(lambda v: v.seq > 0)
        stop = asyncio.to_thread(asker.running.thread.stop, "failed", "ValueError: no", 5.0)
        ends = await asyncio.gather(stop, *(viewer.closed() for viewer in viewers))
        for viewer, end in zip(viewers, ends[1:], strict=True):
            assert end == (audience.ENDED, "the program ended")
            assert viewer.bye["reason"] == "failed"
            assert viewer.bye["text"] == "ValueError: no"
            assert viewer.rows["cluster"]["cluster"]["state"] == "closed"
            assert viewer.bye["totals"]["done"] == viewer.rows["cluster"]["cluster"]["done"]

    play(body)
    asker.running.thread.stop("finished", "", 5.0)
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", asker.port), 1):
        pass


@pytest.mark.row("MO-05", "HT-07")
def test_a_monitor_that_hangs_does_not_keep_the_program(asker: Asker) -> None:
    loop = asker.running.thread._loop
    assert loop is not None
    let_go = threading.Event()
    loop.call_soon_threadsafe(let_go.wait, 6)
    asker.running.thread.stop("finished", "", 0.3)
    let_go.set()
    wait_until(lambda: not asker.running.thread._thread.is_alive())


# Where it listens.


@pytest.mark.row("MO-02", "HT-01", "SE-34")
def test_a_port_that_is_taken_is_named_with_who_has_it_and_the_next_free_one(asker: Asker) -> None:
    with pytest.raises(
        OSError, match=rf"port {asker.port} at 127\.0\.0\.1 is in use by .*pid \d+.*; port \d+ is free"
    ):
        running.run(SyntheticSource(1, 1, 1), host=None, port=asker.port)


@pytest.mark.row("HT-02", "SE-34")
def test_the_default_is_loopback_and_every_interface_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    for host, addresses in (
        (None, {"127.0.0.1"}),
        ("localhost", {"127.0.0.1", "::1"}),
        ("127.0.0.1", {"127.0.0.1"}),
    ):
        binding = listening.bind(host, 0, "http")
        bound = {sock.getsockname()[0] for sock in binding.sockets}
        assert bound <= addresses
        assert "127.0.0.1" in bound
        assert not binding.warning
        binding.close()
    everywhere = listening.bind("", 0, "http")
    assert "0.0.0.0" in {sock.getsockname()[0] for sock in everywhere.sockets}
    assert "without TLS" in everywhere.warning
    assert socket.gethostname() in everywhere.names
    everywhere.close()
    anywhere = listening.bind("0.0.0.0", 0, "http")
    assert [sock.getsockname()[0] for sock in anywhere.sockets] == ["0.0.0.0"]
    anywhere.close()
    encrypted = listening.bind("", 0, "https")
    assert not encrypted.warning
    encrypted.close()
    with pytest.raises(ValueError, match="has no address"):
        listening.bind("no.such.host.invalid", 0, "http")
    with pytest.raises(TypeError):
        listening.bind(7, 0, "http")  # type: ignore[arg-type]


@pytest.mark.skipif(not listening._has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.row("HT-02")
@pytest.mark.parametrize(
    ("host", "own", "shown"),
    [
        ("0.0.0.0", ["fe80::7", "fd00::7", "192.0.2.7"], "192.0.2.7"),
        ("0.0.0.0", ["fe80::7", "fd00::7"], "127.0.0.1"),
        ("", ["fe80::7", "fd00::7", "169.254.0.7", "192.0.2.7"], "192.0.2.7"),
        ("", ["fe80::7", "fd00::7"], "fd00::7"),
        ("", ["fe80::7", "127.0.0.1"], "127.0.0.1"),
        ("::", ["192.0.2.7", "fe80::7", "fd00::7"], "fd00::7"),
        ("::", ["192.0.2.7", "fe80::7"], "::1"),
    ],
)
def test_the_link_names_an_address_at_which_somebody_listens_and_that_a_browser_takes(
    host: str, own: list[str], shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_own_addresses", lambda: own)
    binding = listening.bind(host, 0, "http")
    binding.close()
    assert binding.url == f"http://{f'[{shown}]' if ':' in shown else shown}:{binding.port}"
    version = {"0.0.0.0": 4, "::": 6}.get(host)
    assert {name for name in binding.names if name in own} == {
        name for name in own if version in (None, 6 if ":" in name else 4)
    }


@pytest.mark.skipif(not listening._has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.row("HT-02")
@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_the_link_of_every_interface_is_answered(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_this_machine = listening._own_addresses()
    for own in ([], ["fe80::7", *of_this_machine]):
        monkeypatch.setattr(listening, "_own_addresses", lambda own=own: own)
        binding = listening.bind(host, 0, "http")
        try:
            asked = urllib.parse.urlsplit(binding.url)
            socket.create_connection((asked.hostname, asked.port), 5).close()
        finally:
            binding.close()


@pytest.mark.row("HT-01", "HT-03", "HT-04", "HT-05")
@pytest.mark.parametrize(
    "options",
    [
        {"poll_sec": 0.1}, {"poll_sec": 4000}, {"poll_sec": float("nan")}, {"root": "/no/such/folder"},
        {"port": 70000}, {"port": -1}, {"certfile": "/no/such.pem"}, {"keyfile": "/no/such.pem"},
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_before_anything_listens(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        running.run(SyntheticSource(1, 1, 1), **{"host": None, "port": 0, **options})


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate and its key in one file."""
    path = tmp_path / "both.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key"),
         "-out", str(tmp_path / "cert")],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"openssl: {made.stderr.decode()[-200:]}")
    path.write_text((tmp_path / "cert").read_text() + (tmp_path / "key").read_text())
    return path


@pytest.mark.row("HT-05")
def test_a_certificate_makes_it_https_and_plain_http_fails_there(certificate: Path) -> None:
    with synthetic(certfile=certificate) as asker:
        assert asker.running.link.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(
            f"https://127.0.0.1:{asker.port}/health", context=trust, timeout=10
        ) as reply:
            assert reply.read() == b"ok"
        assert asker.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 2)[:4] in (
            b"",
            b"\x15\x03\x01\x00",
            b"\x15\x03\x03\x00",
        )
        context = WebCertificate(str(certificate), None).context
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.row("HT-05", "GN-03")
def test_a_renewed_certificate_is_shown_and_a_broken_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(web_certificate, "LOOK_EVERY", 0.02)
    caplog.set_level("INFO", "dispycos")
    issue = Authority(tmp_path).issue
    shown = issue("shown").both
    later = issue("later").both.read_bytes()

    def fingerprint(asker: Asker) -> bytes:
        pem = ssl.get_server_certificate(("127.0.0.1", asker.port), timeout=10)
        return ssl.PEM_cert_to_DER_cert(pem)

    with synthetic(certfile=shown) as asker:
        first = fingerprint(asker)
        shown.write_bytes(later[: len(later) // 2])  # its key, and no whole certificate
        wait_until(lambda: "the certificate is as it was" in caplog.text)
        assert fingerprint(asker) == first
        shown.write_bytes(later)
        wait_until(lambda: f"took up the certificate of {shown}" in caplog.text)
        assert fingerprint(asker) != first


@pytest.mark.row("HT-05")
def test_a_key_with_a_pass_phrase_is_refused_and_not_asked_for_at_the_terminal(
    certificate: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    command = ["openssl", "pkcs8", "-topk8", "-in", str(tmp_path / "key"), "-out", str(locked)]
    subprocess.run([*command, "-passout", "pass:word"], check=True)
    with pytest.raises(ValueError, match="needs a pass phrase"):
        WebCertificate.of(certificate, locked)


@pytest.mark.row("MO-24")
def test_a_certificate_that_is_not_trusted_is_said_to_be_so(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with synthetic(certfile=certificate) as asker:
        with pytest.raises(OSError, match=r"not trusted: .* SSL_CERT_FILE"):
            asking.get(asking.link(asker.running.link), "/api/v1/why")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert asking.get(asking.link(asker.running.link), "/api/v1/why")["text"]


def test_links_have_their_token_in_the_fragment(asker: Asker) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#token=[\w-]{43}", asker.running.link)
    assert asker.running.link != asker.running.viewer_link


@pytest.mark.row("MO-29")
def test_at_a_thousand_nodes_snapshot_and_difference_keep_to_their_sizes() -> None:
    view = View("size", 0.0)
    for number in range(1000):
        figures = {"cpu": 12.5, "memory": 10**9 + number, "swap": 4 << 30, "disk": 10**11 + number}
        facts = {"address": f"10.0.{number >> 8}.{number & 255}", "port": 9706, "name": f"node{number}"}
        counts = {"pulse": 1795000000.0, "why": "", "state": "initialized"}
        view.handle(Changed("node", f"n{number}", {**facts, **figures, **counts}), 1.0)
        for index in range(8):
            place = {"location": f"{facts['address']}:{9707 + index}", "state": "idle"}
            view.handle(Changed("server", (number, index), place, f"n{number}"), 1.0)
    view.end_tick(1.0)
    snapshot = packing.text(topics.snapshot(view, "cluster"))
    assert len(snapshot) < 600_000
    assert len(packing.deflate(snapshot.encode())) < 250_000

    before = view.seq
    for number in range(1000):
        view.handle(Changed("node", f"n{number}", {"cpu": number / 10, "pulse": 1795000050.0}), 2.0)
        for index in range(4):
            view.handle(Changed("server", (number, index), {"state": "busy", "running": 1}), 2.0)
    view.end_tick(2.0)
    made = topics.delta(view, "cluster", before)
    assert made is not None
    assert sum(len(group["rows"]) for group in made["changes"]) == 5001
    text = packing.text(made)
    assert len(text) < 120_000
    assert len(packing.deflate(text.encode())) < 50_000
