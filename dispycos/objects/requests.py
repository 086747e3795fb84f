"""Requests: what one end may ask of an object of the other one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from dispycos.objects import failure

# What a call may ask.
GET: Final = 1
SET: Final = 2
DELETE: Final = 3
METHOD: Final = 4
TAKE: Final = 5  # some of the next items of an iterator

# Types of what is in a request: what, number of the object, name, args, kwargs.
FORM: Final = (int, int, str, tuple, dict)


def taken(advance: Callable[[], Any], most: int) -> tuple[list[Any], bool, tuple[Any, ...] | None]:
    """The next items of an iterator: they, whether it has ended, and the error that ended it.

    An error does not take with it the items before it.
    """
    items: list[Any] = []
    try:
        while len(items) < most:
            items.append(advance())
    except StopIteration:
        return items, True, None
    except Exception as exc:
        return items, True, failure.describe(exc)
    return items, False, None
