"""What is called in a forked child, and for which things."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from dispycos import forks


class Thing:
    def __init__(self) -> None:
        self.told = 0

    def tell(self) -> None:
        self.told += 1


def test_each_thing_that_is_still_kept_is_told_in_each_child(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[Callable[[], object]] = []
    monkeypatch.setattr(os, "register_at_fork", lambda after_in_child: registered.append(after_in_child))
    things = forks.each_in_child(Thing.tell)
    kept, dropped = Thing(), Thing()
    things.add(kept)
    things.add(dropped)
    del dropped
    for _ in range(2):  # a child, and a child of it
        registered[0]()
    assert len(registered) == 1 and kept.told == 2 and len(things) == 1


def test_one_that_leaves_the_set_when_it_is_told_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[Callable[[], object]] = []
    monkeypatch.setattr(os, "register_at_fork", lambda after_in_child: registered.append(after_in_child))

    def leave(thing: Thing) -> None:
        things.discard(thing)
        thing.tell()

    things = forks.each_in_child(leave)
    kept = [Thing(), Thing()]
    for thing in kept:
        things.add(thing)
    for _ in range(2):
        registered[0]()
    assert [thing.told for thing in kept] == [1, 1]


def test_where_nothing_forks_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "register_at_fork")
    forks.each_in_child(Thing.tell).add(Thing())


@pytest.mark.row("R-31")
def test_only_the_parent_comes_out_of_code_that_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[BaseException | None] = []
    monkeypatch.setattr(forks, "leave", lambda error=None: left.append(error))
    monkeypatch.setattr(forks, "generation", forks.generation)

    def call(error: BaseException | None, *, in_child: bool) -> None:
        with forks.parent_goes_on():
            forks.generation += in_child
            if error is not None:
                raise error

    wrong = ValueError("wrong")
    call(None, in_child=False)
    with pytest.raises(ValueError, match="wrong"):
        call(wrong, in_child=False)
    assert left == []
    call(None, in_child=True)
    with pytest.raises(ValueError, match="wrong"):
        call(wrong, in_child=True)
    assert left == [None, wrong]
