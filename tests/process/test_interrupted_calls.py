"""Ctrl-C at a terminal while another Python is asked: it ends the call, there too, and nothing else."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers import background, wait_until

EASYCLUSTER = """
import sys
from dispycos.easycluster import define_common, server

define_common('''
import pathlib, time
seen = []
def nap(begun):
    pathlib.Path(begun).touch()
    try:
        while True:
            time.sleep(0.01)
    except BaseException as exc:
        seen.append(type(exc).__name__)
        raise
''', "dispycos_test_naps")
with server.spawn_local(definitions="dispycos_test_naps") as rmt:
    try:
        rmt.nap(sys.argv[1])
    except KeyboardInterrupt:
        print("interrupted, and there", *rmt.seen.value, flush=True)
"""

CLASSIC = """
import sys
from dispycos import rpc

with rpc.classic.connect_subproc() as conn:
    conn.execute('''
import pathlib, time
seen = []
def nap(begun):
    pathlib.Path(begun).touch()
    try:
        while True:
            time.sleep(0.01)
    except BaseException as exc:
        seen.append(type(exc).__name__)
        raise
''')
    nap = conn.namespace["nap"]
    try:
        nap(sys.argv[1])
    except KeyboardInterrupt:
        print("interrupted, and there", *conn.eval("seen"), flush=True)
"""


@pytest.mark.parametrize("source", [EASYCLUSTER, CLASSIC], ids=["easycluster", "rpc"])
def test_ctrl_c_ends_the_call_and_leaves_the_server(source: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(source)
    begun = tmp_path / "begun"
    with background([sys.executable, script, begun]) as program:
        wait_until(begun.exists, 20)
        # As a terminal does: to all that it started.
        os.killpg(program.pid, signal.SIGINT)
        assert program.wait_line("interrupted", 20) == "interrupted, and there TaskCancelled"
        assert program.wait(20) == 0
