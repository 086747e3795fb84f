"""What a monitor keeps for its next run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dispycos.httpd.kept import Kept
from dispycos.httpd.login import MAX_SESSIONS, OPERATOR, SESSION_IDLE, VIEWER, Logins


@pytest.mark.row("MO-62", "SE-36", "SE-39")
def test_tokens_and_sessions_outlive_a_run_and_nobody_else_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "monitor.json"
    first = Kept.at(str(path))
    assert not first.again
    logins = Logins(kept=first)
    known = [logins.login(token, 1.0) for token in (logins.token, logins.viewer_token, logins.token)]
    assert known[2] is not None and logins.logout(known[2].key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["monitor.json"]

    second = Kept.at(str(path))
    assert second.again and second.cluster == first.cluster
    again = Logins(kept=second)
    assert (again.token, again.viewer_token) == (logins.token, logins.viewer_token)
    # On another clock: that of a process that has just begun.
    assert [again.role(session.key, 0.5) for session in known if session] == [OPERATOR, VIEWER, None]
    assert again.role(known[0].key, 0.5 + SESSION_IDLE + 1) is None  # type: ignore[union-attr]  # it is one

    read_only = Logins(operators=False, kept=Kept.at(str(path)))
    assert [read_only.role(session.key, 0.5) for session in known if session] == [VIEWER, VIEWER, None]


def test_sessions_of_earlier_runs_make_room_for_new_ones(tmp_path: Path) -> None:
    kept = Kept.at(str(tmp_path / "monitor.json"))
    kept.tokens = ["a", "b"]
    kept.sessions = [[f"s{number}", VIEWER] for number in range(MAX_SESSIONS)]
    logins = Logins(kept=kept)
    assert logins.login("a", 5.0) is not None
    assert len(kept.sessions) == MAX_SESSIONS
    assert logins.role("s0", 5.0) is None and logins.role("s1", 5.0) == VIEWER


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"cluster": 1', "\xff", '{"cluster": "c", "tokens": ["a"], "sessions": []}']
)
def test_a_damaged_file_is_a_new_beginning(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "monitor.json"
    path.write_text(text, encoding="latin-1")
    kept = Kept.at(str(path))
    assert not kept.again and kept.tokens == []
    assert "log in anew" in caplog.text
    logins = Logins(kept=kept)
    assert json.loads(path.read_text())["tokens"] == [logins.token, logins.viewer_token]


def test_a_folder_that_is_gone_keeps_nobody_from_logging_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logins = Logins(kept=Kept.at(str(tmp_path / "gone" / "monitor.json")))
    assert logins.login(logins.token, 1.0) is not None
    assert "log in anew" in caplog.text


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text('{"cluster": "c", "tokens": ["x", "y"], "sessions": []}')
    (tmp_path / "monitor.json").symlink_to(tmp_path / "other")
    assert Kept.at(str(tmp_path / "monitor.json")).tokens == []
