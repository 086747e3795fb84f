"""Sentinels, which Python has from 3.15 on: each is one object on a server too (DC-46)."""

from __future__ import annotations

import dataclasses
import pickle
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos.errors import VersionMismatch
from dispycos.pickling import sentinels, stubs, values
from dispycos.pickling.code import dumps
from dispycos.pickling.rebuild import Namespace
from tests.unit.pickling.shipping import Orders, Server, carry_out, program

pytestmark = pytest.mark.row("DC-46")

PROGRAM = """
MISSING = sentinel("MISSING", repr="<missing>")

class Box:
    EMPTY = sentinel("EMPTY")

def given(value=MISSING):
    return value is not MISSING

def same(value):
    return value

def is_empty(value):
    return value is Box.EMPTY
"""

there_are = pytest.mark.skipif(sentinels.KIND is None, reason="sentinels are of Python 3.15 and later")


@pytest.fixture
def main(tmp_path: Path) -> Iterator[Any]:
    with program(PROGRAM, tmp_path / "client_program.py") as module:
        yield module


@there_are
def test_a_programs_sentinel_is_one_object_on_a_server(main: Any) -> None:
    server = Server()
    assert [server.call(main.given), server.call(main.given, main.MISSING)] == [False, False]
    assert server.call(main.is_empty, main.Box.EMPTY) is True
    there = server.call(main.same, main.MISSING)
    assert there is server.call(main.same, main.MISSING) is not main.MISSING
    assert (repr(there), there.__name__, there.__module__) == ("<missing>", "MISSING", "client_program")


@there_are
def test_it_comes_back_as_itself_from_another_process(main: Any, tmp_path: Path) -> None:
    orders = Orders()
    orders.call(main.given, main.MISSING)
    orders.call(main.same, [main.MISSING, main.Box.EMPTY])
    assert carry_out(orders, tmp_path / "server") == [False, [main.MISSING, main.Box.EMPTY]]


@there_are
@pytest.mark.parametrize(
    "value", [dataclasses.MISSING, getattr(typing, "NoExtraItems", None)], ids=["MISSING", "NoExtraItems"]
)
def test_one_of_a_module_that_servers_have_travels_by_its_name(value: Any) -> None:
    assert pickle.loads(dumps(value)) is value
    assert values.load(values.dump(value), Namespace(shared=False)) is value


def test_where_python_has_none_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sent:
        def __reduce__(self) -> Any:
            return stubs.sentinel, (bytes(16), "client_program", "MISSING", "<missing>")

    monkeypatch.setattr(sentinels, "KIND", None)
    body = pickle.dumps(Sent(), 5)
    with pytest.raises(VersionMismatch, match=r"MISSING of client_program .* from 3.15 on; this process is"):
        Namespace(shared=False).unpickled(body)
