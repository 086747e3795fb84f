"""Launchers: from a specification to a far end that runs.

I/O half. Layer 3.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from dispycos.config import Limits
from dispycos.errors import DispycosError, HostNotFound, PeerLost, Timeout
from dispycos.launch import opening
from dispycos.launch.child import Child
from dispycos.launch.opening import Errand
from dispycos.launch.spec import TYPES, XSpec
from dispycos.net.link import Meeting
from dispycos.net.stream import Stream

START_TIME: Final = 30.0  # seconds for a Python to start here


@dataclass(frozen=True, slots=True)
class Launched:
    """A far end that runs, and has proved the key."""

    stream: Stream
    meeting: Meeting
    address: str  # of another machine, as it was named; "": this one
    wait: Callable[[float | None], bool]  # whether what we started for it ended in so many seconds
    kill: Callable[[], None]


def python_of(spec: XSpec) -> list[str]:
    """The command that starts the Python of a specification."""
    if spec.python is None or spec.python is True:
        return [sys.executable]
    words = shlex.split(spec.python)
    if not words or words[0].startswith("-"):
        raise ValueError(f"python={spec.python[:40]!r} names no program")
    if len(words) == 1 and words[0].replace(".", "").isdigit():
        words = [f"python{words[0]}"]
    return words


def launch(spec: XSpec, errand: Errand) -> Launched:
    """The far end that a specification names, told its errand.

    ValueError if it names none or two; HostNotFound says what was tried and what came of it.
    """
    kinds = [kind for kind in TYPES if getattr(spec, kind) is not None]
    if len(kinds) != 1:
        raise ValueError(f"specification {str(spec)[:40]!r} must name one of {', '.join(TYPES)}")
    return _child(spec, errand)


def _child(spec: XSpec, errand: Errand) -> Launched:
    # A Python on this machine.
    command = [*python_of(spec), "-u", "-c", opening.COMMAND]
    try:
        child = Child(command, keep_errors=False)
    except OSError as exc:
        raise HostNotFound(f"{command[0]} can't be started: {exc.strerror}") from None
    return opened(child, errand, command[0], START_TIME)


def opened(child: Child, errand: Errand, what: str, timeout: float, address: str = "") -> Launched:
    """The far end behind a child that was just started, or why there is none."""
    try:
        meeting = opening.open_far_end(child.stream, errand, Limits(), timeout)
    except (DispycosError, OSError) as exc:
        failure = _failed(child, what, exc, timeout)
        child.kill()
        child.stream.close()
        child.wait(None)
        raise failure from None
    return Launched(child.stream, meeting, address, child.wait, child.kill)


def _failed(child: Child, what: str, exc: Exception, timeout: float) -> Exception:
    child.wait(1.0)  # an exit status says more
    if isinstance(exc, TimeoutError) and not isinstance(exc, Timeout):
        text = f"no answer in {timeout:g} s"
    else:
        text = str(exc)
    told = "; ".join(part for part in (text, child.fate(), child.last_words()) if part)
    kind: Any = (
        type(exc) if isinstance(exc, DispycosError) and not isinstance(exc, PeerLost) else HostNotFound
    )
    return kind(f"{what} did not become a gateway: {told}")  # type: ignore[no-any-return]
