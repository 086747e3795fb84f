"""Location: made in pycos's words.

Layer 7. Row CO-02.
"""

from __future__ import annotations

from typing import Any

from dispycos import model
from dispycos.net import addresses  # noqa: F401  # lets host names be given


class _Words(type):
    """Makes Locations of ours, and takes all of them for its own."""

    def __call__(cls, host: str, tcp_port: int | str) -> model.Location:
        return model.Location(host, tcp_port)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, model.Location)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(subclass, model.Location)


class Location(metaclass=_Words):
    """Where a process is reached: `Location(host, tcp_port)`."""

    addr: str
    port: int
