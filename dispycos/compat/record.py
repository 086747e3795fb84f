"""Struct: an object with the attributes it was made with.

Layer 7. Row CO-10.
"""

from __future__ import annotations

from typing import Any

from dispycos.compat.logger import logger


class Struct:
    """Hold values by name. One that it has not is None, with a warning."""

    def __init__(self, **kwargs: Any) -> None:
        vars(self).update(kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # copy and pickle ask for these
        logger.warning('attribute "%s" is invalid', name)
        return None
