"""Globals of this program that its code uses and that can't be pickled: a lock, a socket, a client.

Whoever uses one elsewhere finds no such name there (DC-50); the NameError that comes back says why.
"""

from __future__ import annotations

from dispycos import frames
from dispycos.pickling import origins
from dispycos.pickling.origins import Scope

_reasons: dict[tuple[Scope, str], str] = {}  # by scope and name


def keep_back(scope: Scope, name: str, why: str) -> None:
    """It was to be sent, and could not be."""
    _reasons[scope, name] = why


def sent(scope: Scope, name: str) -> None:
    """It was sent after all: it has another value now."""
    _reasons.pop((scope, name), None)


def explain(exc: NameError) -> None:
    """Add a note to a NameError from elsewhere, if what it missed there is one of these."""
    trace = exc.__traceback__
    if type(exc) is not NameError or trace is None:
        return  # an UnboundLocalError misses a local variable
    scope = (origins.origin(), frames.raised_in(trace))
    # Its `name` does not travel, its text does: `name 'lock' is not defined`.
    name = str(exc).partition("'")[2].partition("'")[0]
    why = _reasons.get((scope, name))
    if why is not None:
        exc.add_note(f"{name!r} of this program can't be sent: {why}")
