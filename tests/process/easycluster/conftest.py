"""Servers of this folder's tests: a listener, and a process without one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dispycos.easycluster import Client, define_common, server, write_key_file
from dispycos.easycluster.keys import generate_key
from tests.helpers import Program, background

COMMAND = [sys.executable, "-m", "dispycos.easycluster"]

SOURCE = """
import threading, time

def addvals(a, b):
    return a + b

def subvals(a, b):
    return a - b

class TestObject1(ServerObject):
    def __init__(self, val):
        self.val = val
    def getval(self):
        return self.val
    def newobj(self):
        return TestObject1(self.val + 1)

def get_object_vals(lst):
    return [obj.val for obj in lst]

class TestObject2(TestObject1):
    export_methods = ('getval',)
    export_attrs = ('val',)

class TestObject3Proxy(RemoteProxy):
    proxy_methods = ('getval',)
    proxy_attrs = ('val',)
    def double(self):
        return 2 * self.val

class TestObject3(TestObject1):
    proxy_class = TestObject3Proxy

held = []
def hold(thing):
    held.append(thing)
def is_held(thing):
    return any(thing is other for other in held)

def fail():
    raise KeyError('no', 3) from ValueError('cause')

gate = threading.Event()
def wait_at_gate():
    gate.wait(30)
    return threading.get_ident()
"""
NAME = "dispycos_test_definitions"


class Serving(NamedTuple):
    """A listener."""

    program: Program
    key: bytes
    port: int
    key_file: str


@pytest.fixture(scope="session")
def definitions() -> str:
    """The module of SOURCE."""
    define_common(SOURCE, NAME)
    return NAME


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A listener on a free port."""
    with listener(tmp_path_factory.mktemp("server")) as made:
        yield made


@contextlib.contextmanager
def listener(folder: Path, *options: str) -> Iterator[Serving]:
    """A listener with these options and a new key."""
    folder.chmod(0o700)
    path, key = str(folder / "secret.key"), generate_key()
    write_key_file(path, key, overwrite=True)
    with background([*COMMAND, "-S", "-k", path, "-p", "0", *options]) as program:
        line = program.wait_line("Listening on ", 20)
        yield Serving(program, key, int(line.rpartition(":")[2]), path)


@pytest.fixture(scope="module")
def rmt(definitions: str) -> Iterator[Client]:
    """A client with a server process of its own."""
    with server.spawn_local(definitions=definitions) as client:
        yield client
