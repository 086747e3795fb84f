"""Buffered iteration: many items of the other end at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dispycos.arguments import integer
from dispycos.objects.proxy import Proxy


def buffiter(it: Iterable[Any], chunk: int = 10, max_chunk: int = 1000, factor: float = 2) -> Iterator[Any]:
    """The items of an iterable of the other end, fetched in chunks that grow.

    chunk      how many at first; each chunk is `factor` times as large as the one before, up to
    max_chunk  how many at most.
    No more than one chunk is taken there before it is asked for here. An error of the iterable
    is raised after the items before it.
    """
    size = float(integer("chunk", chunk, least=1))
    most = integer("max_chunk", max_chunk, least=1)
    if not factor >= 1:
        raise ValueError(f"factor must be at least 1, not {factor!r}")
    return _chunks(iter(it), size, most, factor)


def _chunks(iterator: Any, size: float, most: int, factor: float) -> Iterator[Any]:
    if not isinstance(iterator, Proxy):
        yield from iterator  # it is here
        return
    connection: Any = iterator._connection
    while True:
        items, ended, error = connection.take(iterator._number, int(min(size, most)))
        yield from items
        if error is not None:
            raise error
        if ended:
            return
        size = min(size * factor, most)
