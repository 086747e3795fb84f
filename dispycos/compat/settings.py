"""Settings: what a program reads and assigns in `pycos.config` are the settings of dispycos.

A setting may be a text such as `pycos.config.NetPort + 1`: names of settings and whole numbers,
added or subtracted. Nothing else is understood, and nothing is evaluated.

Layer 7. Row CO-10.
"""

from __future__ import annotations

import re
import types
from typing import Any

from dispycos import config

# What pycos says at first; read as they are until a program assigns others.
WRITTEN = {
    "DispycosSchedulerPort": "pycos.config.NetPort",
    "DispycosNodePort": "pycos.config.DispycosSchedulerPort + 1",
}

NUMBERS = (
    "MsgTimeout", "MaxConnectionErrors", "MinPulseInterval", "MaxPulseInterval", "NetPort",
    "DispycosSchedulerPort", "DispycosNodePort",
)  # fmt: skip
TEXTS = ("IPV4_MULTICAST_GROUP", "IPV6_MULTICAST_GROUP")

_SUM = re.compile(r"\s*([A-Za-z_][\w.]*|\d+)\s*(?:([-+])\s*(.+))?", re.DOTALL)
_MAX_TERMS = 16  # of one sum; names that lead to each other end there


class Settings(types.ModuleType):
    """The class of the module `pycos.config`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in NUMBERS:
            vars(self)[name] = value
            _take_over(vars(self))
            return
        if name in TEXTS:
            setattr(config, name, str(value))
        super().__setattr__(name, value)


def fill(names: dict[str, Any]) -> None:
    """Give the module its settings, as pycos has them."""
    for name in (*NUMBERS, *TEXTS):
        names[name] = WRITTEN.get(name, getattr(config, name))
    names["PickleProtocolVersion"] = None  # the highest that both sides have


def _take_over(names: dict[str, Any]) -> None:
    """Give dispycos what the names say now; those that lead to a changed one change with it."""
    found = {name: number(names[name], names) for name in NUMBERS if name in names}
    for name, value in found.items():
        setattr(config, name, value)


def number(value: Any, names: dict[str, Any], terms: int = _MAX_TERMS) -> float:
    """What a setting comes to; ValueError if it is neither a number nor a sum of such.

    terms  how many more may be followed.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    parts = _SUM.fullmatch(value) if isinstance(value, str) and terms > 0 else None
    if parts is None:
        raise ValueError(
            "a setting of pycos.config is a number, or a sum of numbers and other settings, "
            f"not {value!r:.200}"
        )
    first, sign, rest = parts.groups()
    total = _term(first, names, terms)
    while sign:
        parts = _SUM.fullmatch(rest)
        if parts is None:
            raise ValueError(f"pycos.config: {rest!r:.200} in {value!r:.200} is no setting and no number")
        term, following, rest = parts.groups()
        total = total + _term(term, names, terms) if sign == "+" else total - _term(term, names, terms)
        sign = following
    return total


def _term(text: str, names: dict[str, Any], terms: int) -> float:
    if text.isdigit():
        return int(text)
    name = text.removeprefix("pycos.").removeprefix("config.")
    if name not in NUMBERS or name not in names:
        raise ValueError(f"pycos.config has no number {text!r}")
    return number(names[name], names, terms - 1)
