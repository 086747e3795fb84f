"""Finding what a pickle names. Both ends trust each other with everything, so any module will do."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from dispycos.errors import LoadError


def find(module: str, name: str) -> Any:
    """A class or function by its module and its qualified name.

    LoadError if it is the script's own; ImportError or AttributeError if it is not here.
    """
    if module == "__main__":
        raise LoadError(f"{name} is defined in the script itself; put it into a block of define_common")
    found: Any = sys.modules.get(module) or importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def find_error(module: str, name: str) -> Any:
    """A class of exceptions; None if it is not here."""
    try:
        return find(module, name)
    except Exception:
        return None
