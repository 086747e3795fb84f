"""Hosts with ssh and a bare Python for tests: a real sshd on this machine."""

from __future__ import annotations

import os
import venv
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.helpers import wait_until
from tests.process.gateways.sshd import Sshd


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> str:
    """A Python without any package."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True, with_pip=False)
    return str(folder / "bin" / "python")


class Hosts:
    """Two hosts whose temporary files are in a folder of ours."""

    def __init__(self, folder: Path, python: str) -> None:
        self.sshd = Sshd(folder)
        self.files = folder / "files"
        self.files.mkdir()
        for name in ("one", "two"):
            self.sshd.host(name, before=f"export TMPDIR={self.files};")
        self.sshd.host("refused", client=" PubkeyAuthentication no\n")
        self.python = python


@pytest.fixture
def hosts(tmp_path, bare) -> Iterator[Hosts]:
    made = Hosts(tmp_path, bare)
    yield made
    made.sshd.close()


def processes(python: str) -> list[int]:
    """What runs with that Python: keepers, nodes, zygotes and servers."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [""])[0] == python:
            found.append(process.pid)
    return found


def nothing_left(hosts: Hosts) -> None:
    wait_until(
        lambda: not processes(hosts.python) and not os.listdir(hosts.files), 30, "the hosts to be as before"
    )
