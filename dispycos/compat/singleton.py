"""Singleton: a metaclass; each of its classes has one object.

Layer 7. Row CO-10.
"""

from __future__ import annotations

import threading
from typing import Any, ClassVar


class Singleton(type):
    """Metaclass: a call of the class gives its one object, made by the first call."""

    _objects: ClassVar[dict[type, Any]] = {}
    _making: ClassVar[threading.RLock] = threading.RLock()  # held while one is made, which may make another

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        with Singleton._making:
            if cls not in Singleton._objects:
                Singleton._objects[cls] = super().__call__(*args, **kwargs)
            return Singleton._objects[cls]

    @staticmethod
    def instance(cls: type) -> Any:
        """The object of `cls`, or None if there is none."""
        return Singleton._objects.get(cls)

    @staticmethod
    def discard(cls: type) -> None:
        """Forget the object of `cls`: the next call makes another."""
        Singleton._objects.pop(cls, None)
