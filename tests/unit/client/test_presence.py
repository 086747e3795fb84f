"""Presence: what a server is to do first, and in which order it is told who comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispycos.client.everywhere import Everywhere
from dispycos.client.presence import Presence
from dispycos.client.task_options import TaskOptions
from dispycos.model import Incarnation, Location

NODE = Incarnation(b"node".ljust(16, b"."))


class Node:
    incarnation = NODE
    location = Location("10.0.0.1", 9706)


class Server:
    """As `members.Server`, as far as it matters here."""

    node = Node()

    def __init__(self, number: int) -> None:
        self.incarnation = Incarnation(b"server%d" % number + b"." * 9)
        self.location = Location("10.0.0.1", 9706 + number)


class Call:
    """A Future that nobody completes."""

    def add_done_callback(self, function: Callable[[Any], object]) -> None: ...


class Work:
    """A client's; notes where calls are begun. What is posted waits for `run`."""

    open = True

    def __init__(self) -> None:
        self.posted: list[tuple[Any, ...]] = []
        self.begun: list[tuple[str, Incarnation]] = []
        self.present: list[Any] = []
        self.presence = Presence(lambda *call: self.posted.append(call), lambda: self.present)
        self.submissions = self

    def definition(self, function: Any) -> Any:
        return function

    def pickled(self, name: str, args: Any, kwargs: Any) -> Any:
        return name

    def call(self, function: Any, name: str, *rest: Any) -> Call:
        self.begun.append((f"call {name}", rest[-1]))
        return Call()

    def first_call(self, function: Any, name: str, *rest: Any) -> tuple[Call, str]:
        self.begun.append((f"first {name}", rest[-1]))
        return Call(), name

    def run(self) -> None:
        while self.posted:
            function, *args = self.posted.pop(0)
            function(*args)


def everywhere(work: Any, function: Callable[..., Any], per_node: bool = False) -> Everywhere:
    return Everywhere(work, function, (), {}, per_node, TaskOptions())


def test_a_new_server_is_given_all_that_was_asked_for_in_order_and_what_is_there_once() -> None:
    work: Any = Work()
    one, two = Server(1), Server(2)
    work.present = [one]
    everywhere(work, abs)
    everywhere(work, len)
    assert work.presence.came(two) == ["abs", "len"]
    work.present.append(two)
    work.run()
    assert work.begun == [
        ("first abs", two.incarnation),
        ("first len", two.incarnation),
        ("call abs", one.incarnation),
        ("call len", one.incarnation),
    ]


def test_a_node_whose_only_server_is_replaced_begins_anew_before_the_program_heard_of_that() -> None:
    work: Any = Work()
    everywhere(work, abs, per_node=True)
    one, successor, beside = Server(1), Server(2), Server(3)
    assert work.presence.came(one) == ["abs"]
    work.presence.gone(one.incarnation)
    assert work.presence.came(successor) == ["abs"]
    assert work.presence.came(beside) == []
    work.run()
    assert work.presence.came(Server(4)) == []


def test_who_asks_later_is_refused_only_if_what_keeps_servers_away_lasts() -> None:
    for lasting in (False, True):
        work: Any = Work()
        waits = everywhere(work, abs)
        work.presence.no_servers("no partition", lasting)
        work.run()
        assert waits.done()
        later = everywhere(work, abs)
        work.run()
        assert later.done() == lasting
