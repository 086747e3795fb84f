"""Who refers to an object, counted."""

from __future__ import annotations

from dispycos.messages import Change
from dispycos.model import Incarnation
from dispycos.objects.holders import MAX_TOKENS, Holders

A, B, C = (Incarnation(bytes([number]) * 16) for number in (1, 2, 3))


def given() -> Holders:
    """Those of an object that A had made."""
    holders = Holders()
    holders.change(C, Change.SENT, b"first")
    holders.change(A, Change.ARRIVED, b"first")
    return holders


def test_it_goes_with_the_only_reference():
    holders = given()
    assert not holders.nobody
    holders.change(A, Change.DROPPED, b"")
    assert holders.nobody
    assert not holders.sent_on


def test_it_stays_while_a_reference_is_under_way():
    holders = given()
    holders.change(A, Change.SENT, b"second")
    holders.change(A, Change.DROPPED, b"")
    assert not holders.nobody
    holders.change(B, Change.ARRIVED, b"second")
    holders.change(B, Change.DROPPED, b"")
    assert holders.nobody
    assert holders.sent_on


def test_a_reader_may_be_heard_of_before_the_sender():
    holders = given()
    holders.change(B, Change.ARRIVED, b"second")
    holders.change(A, Change.SENT, b"second")
    holders.change(A, Change.DROPPED, b"")
    holders.change(B, Change.DROPPED, b"")
    assert holders.nobody


def test_a_second_reference_in_a_process_is_not_counted_again():
    holders = given()
    holders.change(A, Change.SENT, b"second")
    holders.change(A, Change.AGAIN, b"second")
    holders.change(A, Change.DROPPED, b"")
    assert holders.nobody


def test_what_is_read_twice_may_be_read_again():
    holders = given()
    holders.change(A, Change.SENT, b"second")
    for reader in (B, C):
        holders.change(reader, Change.ARRIVED, b"second")
    for holder in (A, B, C):
        holders.change(holder, Change.DROPPED, b"")
    assert not holders.nobody


def test_what_has_no_token_may_be_read_at_any_time():
    holders = given()
    holders.change(A, Change.SENT, b"")
    holders.change(A, Change.DROPPED, b"")
    assert not holders.nobody


def test_what_is_sent_and_never_read_is_bounded():
    holders = given()
    for number in range(MAX_TOKENS + 1):
        holders.change(A, Change.SENT, b"%d" % number)
    assert len(holders._under_way) <= MAX_TOKENS
    holders.change(A, Change.DROPPED, b"")
    assert not holders.nobody


def test_a_drop_of_what_was_never_held_changes_nothing():
    holders = given()
    holders.change(B, Change.DROPPED, b"")
    holders.change(B, Change.ARRIVED, b"x")
    holders.change(A, Change.DROPPED, b"")
    assert not holders.nobody
