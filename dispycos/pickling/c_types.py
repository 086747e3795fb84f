"""Types of ctypes by value: arrays and pointers by what they are of, structures by their fields.

Their metaclasses compute what a class of Python would just have as an attribute, so they can't
be taken apart as others are.
"""

from __future__ import annotations

import operator
import sys
from typing import Any

_ORDINARY, _SWAPPED = "__ctype_le__", "__ctype_be__"  # types as this machine has them, and the others
if sys.byteorder == "big":
    _ORDINARY, _SWAPPED = _SWAPPED, _ORDINARY


def is_of_ctypes(cls: type[Any]) -> bool:
    """Whether a class is a C type; its metaclass is derived from one there if its bytes are swapped."""
    return any(meta.__module__ == "_ctypes" for meta in type(cls).__mro__[:-2])


def composed(cls: type[Any]) -> tuple[Any, ...] | None:
    """How ctypes itself makes an array, pointer or swapped type of another; None for any other class."""
    if type(cls).__module__ != "_ctypes":
        return None
    ctypes: Any = sys.modules["ctypes"]
    ordinary = vars(cls).get(_ORDINARY, cls)
    if ordinary is not cls:
        return getattr, (ordinary, _SWAPPED)  # which has the name of the ordinary one
    element: Any = getattr(cls, "_type_", None)
    if not isinstance(element, type):
        return None
    length: Any = getattr(cls, "_length_", None)
    if issubclass(cls, ctypes.Array) and operator.mul(element, length) is cls:
        return operator.mul, (element, length)
    if issubclass(cls, ctypes._Pointer) and ctypes.POINTER(element) is cls:
        return ctypes.POINTER, (element,)
    return None


def split(cls: type[Any], taken: dict[str, Any]) -> dict[str, Any]:
    """Take from its attributes what it must have when it is made; what is left is set afterwards."""
    if not is_of_ctypes(cls):
        return {}
    for name in [name for name, value in taken.items() if type(value).__name__ == "CField"]:
        del taken[name]  # the fields make them
    if "_fields_" in taken:
        taken["_fields_"] = taken.pop("_fields_")  # last: by all the others it lays the structure out
    return {"_type_": taken.pop("_type_")} if "_type_" in taken else {}


def metaclass_of(cls: type[Any]) -> type[Any]:
    """What a class is made with: those of ctypes have no name there, and come with the bases."""
    return type if type(cls).__module__ == "_ctypes" else type(cls)
