"""Hostile requests to the monitor, over real sockets: what they get, and that others notice nothing."""

from __future__ import annotations

import gzip
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dispycos.httpd import audience, door, handlers, live
from tests.helpers import wait_until
from tests.monitors import Asker, Viewer, connect, play, read_all, synthetic


@pytest.fixture
def asker() -> Iterator[Asker]:
    with synthetic(rate=5) as asker:
        yield asker
        # In every case: it lives, and serves the next one.
        assert asker.ask("GET", "/health").body == b"ok"
        assert asker.get("/api/v1/cluster")["cluster"]["name"] == "rehearsal.py"


def status(answer: bytes) -> int:
    """The status of a raw answer; 0: it was closed without one."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else 0


def request(
    asker: Asker, *lines: str, target: str = "/health", method: str = "GET", body: bytes = b""
) -> int:
    """The status that a request of these header lines gets."""
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "Connection: close", "", ""])
    return status(asker.raw(head.encode("latin-1") + body))


ROUTES = [
    ("GET", path.replace(handlers._ID, "n1"), handler)
    for path, handler in handlers.ROUTES
    if not (handler.public or path in ("/api/v1/logout",))
]
POSTS = ["/api/v1/logout", "/api/v1/actions", "/api/v1/settings"]


@pytest.mark.row("SE-38", "SE-101", "HT-10")
def test_every_route_needs_a_credential_whatever_the_method(asker: Asker) -> None:
    paths = [path for _, path, _ in ROUTES] + POSTS
    assert len(paths) == len(handlers.ROUTES) + len(handlers.ACTION_ROUTES) - 2
    for path in paths:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            for token in (None, "", "x" * 43, asker.token[:-1], "Basic abc", "é"):
                body = b"{}" if method == "POST" else None
                headers = {"Content-Type": "application/json"}
                if token is not None:
                    headers["Authorization"] = f"Bearer {token}"
                connection_headers = {k: v.encode("utf-8").decode("latin-1") for k, v in headers.items()}
                reply = asker.ask(method, path, body, headers=connection_headers)
                assert reply.status in (401, 429), (method, path, token, reply)
                assert b"token" not in reply.body or b"send its token" in reply.body
    for path in ("/", "/index.html", "/health"):
        assert asker.ask("GET", path).status == 200
        assert asker.ask("POST", path, {}).status == 405


@pytest.mark.row("SE-36", "SE-40", "SE-101")
def test_a_session_works_until_it_is_ended(asker: Asker) -> None:
    reply = asker.ask("POST", "/api/v1/login", {"token": asker.viewer})
    session = reply.json["session"]
    assert reply.json["role"] == "viewer"
    assert asker.ask("GET", "/api/v1/cluster", token=session).status == 200

    async def body() -> tuple[int | None, str | None]:
        viewer = await Viewer.open(asker, "cluster", token=session)
        await viewer.until(lambda v: v.seq >= 0)
        assert viewer.hello["role"] == "viewer"
        assert asker.ask("POST", "/api/v1/logout", {}, session).status == 200
        return await viewer.closed()

    assert play(body) == (audience.LOGGED_OUT, "logged out")
    assert asker.ask("GET", "/api/v1/cluster", token=session).status == 401


@pytest.mark.row("SE-39", "SE-101", "SE-104")
def test_a_viewer_can_not_act(asker: Asker) -> None:
    assert asker.act("close_node", "n1", token=asker.viewer).status == 403
    assert asker.get("/api/v1/nodes/n1")["node"]["state"] == "initialized"


@pytest.mark.row("SE-37", "SE-41")
def test_every_answer_has_the_same_headers_and_no_cookie(asker: Asker) -> None:
    replies = [
        asker.ask("GET", "/"),
        asker.ask("GET", "/health"),
        asker.ask("GET", "/api/v1/cluster"),
        asker.ask("GET", "/api/v1/cluster", token=asker.token),
        asker.ask("GET", "/nope"),
        asker.ask("POST", "/api/v1/login", b"x=1", headers={"Content-Type": "text/plain"}),
        asker.ask("GET", "/health", headers={"Host": "evil.test"}),
        asker.ask("DELETE", "/"),
        asker.ask("GET", "/api/v1/cluster", headers={"Cookie": f"session={asker.token}"}),
    ]
    assert [reply.status for reply in replies] == [200, 200, 401, 200, 404, 415, 403, 405, 401]
    for reply in replies:
        assert reply.headers["content-security-policy"] == handlers.CSP
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cross-origin-opener-policy"] == "same-origin"
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
        assert reply.headers["cache-control"] in ("no-store", "no-cache")
        assert "set-cookie" not in reply.headers
        assert "access-control-allow-origin" not in reply.headers
        assert "server" not in reply.headers


@pytest.mark.row("SE-40")
def test_who_guesses_tokens_has_to_wait_and_no_log_has_one(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    guesses = [f"guess-{number}" for number in range(12)]
    replies = [asker.ask("POST", "/api/v1/login", {"token": guess}) for guess in guesses]
    assert [reply.status for reply in replies] == [401] * 10 + [429] * 2
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 60
    assert asker.ask("POST", "/api/v1/login", {"token": asker.token}).status == 200
    for secret in (*guesses, asker.token, asker.viewer):
        assert secret not in caplog.text
        assert secret not in asker.ask("GET", "/metrics", token=asker.token).body.decode()
    assert (
        'dispycos_refused_total{reason="http_credential"} 12'
        in asker.ask("GET", "/metrics", token=asker.token).body.decode()
    )


@pytest.mark.row("SE-35", "SE-100")
def test_other_hosts_are_refused_before_any_route(asker: Asker) -> None:
    port = asker.port
    assert request(asker, f"Host: 127.0.0.1:{port}") == 200
    for lines in (
        ["Host: evil.test:8181"],
        ["Host: 127.0.0.1.evil.test"],
        [f"Host: user@127.0.0.1:{port}"],
        ["Host: "],
        [f"Host: 127.0.0.1:{port}", f"Host: 127.0.0.1:{port}"],
        [f"Host: 127.0.0.1:{port}", "Host: evil.test"],
        [],
    ):
        assert request(asker, *lines) in (400, 403), lines
    assert request(asker, f"Host: 127.0.0.1:{port}", target=f"http://127.0.0.1:{port}/health") in (400, 404)
    assert request(asker, f"Host: 127.0.0.1:{port}", target="//evil.test/health") == 404


@pytest.mark.row("SE-35", "SE-102", "SE-103")
def test_foreign_pages_can_neither_read_nor_post(asker: Asker) -> None:
    body = {"action": "close_node", "targets": ["n1"], "seen": 10**9}
    for origin in (
        "http://127.0.0.1:9999",
        "null",
        f"https://127.0.0.1:{asker.port}",
        f"http://127.0.0.1:{asker.port}1",
        "http://evil.test",
    ):
        assert asker.ask("POST", "/api/v1/actions", body, asker.token, {"Origin": origin}).status == 403
        assert (
            asker.ask("GET", "/api/v1/cluster", token=asker.token, headers={"Origin": origin}).status == 403
        )
    for site in ("cross-site", "same-site"):
        assert asker.ask("GET", "/", headers={"Sec-Fetch-Site": site}).status == 403
    assert asker.ask("POST", "/api/v1/actions", body, asker.token).status == 403  # no Origin at all
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        headers = {"Origin": asker.origin, "Content-Type": kind}
        data = json.dumps(body).encode()
        assert asker.ask("POST", "/api/v1/actions", data, asker.token, headers).status == 415
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD"):
        override = {"Origin": asker.origin, "X-HTTP-Method-Override": "POST"}
        reply = asker.ask(method, "/api/v1/actions", token=asker.token, headers=override)
        assert reply.status == 405, method
    assert asker.ask("GET", "/api/v1/actions", token=asker.token, headers=override).status == 405
    assert asker.get("/api/v1/nodes/n1")["node"]["state"] == "initialized"


@pytest.mark.row("SE-43", "SE-44", "SE-105")
@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/%2e%2e%2f%2e%2e%2fetc/passwd", "/index.html%00", "//index.html",
        "/\\index.html", "/..", "/.", "/data/", "/__init__.py", "/server.py", "/index.html/", "/INDEX.HTML",
        "/" + "a" * 8000,
        "/api/v1/nodes/../../../etc/passwd", "/api/v1/nodes/n1%2f..", "/api/v1/nodes/%00",
    ],
)  # fmt: skip
def test_no_path_leaves_the_table_of_files(asker: Asker, path: str) -> None:
    assert request(asker, f"Host: 127.0.0.1:{asker.port}", target=path) in (400, 401, 404)


@pytest.mark.row("SE-42", "SE-106")
def test_oversized_and_malformed_requests_end_their_connection(asker: Asker) -> None:
    host = f"Host: 127.0.0.1:{asker.port}"
    bearer = f"Authorization: Bearer {asker.token}"
    assert request(asker, host, "X: " + "a" * 1_000_000) in (0, 400, 431)
    assert request(asker, host, *(f"X-{number}: y" for number in range(10_000))) in (0, 400, 431)
    json_type = "Content-Type: application/json"
    login: dict[str, Any] = {"target": "/api/v1/login", "method": "POST"}
    length = f"Content-Length: {10**9}"
    assert request(asker, host, bearer, json_type, length, **login) in (
        0,
        400,
        413,
    )
    doubled = ["Content-Length: 2", "Content-Length: 3"]
    assert request(asker, host, json_type, *doubled, **login, body=b"{}") in (
        0,
        400,
    )
    both = ["Content-Length: 2", "Transfer-Encoding: chunked"]
    assert request(asker, host, json_type, *both, **login, body=b"0\r\n\r\n") in (0, 400)
    bomb = gzip.compress(b"[" * 50_000_000)
    lines = [host, json_type, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}"]
    assert request(asker, *lines, **login, body=bomb) in (0, 400)
    parts = b"".join(b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n" for _ in range(1000))
    lines = [host, "Content-Type: multipart/form-data; boundary=x", f"Content-Length: {len(parts)}"]
    assert request(asker, *lines, **login, body=parts) == 415
    for garbage in (b"\0" * 1000, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-x\r\n\r\n"):
        assert status(asker.raw(garbage + b"\r\n\r\n", 3)) in (0, 400)


@pytest.mark.row("SE-42", "SE-106")
def test_slow_headers_and_slow_bodies_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HEADERS_WITHIN", 0.6)
    monkeypatch.setattr(door, "BODY_WITHIN", 0.6)
    with synthetic(rate=1) as asker:
        head = f"POST /api/v1/login HTTP/1.1\r\nHost: 127.0.0.1:{asker.port}\r\n"
        started = time.monotonic()
        for begun in (
            b"",
            b"GET /he",
            head.encode(),
            (head + "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{").encode(),
        ):
            with socket.create_connection(("127.0.0.1", asker.port), 10) as sock:
                sock.sendall(begun)
                dripping = threading.Event()

                def drip(sock: socket.socket = sock, done: threading.Event = dripping) -> None:
                    while not done.wait(0.05):
                        try:
                            sock.sendall(b"x")
                        except OSError:
                            return

                dripper = threading.Thread(target=drip)
                dripper.start()
                assert status(read_all(sock)) in (0, 400, 408)
                dripping.set()
                dripper.join()
        assert time.monotonic() - started < 20.0


@pytest.mark.row("SE-107")
def test_hostile_json_is_a_plain_refusal(asker: Asker) -> None:
    origin = {"Origin": asker.origin, "Content-Type": "application/json"}
    for body in (
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"action": "close_node", "action": "suspend_node", "targets": ["n1"], "seen": 1}',
        b'{"action": "close_node", "targets": ["n1"], "seen": ' + b"1" * 400 + b"}",
        b'{"action": "close_node", "targets": ["n1"], "seen": 1e400}',
        b'{"action": "close_node", "targets": ["n1"], "seen": NaN}',
        b"",
        b"null",
        b"\xff\xfe",
        json.dumps({"action": "close_node", "targets": [f"n{n}" for n in range(5000)], "seen": 1}).encode(),
        json.dumps({"action": "__class__", "targets": ["n1"], "seen": 1}).encode(),
    ):
        reply = asker.ask("POST", "/api/v1/actions", body, asker.token, origin)
        assert reply.status == 400, body[:40]
        assert len(reply.body) < 400
    for body in (b"[]", b'{"token": 1}', b'{"token": "x", "y": 1}', b"{}"):
        assert asker.ask("POST", "/api/v1/login", body, headers=origin).status == 400
    missing = asker.act("close_node", "n77", "n78")
    assert [result["result"] for result in missing.json["results"]] == ["gone", "gone"]


@pytest.mark.row("SE-42", "SE-104", "SE-37")
def test_hostile_websockets_are_closed_with_a_code(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOGIN_WITHIN", 0.4)

    async def ends(*messages: str | bytes, login: bool = False) -> int | None:
        viewer = Viewer(await connect(asker))
        if login:
            await viewer.say(type="login", login=asker.token, topics=["cluster"])
            await viewer.until(lambda v: v.seq >= 0)
        for message in messages:
            await viewer.connection.write_message(message, binary=isinstance(message, bytes))
        code, _ = await viewer.closed()
        return code

    async def body() -> None:
        assert await ends() == audience.NOT_LOGGED_IN
        assert await ends('{"type": "login", "login": "x", "topics": []}') == audience.NOT_LOGGED_IN
        for first in (
            '{"type": "snapshot"}',
            "[]",
            "{",
            b"\0\1\2",
            '{"login": 1, "topics": []}',
            '{"login": "x"}',
        ):
            assert await ends(first) == audience.BAD_MESSAGE, first
        for later in (
            '{"type": "terminate_tasks", "targets": ["t1"]}',
            '{"type": "interval", "seconds": -1}',
            '{"type": "interval", "seconds": "x"}',
            '{"type": "topics", "topics": "cluster"}',
            json.dumps({"type": "topics", "topics": [f"node/n{n}" for n in range(9)]}),
            '{"type": "snapshot"}',
            '{"type": "topics", "topics": ["' + "x" * 50 + '"]}',
            b"\0binary",
        ):
            assert await ends(later, login=True) == audience.BAD_MESSAGE, later
        assert await ends("x" * 17_000, login=True) == 1009
        flood = ['{"type": "interval", "seconds": 0}'] * 100
        assert await ends(*flood, login=True) == audience.TOO_MANY

    play(body)


@pytest.mark.row("SE-35", "SE-104")
def test_a_foreign_page_gets_no_websocket(asker: Asker) -> None:
    async def body() -> None:
        for headers in ({"Origin": "http://evil.test"}, {"Origin": "null"}, {"Host": "evil.test"}):
            with pytest.raises(Exception, match="403"):
                await connect(asker, headers)

    play(body)


@pytest.mark.row("SE-42", "SE-108")
def test_a_crowd_of_idle_connections_keeps_nobody_out(asker: Asker) -> None:
    async def body() -> None:
        viewer = await Viewer.open(asker, "cluster")
        await viewer.until(lambda v: v.seq >= 0)
        idle = []
        for _ in range(1000):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", asker.port))
            idle.append(sock)
        try:
            for _ in range(5):
                assert asker.ask("GET", "/health").status == 200
            seq = viewer.seq
            await viewer.until(lambda v: v.seq > seq)
        finally:
            for sock in idle:
                sock.close()
        await viewer.close()

    play(body)
    # All who said nothing are gone, but for those that may stay for a few seconds.
    wait_until(lambda: asker.ask("GET", "/health").status == 200)


@pytest.mark.row("SE-109", "SE-110", "SE-46")
def test_markup_and_escapes_stay_text_in_every_answer(asker: Asker) -> None:
    def hostile() -> list[Any]:
        tasks = asker.get("/api/v1/tasks?limit=10000")["tasks"]
        return [task for task in tasks if task["name"] == "<img src=x onerror=alert(1)>"]

    found = wait_until(hostile)
    reply = asker.ask("GET", f"/api/v1/tasks/{found[0]['id']}", token=asker.token)
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["task"]["name"] == "<img src=x onerror=alert(1)>"
    reply.body.decode("ascii")  # nothing in it depends on a guess of its encoding


@pytest.mark.row("SE-45")
def test_action_lines_of_hostile_names_are_one_line(asker: Asker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dispycos.monitor")
    asker.act("close_node", "n9\nfake line")
    lines = [record.getMessage() for record in caplog.records if "close_node" in record.getMessage()]
    assert lines
    assert all("\n" not in line for line in lines)
