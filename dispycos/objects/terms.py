"""Terms: how one end of a connection shares its objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispycos.objects.access import Access, Full, Shape
from dispycos.objects.proxy import Proxy, class_of
from dispycos.records import record


def nothing_by_value(value: Any) -> bool:
    """Objects go as references."""
    return False


def no_class(module: str, name: str) -> Any:
    """Nothing may be made by its name."""
    return None


@record
class Terms:
    """How one end shares."""

    # The table of an object that goes as a reference.
    access: Callable[[Any], Access] = lambda value: Full()
    # Whether an object that is no built-in data is pickled as ever.
    by_value: Callable[[Any], bool] = nothing_by_value
    # (module, name) -> what the other end's pickles may name here; None: nothing of the kind.
    find_class: Callable[[str, str], Any] = no_class
    # (module, name) -> a class of exceptions that may be made here; None: none of that name.
    find_error: Callable[[str, str], Any] = no_class
    # What makes proxies of objects of this shape, of (connection, number, shape).
    proxy_class: Callable[[Shape], Callable[[Any, int, Shape], Proxy]] = lambda shape: class_of(shape.special)
    # Built-in containers that are read as an attribute stay here, and are used from afar.
    containers_stay: bool = True
    # Built-in types of data, such as `int`, are sent by name, for each end has its own; and what
    # `arrays` knows of NumPy's as copies.
    data_travels: bool = False
    # The lane in which the other end does what this one asks.
    lane: int = 0
    # Whether the other end may say in which lane this one does what it asks; else it is lane 0,
    # so that nothing is done before the beginning, and nobody makes threads here.
    lanes: bool = False
