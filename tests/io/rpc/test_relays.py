"""Objects that one connection has from another one, and types that both ends have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from dispycos import rpc
from dispycos.objects.requests import GET, METHOD


class Account:
    """Made at one end, and used by one that has it from a third."""

    def __init__(self) -> None:
        self.held = 1

    @property
    def exposed_amount(self) -> int:
        return self.held

    def exposed_add(self, more: int) -> int:
        self.held += more
        return self.held

    def exposed_fail(self) -> None:
        raise KeyError("empty")

    def exposed_each(self) -> Iterator[int]:
        yield from range(self.held)

    def __str__(self) -> str:
        return "secret"


class Last(rpc.Service):
    def exposed_read(self, account: Any) -> int:
        return int(account.amount)

    def exposed_add(self, account: Any) -> Any:
        account.add(1)
        return account

    def exposed_fail(self, account: Any) -> None:
        account.fail()

    def exposed_each(self, account: Any) -> list[int]:
        return [*account.each(), *rpc.buffiter(account.each())]

    def exposed_text(self, account: Any) -> str:
        return str(account)

    def exposed_reach(self, account: Any, name: str) -> Any:
        conn: Any = account._connection
        return [conn.begin(what, account._number, name, (), {}).exception(10) for what in (GET, METHOD)]

    def exposed_within(self, door: Any) -> int:
        with door as opened:
            return int(opened)


class Middle(rpc.Service):
    def __init__(self) -> None:
        self.far = rpc.connect_thread(remote_service=Last)

    def on_disconnect(self, conn: Any) -> None:
        self.far.close()

    def exposed_pass(self, name: str, *args: Any) -> Any:
        return getattr(self.far.root, name)(*args)


@pytest.fixture
def conn() -> Iterator[Any]:
    with rpc.connect_thread(remote_service=Middle) as conn:
        yield conn


@pytest.mark.row("RP-24", "GN-05")
def test_an_object_is_used_through_two_connections_as_through_one(conn) -> None:
    mine = Account()
    to = conn.root.exposed_pass
    assert to("read", mine) == 1
    assert to("add", mine) is mine and mine.held == 2
    assert to("each", mine) == [0, 1, 0, 1]
    with pytest.raises(KeyError, match="empty"):
        to("fail", mine)
    assert to("text", mine).startswith("<proxy of a tests.io.rpc.test_relays.Account")

    @contextlib.contextmanager
    def door() -> Iterator[int]:
        yield 5

    assert to("within", door()) == 5


@pytest.mark.row("GN-05")
def test_what_an_object_does_not_share_is_not_reached_through_another_connection(conn) -> None:
    mine = Account()
    for name in ("held", "__class__", "__dict__", "_connection", "_number", "_shape", "__init__"):
        errors = conn.root.exposed_pass("reach", mine, name)
        assert [str(error) for error in errors] == [f"cannot access {name!r}"] * 2


class Types(rpc.Service):
    def exposed_is(self, value: Any, kind: Any) -> bool:
        return isinstance(value, kind)

    def exposed_parse(self, text: str, kind: Any) -> Any:
        return kind(text), kind

    def exposed_kinds(self) -> Any:
        return [type(None), {str: int}, (bool, float)]


@pytest.mark.row("RP-12")
def test_built_in_types_of_data_are_the_same_at_both_ends() -> None:
    with rpc.connect_thread(remote_service=Types) as conn:
        assert conn.root.exposed_is([1], list) and not conn.root.exposed_is([1], dict)
        assert conn.root.parse("12", int) == (12, int)
        assert conn.root.kinds() == [type(None), {str: int}, (bool, float)]
        assert conn.root.exposed_is(None, conn.root.kinds()[0])
    with rpc.classic.connect_thread() as conn:
        # Those of another Python stay what they are: of the other Python.
        assert isinstance(conn.builtins.dict, rpc.BaseNetref) and isinstance(conn.eval("int"), rpc.BaseNetref)
