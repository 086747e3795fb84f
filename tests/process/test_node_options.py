"""Options of a node that one host can show."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.helpers import background, run_program
from tests.process.daemons import Node, command


@pytest.mark.row("DN-31")
@pytest.mark.parametrize(
    ("text", "named"),
    [("n1:9705\nnonsense\n", "line 2: 'nonsense' is no HOST:PORT"), (None, "can't be read: No such file")],
)
def test_a_bad_file_of_peers_is_named(tmp_path: Path, key_file: Path, text: str | None, named: str) -> None:
    file = tmp_path / "peers"
    if text is not None:
        file.write_text(text)
    code, out, err = run_program(command(tmp_path, key_file, "--peer_file", str(file)))
    assert (code, out) == (2, "")
    assert str(file) in err and named in err


@pytest.mark.row("DN-15", "SE-57")
@pytest.mark.parametrize("debug", [True, False])
def test_debug_messages_are_logged_if_they_are_asked_for_and_hold_no_key(
    tmp_path: Path, key_file: Path, debug: bool
) -> None:
    with background(command(tmp_path, key_file, *(["-d"] if debug else []))) as program:
        Node(program)
        program.signal(signal.SIGTERM)
        program.wait(5)
        assert (" DEBUG " in program.output) is debug
        assert key_file.read_text().strip() not in program.output
