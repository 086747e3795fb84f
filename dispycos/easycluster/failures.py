"""Failures: what a call raised at the server, and how it is raised at the master.

An exception travels as itself, with its causes; the traceback as text. What would end or stop the
master's program, or can't be made there, is raised as RemoteException. Rows EC-24, EC-39.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

from dispycos.errors import DispycosError, RemoteError
from dispycos.objects import failure

_MOST_CAUSES: Final = 8


class RemoteException(RemoteError):
    """A remote call raised an exception.

    orig  that exception, or one that stands for it if it can't be made here.
    text  its traceback at the server.
    """

    def __init__(self, orig: BaseException, text: str) -> None:
        super().__init__(": ".join(filter(None, (type(orig).__name__, str(orig)))))
        self.orig = orig
        self.text = text

    def __reduce__(self) -> Any:
        return type(self), (self.orig, self.text)


class ConnectionClosed(DispycosError, ConnectionError):
    """The client was closed by this program."""


def describe(error: BaseException, pack: Callable[[Any], bytes]) -> tuple[Any, ...]:
    """What of an exception travels: plain values."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and len(chain) < _MOST_CAUSES and cause not in chain:
        chain.append(cause)
    try:
        data = pack(chain)
    except Exception:
        data = b""  # it, or what it holds, can't be pickled
    *parts, _ = failure.describe(error)
    return data, (*parts, failure.text_of(error, whole=True))


def rebuild(
    described: tuple[Any, ...],
    unpack: Callable[[bytes], Any],
    find: Callable[[str, str], Any],
    where: str,
) -> RemoteException:
    """The exception that a server described."""
    data, plain = described
    text = str(plain[-1])
    error = _own(data, unpack) or failure.rebuild(plain, find)
    if isinstance(error, ImportError) and isinstance(error.msg, str):
        # Which machine lacks it is what one wants to know.
        error.msg = f"{error.msg} (at {where})"
    elif error.__cause__ is None:
        error.__cause__ = failure.RemoteTraceback(text)
    elif not hasattr(error, "__notes__"):
        error.add_note(f"the server's traceback:\n{text}")
    return RemoteException(error, text)


def _own(data: bytes, unpack: Callable[[bytes], Any]) -> BaseException | None:
    if not data:
        return None
    try:
        chain = unpack(data)
        for error, cause in itertools.pairwise(chain):
            error.__cause__ = cause
        return chain[0] if isinstance(chain[0], BaseException) else None
    except Exception:
        return None  # its class is not here, or can't be made of its arguments


def found(error: BaseException) -> RemoteException:
    """Around what the connection itself reports of a call, such as a result that can't be pickled."""
    cause = error.__cause__
    text = cause.text if isinstance(cause, failure.RemoteTraceback) else ""
    return RemoteException(error, text or f"{type(error).__name__}: {error}\n")
