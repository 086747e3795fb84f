"""RPS as programs for pycos know it: a call that is refused gives None.

It is the class of native programs, since `isinstance` must hold for the references that others
send; what a refusal becomes is the program's own business, and set once it imports pycos.

Layer 7. Row CO-08.
"""

from __future__ import annotations

from dispycos.kernel.refusal import Refused
from dispycos.kernel.rps import RPS

__all__ = ["RPS"]


def _nothing(refused: Refused) -> None:
    """The reason is no value there: who wants to know it reads the log of the other side."""


RPS._instead = staticmethod(_nothing)  # type: ignore[method-assign]  # for this process
