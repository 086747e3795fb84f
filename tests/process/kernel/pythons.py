"""Programs of the kernel alone, on each Python that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import Finished, run_program

VERSIONS = ("3.11", "3.12", "3.13")


def interpreter(version: str) -> str:
    """A Python of that version; the test is skipped where there is none."""
    if sys.version.startswith(version + "."):
        return sys.executable
    candidates = [*Path("/root/.pyenv/versions").glob(f"{version}.*/bin/python")] if os.name != "nt" else []
    for candidate in (*map(str, candidates), shutil.which(f"python{version}")):
        if candidate and _works(candidate, version):
            return candidate
    pytest.skip(f"python{version}: not installed")


def _works(command: str, version: str) -> bool:
    try:
        answer = subprocess.run([command, "-V"], capture_output=True, text=True, timeout=20)
    except OSError:
        return False
    return answer.stdout.startswith(f"Python {version}.")


HEAD = """
import sys, threading, time
import dispycos.kernel.loop as loop, dispycos.log
from dispycos.kernel.task import Task
"""


def run(python: str, tmp_path: Path, body: str) -> Finished:
    program = tmp_path / "program.py"
    program.write_text(HEAD + body)
    return run_program([python, program])
