"""A dict that grows while a program looks at it: what it goes through is what is there at that moment.

Pure. Layer 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Growing(dict[K, V]):
    """A plain dict, but that entries may be added in another thread while somebody goes through it."""

    def _now(self) -> dict[K, V]:
        # The list of a dict's entries is made in one step that no other thread interrupts.
        return dict(list(dict.items(self)))

    def __iter__(self) -> Iterator[K]:
        return iter(list(dict.keys(self)))

    def keys(self):  # type: ignore[no-untyped-def]  # the type of a dict's view has no public name
        """The keys that are there now."""
        return self._now().keys()

    def values(self):  # type: ignore[no-untyped-def]
        """The values that are there now."""
        return self._now().values()

    def items(self):  # type: ignore[no-untyped-def]
        """The entries that are there now."""
        return self._now().items()
