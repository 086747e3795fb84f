"""Options that every remote call takes beside the arguments of what is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


class Single:
    """See SINGLE."""

    def __repr__(self) -> str:
        return "SINGLE"


SINGLE: Final = Single()  # as threadid: a thread for this one call

_NAMES: Final = ("nonblocking", "oncomplete", "onerror", "threadid", "origexc")


@dataclass(frozen=True, slots=True)
class Options:
    """How one call is made."""

    nonblocking: bool = False  # the caller gets a response to wait for
    oncomplete: Callable[[Any], object] | None = None  # called with the value
    onerror: Callable[[Any], object] | None = None  # called with the RemoteException
    threadid: Any = None  # which thread of the server; None: the default one
    origexc: Any = True  # True, False or "quiet"

    @property
    def returns_at_once(self) -> bool:
        """Whether the caller gets a response."""
        return self.nonblocking or self.oncomplete is not None or self.onerror is not None


NONE: Final = Options()


def taken(kwargs: dict[str, Any]) -> Options:
    """The options among keyword arguments, from which they are taken. TypeError, ValueError."""
    given = {name: kwargs.pop(name) for name in _NAMES if name in kwargs}
    if not given:
        return NONE
    for name in ("oncomplete", "onerror"):
        if given.get(name) is not None:
            given[name] = _function(name, given[name])
    if given.get("origexc", True) not in (True, False, "quiet"):
        raise ValueError(f"origexc={given['origexc']!r} is none of True, False and 'quiet'")
    return Options(**given)


def _function(name: str, said: Any) -> Callable[[Any], object]:
    # f, or (f, a1, ..), which is called with the value and a1, ..
    function, args = (said[0], said[1:]) if isinstance(said, tuple) and said else (said, ())
    if not callable(function):
        raise TypeError(f"{name}={said!r} is neither a function nor a tuple that begins with one")
    return lambda value: function(value, *args)
