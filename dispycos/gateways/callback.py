"""Callbacks: where the items of a channel go when nobody asks for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from dispycos import forks
from dispycos.gateways.failure import describe

log = logging.getLogger("dispycos")

NO_ENDMARKER: Final[Any] = object()


class Host(Protocol):
    """What a callback needs of the exchange."""

    def took(self, number: int, size: int) -> None: ...
    def refuse(self, number: int, text: str) -> None: ...


class Taker:
    """Gets the items of a channel in place of `receive`: one at a time, in order."""

    def __init__(self, exchange: Host, number: int, endmarker: Any) -> None:
        self.exchange = exchange
        self.number = number
        self._endmarker = endmarker
        self.turn = threading.RLock()  # items that waited go first

    def take(self, item: Any, size: int) -> None:
        """An item came."""
        raise NotImplementedError

    def give(self, item: Any) -> None:
        """Hand out the end marker."""
        raise NotImplementedError

    def end(self) -> None:
        """Nothing more comes: hand out the end marker, once."""
        with self.turn:
            endmarker, self._endmarker = self._endmarker, NO_ENDMARKER
            if endmarker is not NO_ENDMARKER:
                try:
                    self.give(endmarker)
                except Exception:
                    log.exception("the callback of a channel failed for its end marker")


class Callback(Taker):
    """A function that gets the items."""

    def __init__(
        self, exchange: Host, number: int, function: Callable[[Any], object], endmarker: Any
    ) -> None:
        super().__init__(exchange, number, endmarker)
        self._function = function

    def take(self, item: Any, size: int) -> None:
        """Call it; what it raises closes the channel, and the other end is told."""
        with self.turn:
            try:
                self.give(item)
            except Exception as exc:
                log.exception("the callback of a channel failed")
                self.exchange.refuse(self.number, describe(exc))
            else:
                self.exchange.took(self.number, size)

    def give(self, item: Any) -> None:
        """Call it."""
        with forks.parent_goes_on():
            self._function(item)
