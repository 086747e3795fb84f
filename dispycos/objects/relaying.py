"""Relaying: an object of one connection that is passed on through another one.

Whoever holds a proxy may let others use it. What they ask goes on to the end that has the object,
whose table decides, as if this end had asked: so they reach what this end reaches, and no more.

Rows GN-05, RP-24.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispycos.objects.access import Shape


class Relayed:
    """The table of proxies of other connections. Nothing is looked up in the proxy itself."""

    def shape(self, value: Any) -> Shape:
        shape: Shape = value._shape
        return shape

    def get(self, value: Any, name: str) -> Any:
        return value._connection.get(value._number, name)

    def set(self, value: Any, name: str, new: Any) -> None:
        value._connection.set(value._number, name, new)

    def delete(self, value: Any, name: str) -> None:
        value._connection.delete(value._number, name)

    def method(self, value: Any, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return value._connection.method(value._number, name, args, kwargs)

        return call
