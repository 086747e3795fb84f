"""What was launched: a far end that runs, and what was started to reach it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from dispycos.errors import DispycosError, HostNotFound, PeerLost
from dispycos.net.proof import Meeting
from dispycos.net.stream import Stream

_PARTING: Final = 1.0  # seconds for what failed to end by itself
_END_TIME: Final = 5.0  # seconds for what was killed to be gone


class Started(Protocol):
    """A process whose input and output are a stream, or a connection; here or at a carrier's far end."""

    stream: Stream

    def opened(self) -> None:
        """The far end speaks."""

    def last_words(self) -> str:
        """What it wrote to standard error last, once it has ended."""

    def fate(self) -> str:
        """How it ended, or why it was never started, in words; "" if it runs."""

    def wait(self, timeout: float | None) -> bool:
        """Whether it ended within `timeout` seconds."""

    def kill(self) -> None:
        """End it at once."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A far end that runs, and has proved the key."""

    stream: Stream
    meeting: Meeting
    address: str  # of another machine, as it was named; "": this one
    wait: Callable[[float | None], bool]  # whether what we started for it ended in so many seconds
    kill: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Command:
    """What starts a Python that waits for its program."""

    words: list[str]  # the first one `python.SAME`: the Python that runs where it is started
    name: str  # for errors
    address: str = ""  # of another machine, as it was named
    keep_errors: bool = False  # standard error is kept: what fails there says why
    asks: bool = False  # a person at our terminal may be asked something
    advice: str = ""  # if the program is not there

    @property
    def apart(self) -> bool:
        """No terminal interrupts it; of a Python of ours on this machine ours may."""
        return self.keep_errors and not self.asks


def opened(
    started: Started,
    opening: Callable[[Stream], Meeting],
    name: str,
    timeout: float,
    address: str = "",
    *,
    becomes: str = "a gateway",
) -> Launched:
    """The far end behind what was just started, or why there is none; then nothing is left of it.

    opening  has it prove a key; it takes at most `timeout` seconds.
    becomes  what it was to be, for errors.
    """
    try:
        meeting = opening(started.stream)
    except BaseException as exc:
        if isinstance(exc, DispycosError | OSError):
            started.wait(_PARTING)  # an exit status says more
        failure = _failed(f"{name} did not become {becomes}", exc, timeout, started)
        started.kill()
        started.stream.close()
        started.wait(_END_TIME)
        if failure is exc:
            raise
        raise failure from None
    started.opened()
    return Launched(started.stream, meeting, address, started.wait, started.kill)


def _failed(failed: str, exc: BaseException, timeout: float, started: Started) -> BaseException:
    text = str(exc)
    if isinstance(exc, DispycosError):
        kind: Any = HostNotFound if isinstance(exc, PeerLost) else type(exc)
    elif isinstance(exc, OSError):
        kind = HostNotFound
        if isinstance(exc, TimeoutError):
            text = f"no answer in {timeout:g} s"
        elif isinstance(exc, ConnectionError):
            text = "the other end broke the connection"
    else:
        return exc  # the user interrupts
    told = "; ".join(part for part in (text, started.fate(), started.last_words()) if part)
    failure: BaseException = kind(f"{failed}: {told}")
    return failure
