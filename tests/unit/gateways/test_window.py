"""How much may be on its way through a channel."""

from __future__ import annotations

from dispycos.gateways import wire
from dispycos.gateways.window import Window

COST = wire.PER_ITEM + 1000  # of an item of 1,000 bytes


def test_a_sender_goes_on_as_long_as_it_has_credit() -> None:
    window = Window()
    sent = 0
    while window.reserve(COST):
        sent += COST
    assert wire.WINDOW - COST < sent <= wire.WINDOW
    window.granted(COST)
    assert window.enough(COST) and window.reserve(COST) and not window.enough(COST)


def test_an_item_however_large_goes_once_nearly_all_was_taken() -> None:
    large = 5 * wire.WINDOW
    window = Window(credit=wire.ENOUGH)
    assert window.reserve(large)
    assert not window.reserve(1)  # it has to be taken first
    window.granted(large)
    assert window.credit == wire.ENOUGH
    assert not Window(credit=wire.ENOUGH - 1).reserve(large)


def test_who_had_no_credit_for_an_item_is_found_out() -> None:
    window = Window()
    while window.held <= wire.WINDOW:
        assert window.hold(1000)
    assert not window.hold(1)
    window.let_go(1000)  # to a callback, say
    assert window.hold(1000)


def test_what_was_taken_is_told_in_lots_and_nothing_of_it_is_forgotten() -> None:
    window = Window()
    taken = told = 0
    while told < wire.WINDOW:
        assert window.hold(1000)
        more = window.taken(1000, held=True, tell=True)
        taken += COST
        assert more == 0 or more >= wire.LOT
        told += more
        assert told + window.owed == taken
    assert window.held == 0


def test_who_sends_no_more_is_told_nothing() -> None:
    window = Window(owed=wire.LOT)
    assert window.taken(1000, held=False, tell=False) == 0
    assert window.owed == wire.LOT + COST
