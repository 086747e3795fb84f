"""What keeps strangers out, without a socket: names, JSON, logins, the table of files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dispycos.httpd import actions, files, handlers, login, strictjson
from dispycos.httpd.actions import BadAction
from dispycos.httpd.login import Logins
from dispycos.httpd.origin import Names
from dispycos.httpd.strictjson import BadJson
from tests.unit.httpd.test_view import end, place, with_servers

NAMES = Names(("10.0.0.5", "Monitor.Example", "::1", "fe80::1"), "http")


@pytest.mark.row("SE-35", "SE-100")
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8181",
        "localhost:8181",
        "LOCALHOST:1",
        "[::1]:8181",
        "10.0.0.5:8181",
        "monitor.example:8181",
        "[fe80::1]",
    ],
)
def test_our_names_are_taken_with_any_port(host: str) -> None:
    assert NAMES.refusal([host], [], [], "/") is None


@pytest.mark.row("SE-35", "SE-100")
@pytest.mark.parametrize(
    "host",
    [
        [],
        [""],
        ["evil.test:8181"],
        ["127.0.0.1.evil.test"],
        ["127.0.0.1", "127.0.0.1"],
        ["a@127.0.0.1"],
        ["127.0.0.1:8181@evil.test"],
        ["127.0.0.1/x"],
        ["127.0.0.1:"],
        ["127.0.0.1:x"],
        ["localhost.:8181"],
        ["127.0.0.1:999999"],
        ["[::1"],
        ["127.1"],
        ["0x7f.1"],
        ["127.0.0.1, evil.test"],
        ["monitor.example.evil"],
    ],
)
def test_other_hosts_are_refused(host: list[str]) -> None:
    assert NAMES.refusal(host, [], [], "/") == 403


@pytest.mark.row("SE-35", "SE-102")
@pytest.mark.parametrize(
    "origin",
    [
        "http://127.0.0.1:9999",
        "null",
        "https://127.0.0.1:8181",
        "http://127.0.0.1:81811",
        "http://evil.test",
        "http://127.0.0.1",
        "http://localhost:8181",
        "http://127.0.0.1:8181/",
        "",
        "file://",
    ],
)
def test_foreign_origins_are_refused(origin: str) -> None:
    assert NAMES.refusal(["127.0.0.1:8181"], [origin], [], "/") == 403


@pytest.mark.row("SE-35")
def test_our_own_page_is_no_stranger() -> None:
    ours = "http://127.0.0.1:8181"
    assert NAMES.refusal(["127.0.0.1:8181"], [ours], ["same-origin"], "/") is None
    assert NAMES.refusal(["127.0.0.1:8181"], [], ["none"], "/") is None
    for site in ("cross-site", "same-site", ""):
        assert NAMES.refusal(["127.0.0.1:8181"], [], [site], "/") == 403
    assert NAMES.refusal(["127.0.0.1:8181"], [], [], "http://127.0.0.1:8181/") == 400
    assert NAMES.refusal(["127.0.0.1:8181"], [ours, ours], [], "/") == 403


@pytest.mark.row("SE-107")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '{"a": 1, "a": 2}',
        '{"a": {"b": 1, "b": 1}}',
        "NaN",
        "[Infinity]",
        "1e400",
        "-1e999",
        "1" * 400,
        "1." + "0" * 100,
        b"\xff\xfe",
        '"\x01"',
        "[1] x",
        "{'a': 1}",
    ],
)
def test_hostile_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadJson) as refused:
        strictjson.load(text)
    assert len(str(refused.value)) < 100


def test_what_a_page_sends_is_taken() -> None:
    assert strictjson.load('{"a": [1, 2.5, "x", true, null]}') == {"a": [1, 2.5, "x", True, None]}
    assert strictjson.load(b'{"b": "\xc3\xa4"}') == {"b": "ä"}


@pytest.mark.row("SE-36", "SE-39", "SE-40")
def test_a_token_makes_sessions_of_its_role() -> None:
    logins = Logins()
    operator, viewer = logins.login(logins.token, 0.0), logins.login(logins.viewer_token, 0.0)
    assert operator is not None
    assert viewer is not None
    assert (operator.role, viewer.role) == (login.OPERATOR, login.VIEWER)
    assert operator.key != viewer.key
    assert len(logins.token) >= 43  # 256 bits in base 64
    assert logins.role(operator.key, 1.0) == login.OPERATOR
    assert logins.role(logins.viewer_token, 1.0) == login.VIEWER
    for wrong in ("", "x", logins.token[:-1], logins.token + "x", "\udc80", "é" * 43):
        assert logins.login(wrong, 0.0) is None
        assert logins.role(wrong, 0.0) is None


@pytest.mark.row("SE-36")
def test_sessions_end_by_idleness_logout_and_number() -> None:
    logins = Logins()
    first = logins.login(logins.token, 0.0)
    assert first is not None
    assert logins.role(first.key, login.SESSION_IDLE) is not None
    assert logins.role(first.key, 2 * login.SESSION_IDLE + 1) is None

    second = logins.login(logins.token, 0.0)
    assert second is not None
    assert logins.logout(second.key)
    assert not logins.logout(second.key)
    assert logins.role(second.key, 0.0) is None

    kept = [logins.login(logins.token, float(number)) for number in range(login.MAX_SESSIONS + 1)]
    assert kept[0] is not None
    assert kept[1] is not None
    assert logins.role(kept[0].key, 300.0) is None
    assert logins.role(kept[1].key, 300.0) == login.OPERATOR


@pytest.mark.row("SE-39")
def test_read_only_makes_every_token_a_viewers() -> None:
    logins = Logins(operators=False)
    assert logins.role(logins.token, 0.0) == login.VIEWER


@pytest.mark.row("SE-40")
def test_who_fails_often_has_to_wait_and_only_he() -> None:
    logins = Logins()
    for _ in range(login.MAX_FAILURES):
        assert logins.failed("10.0.0.1", 0.0) == 0.0
    assert logins.failed("10.0.0.1", 1.0) == pytest.approx(59.0)
    assert logins.failed("10.0.0.2", 1.0) == 0.0
    assert logins.failed("10.0.0.1", 100.0) == 0.0
    for number in range(3000):
        logins.failed(f"source {number}", 200.0)
    assert len(logins._failures) == login.MAX_SOURCES


@pytest.mark.row("SE-43", "HT-04")
def test_the_table_of_files_has_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    page = tmp_path / "page"
    (page / "index.html").write_text("<p>")
    (page / "sub").mkdir()
    (page / "sub" / "x.js").write_text("1")
    (page / "notes.py").write_text("secret")
    (page / ".hidden.js").write_text("secret")
    (tmp_path / "out.js").write_text("secret")
    (page / "link.js").symlink_to(tmp_path / "out.js")
    (page / "linked").symlink_to(tmp_path)
    os.mkfifo(page / "pipe.js")

    table = files.table(page)

    assert sorted(table) == ["/", "/index.html", "/sub/x.js"]
    assert table["/"].data == b"<p>"


@pytest.mark.row("HT-04")
def test_a_root_without_a_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no directory"):
        files.table(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no index\.html"):
        files.table(tmp_path)
    (tmp_path / "monitor.html").write_text("x")
    assert files.table(tmp_path)["/"].data == b"x"
    (tmp_path / "big.txt").write_bytes(b"x" * (files.MAX_BYTES + 1))
    with pytest.raises(ValueError, match="more than"):
        files.table(tmp_path)


def test_the_packages_own_page_is_there() -> None:
    assert files.table()["/"].type.startswith("text/html")


@pytest.mark.row("SE-41")
def test_the_policy_is_that_of_the_security_page() -> None:
    policy = dict(part.split(" ", 1) for part in handlers.CSP.split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


# Actions.


@pytest.mark.row("MO-34", "SE-107")
@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"action": "close_node", "targets": ["n1"]},
        {"action": "format_disk", "targets": ["n1"], "seen": 1},
        {"action": 1, "targets": ["n1"], "seen": 1},
        {"action": "close_node", "targets": [], "seen": 1},
        {"action": "close_node", "targets": "n1", "seen": 1},
        {"action": "close_node", "targets": ["n1"] * 2, "seen": 1},
        {"action": "close_node", "targets": [f"n{n}" for n in range(1001)], "seen": 1},
        {"action": "close_node", "targets": ["n" * 30], "seen": 1},
        {"action": "close_node", "targets": [1], "seen": 1},
        {"action": "close_node", "targets": ["n1"], "seen": True},
        {"action": "close_node", "targets": ["n1"], "seen": -1},
        {"action": "close_node", "targets": ["n1"], "seen": 1, "more": 1},
    ],
)
def test_other_requests_for_actions_are_refused(body: object) -> None:
    with pytest.raises(BadAction):
        actions.read(body)


@pytest.mark.row("MO-57", "HT-14")
def test_an_action_hits_only_what_was_looked_at() -> None:
    view = with_servers()
    place(view, 1, "server0.0", 1.0)
    place(view, 2, "server0.0", 1.0)
    view.end_tick(1.0)
    seen = view.seq
    end(view, 1, "server0.0", 2.0)
    view.nodes["node0"].row.put({"state": "suspended"})
    view.changes.mark(view.nodes["node0"].row, 1 << 3)
    view._states["node"].update({"initialized": -1, "suspended": 1})
    view.end_tick(2.0)

    def target(action: str, row_id: str, seen: int = seen) -> object:
        found = actions.target(view, actions.Wanted(action, [row_id], seen), row_id)
        return found[0] if isinstance(found, tuple) else found.id

    assert target("terminate_tasks", "t1") == "gone"
    assert target("terminate_tasks", "t2") == "t2"
    assert target("terminate_tasks", "n1") == "refused"
    assert target("terminate_tasks", "t99") == "gone"
    assert target("close_node", "n1") == "refused"
    assert target("close_node", "n1", view.seq) == "n1"
    assert target("close_server", "s1", 0) == "s1"


def test_every_route_is_exact() -> None:
    for path, _ in (*handlers.ROUTES, *handlers.ACTION_ROUTES):
        assert re.fullmatch(r"(/[a-z0-9]+)+(/\(\[a-z0-9\]\{1,24\}\))?", path)
