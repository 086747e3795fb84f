"""Which host has the next node, and when one that failed is tried again."""

from __future__ import annotations

import pytest

from dispycos.clusters.hosts import RETRY_FIRST, RETRY_MAX, Hosts


def test_hosts_are_taken_in_order_and_once() -> None:
    hosts = Hosts(["a", "b"])
    assert (len(hosts), hosts.free(0.0)) == (2, 2)
    assert [hosts.take(0.0) for _ in range(3)] == ["a", "b", None]
    hosts.came("a")
    hosts.leave("a")
    assert (hosts.free(0.0), hosts.take(0.0)) == (1, "a")
    with pytest.raises(ValueError, match="'a' stands twice"):
        Hosts(["a", "b", "a"])


def test_one_that_failed_waits_ever_longer_and_comes_after_the_others() -> None:
    hosts = Hosts(["a", "b"])
    assert hosts.take(0.0) == "a"
    assert hosts.fail("a", "refused", 0.0) == RETRY_FIRST
    assert hosts.failed() == {"a": "refused"}
    assert (hosts.free(1.0), hosts.next_deadline(1.0)) == (1, RETRY_FIRST)
    # Its time is over, and still one that never failed is better.
    assert hosts.take(RETRY_FIRST) == "b" and hosts.take(RETRY_FIRST) == "a"
    assert hosts.next_deadline(RETRY_FIRST) is None and hosts.failed() == {}
    now = RETRY_FIRST
    waits = []
    for _ in range(1100):
        waits.append(hosts.fail("a", "refused", now))
        now += waits[-1]
        assert hosts.take(now) == "a"
    assert waits[:2] == [2 * RETRY_FIRST, 4 * RETRY_FIRST] and waits[-1] == RETRY_MAX
    # What had a node begins anew.
    hosts.came("a")
    assert hosts.fail("a", "died", now) == RETRY_FIRST
    hosts.leave("b")
    assert hosts.take(now) == "b"


def test_one_that_is_given_up_is_never_taken_and_says_why() -> None:
    hosts = Hosts(["a", "b"])
    assert hosts.take(0.0) == "a"
    hosts.give_up("a", "it refuses its options")
    assert (hosts.free(1e9), hosts.next_deadline(0.0)) == (1, None)
    assert [hosts.take(1e9), hosts.take(1e9)] == ["b", None]
    hosts.fail("b", "no route", 0.0)
    assert hosts.given_up() == {"a": "it refuses its options"}
    assert hosts.failed() == {"a": "it refuses its options", "b": "no route"}
