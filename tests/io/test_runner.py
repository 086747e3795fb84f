"""Runners: whatever can't be said or done, the rest of what the machine answered is carried out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from dispycos.config import MIB
from dispycos.events import Note, PeerGone, Say
from dispycos.messages import Deliver
from dispycos.model import Payload
from dispycos.net.runner import Runner
from tests.helpers import wait_until
from tests.io.hostile import LIMITS, K, Party, cluster, meet

SMALL = replace(LIMITS, max_message_bytes=MIB)


class Answers:
    """A machine that answers what it is given."""

    def handle(self, event: list[Any], now: float) -> list[Any]:
        return event

    def tick(self, now: float) -> list[Any]:
        return []

    def next_deadline(self) -> None:
        return None

    def check(self) -> None:
        pass


@pytest.fixture
def parties() -> Iterator[Callable[..., Party]]:
    with cluster(K) as make:
        yield lambda name: make(name, limits=SMALL)


def delivery(number: int, size: int = 1) -> Deliver:
    return Deliver(number, Payload(b"x" * size))


@pytest.mark.row("R-23", "R-75")
def test_a_message_that_is_too_large_costs_its_receiver_s_session_and_nothing_else(parties, caplog):
    one, other, third = parties("one"), parties("other"), parties("third")
    meet(one, other)
    meet(one, third)
    done: list[Any] = []
    runner = Runner(Answers(), one.reactor, one.endpoint, done.append)
    to, also = other.endpoint.incarnation, third.endpoint.incarnation
    caplog.set_level(logging.INFO)
    runner.feed(
        [
            "first",
            Say(also, delivery(1)),
            Say(to, delivery(2, 2 * MIB)),
            Say(also, delivery(3)),
            Note("info", "a note of the machine's"),
            "last",
        ]
    )
    assert done == ["first", "last"]
    wait_until(lambda: [message.to for message in third.heard] == [1, 3], 5)
    wait_until(lambda: [event.peer for event in one.events if isinstance(event, PeerGone)] == [to], 5)
    assert other.heard == []
    text = caplog.text
    assert "can't be told Deliver" in text and "max_message_bytes=1048576" in text
    assert "a note of the machine's" in text


@pytest.mark.row("R-23")
def test_what_the_owner_makes_smaller_is_said_in_order(parties):
    one, other = parties("one"), parties("other")
    meet(one, other)
    to = other.endpoint.incarnation

    def smaller(message: Deliver, error: Exception) -> list[Any]:
        size = len(message.value.data) // 2
        return [delivery(2 * message.to, size), delivery(2 * message.to + 1, size)]

    runner = Runner(Answers(), one.reactor, one.endpoint, lambda action: None, smaller=smaller)
    runner.feed([Say(to, delivery(1, 3 * MIB)), Say(to, delivery(9))])
    wait_until(lambda: len(other.heard) == 5, 5)
    assert [message.to for message in other.heard] == [4, 5, 6, 7, 9]


@pytest.mark.row("R-75")
def test_the_first_fault_is_raised_when_everything_is_done(parties):
    one = parties("one")
    done: list[Any] = []

    def perform(action: Any) -> None:
        if isinstance(action, Exception):
            raise action
        done.append(action)

    runner = Runner(Answers(), one.reactor, one.endpoint, perform)
    with pytest.raises(LookupError):
        runner.feed([1, LookupError("the first"), 2, ValueError("the second"), 3])
    assert done == [1, 2, 3]


def test_what_is_said_after_the_end_reaches_nobody_and_stops_nothing(parties):
    one, other = parties("one"), parties("other")
    meet(one, other)
    done: list[Any] = []
    runner = Runner(Answers(), one.reactor, one.endpoint, done.append)
    one.do(one.endpoint.close())
    runner.feed([Say(other.endpoint.incarnation, delivery(1)), "last"])
    assert done == ["last"]
