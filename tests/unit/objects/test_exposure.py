"""What of an object in a cluster others may use."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from dispycos.objects.exposure import MOST_AT_ONCE, expose, table_of


class Shelf:
    size = 3

    class Inner:
        pass

    def __init__(self) -> None:
        self.books = ["one"]

    def __call__(self) -> str:
        return "called"

    def take(self) -> str:
        return self.books[0]

    @staticmethod
    def colour() -> str:
        return "red"

    @property
    def heavy(self) -> bool:
        raise AssertionError("a property ran because it was looked at")

    def close(self) -> None:
        pass

    def _hidden(self) -> None:
        pass


class Lower(Shelf):
    take = None  # type: ignore[assignment]  # a class may refuse what its parent has


@pytest.mark.row("GN-05")
def test_by_default_the_public_methods_are_shared_and_nothing_else():
    shelf = Shelf()
    table = table_of(shelf, expose(Shelf))
    assert table.methods == {"__call__", "take", "colour"}
    assert table.use(shelf, "__call__")() == "called"
    assert table.use(shelf, "take")() == "one"
    assert table_of(Lower(), expose(Lower)).methods == {"__call__", "colour"}
    for name in ("_hidden", "books", "size", "heavy", "close", "Inner", "__dict__", "__init__", "a.b", ""):
        with pytest.raises(AttributeError, match="a Shelf has no"):
            table.use(shelf, name)


def test_attributes_and_methods_are_shared_as_they_are_named():
    shelf = Shelf()
    table = table_of(shelf, expose(Shelf, methods=["take"], attributes=("books", "size")))
    assert table.use(shelf, "books")() == ["one"]
    assert table.use(shelf, "size")() == 3
    with pytest.raises(AttributeError):
        table.use(shelf, "colour")
    with pytest.raises(AttributeError, match="has no method 'size'"):
        table_of(shelf, expose(Shelf, methods=["size"]))


def test_objects_of_python_itself_have_their_methods_too():
    table = table_of({}, expose(dict))
    assert {"get", "update", "pop"} <= table.methods
    assert not [name for name in table.methods if name.startswith("_")]


def test_what_makes_it_has_a_name():
    assert expose(Shelf).name == "Shelf"
    assert expose(functools.partial(Shelf)).name == "partial"


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"concurrency": 0}, ValueError, "must be at least 1, not 0"),
    ({"concurrency": MOST_AT_ONCE + 1}, ValueError, "must be at most 1000"),
    ({"concurrency": True}, TypeError, "a whole number, not True"),
    ({"methods": "take"}, TypeError, "several strings, not 'take'"),
    ({"methods": [1]}, TypeError, "must be strings, not 1"),
    ({"methods": ["_hidden"]}, ValueError, "'_hidden' can't be shared"),
    ({"methods": ["close"]}, ValueError, "`close` ends the object"),
    ({"attributes": ["__class__"]}, ValueError, "'__class__' can't be shared"),
    ({"attributes": ["__call__"]}, ValueError, "'__call__' can't be shared"),
]


@pytest.mark.parametrize(("given", "kind", "text"), WRONG)
def test_what_is_wrong_is_named(given: dict[str, Any], kind: type[Exception], text: str):
    with pytest.raises(kind, match=text):
        expose(Shelf, **given)


def test_only_what_can_be_called_makes_objects():
    with pytest.raises(TypeError, match="must be a class or a function, not 5"):
        expose(5)  # type: ignore[arg-type]  # the mistake
