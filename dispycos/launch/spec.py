"""Specifications: a text that says which gateway to open, `key=value//key=value`.

Pure: no I/O, clock or randomness. Row EX-15; SE-54.
"""

from __future__ import annotations

import re
from typing import Any, Final

MAX_CHARS: Final = 4096
_QUOTED: Final = 40  # characters of a specification that an error shows

# What a gateway is: exactly one of them.
TYPES: Final = ("popen", "ssh", "socket", "docker", "podman")

_KEYS: Final = (
    *TYPES,
    "python",
    "chdir",
    "nice",
    "id",
    "via",
    "installvia",
    "execmodel",
    "dont_write_bytecode",
    "ssh_config",
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class XSpec:
    """A specification; each key is an attribute: a text, True for a bare key, None if it is not there.

    ValueError for a key that is unknown or doubled, and for a text that is too long.
    """

    popen: Any
    ssh: Any
    socket: Any
    docker: Any
    podman: Any
    python: Any
    chdir: Any
    nice: Any
    id: Any
    via: Any
    installvia: Any
    execmodel: Any
    dont_write_bytecode: Any
    ssh_config: Any

    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARS:
            raise ValueError(f"a specification of {len(text)} characters; at most {MAX_CHARS} are taken")
        for key in _KEYS:
            setattr(self, key, None)
        self._spec = text
        self.env: dict[str, str] = {}
        seen = set()
        for part in text.split("//") if text else ():
            key, equals, value = part.partition("=")
            if key in seen:
                raise ValueError(f"{_quote(key)} stands twice in specification {_quote(text)}")
            seen.add(key)
            if key.startswith("env:") and _NAME.fullmatch(key[4:]):
                self.env[key[4:]] = value
            elif key in _KEYS:
                setattr(self, key, value if equals else True)
            else:
                raise ValueError(
                    f"unknown key {_quote(key)} in specification {_quote(text)}; "
                    f"there are {', '.join(_KEYS)} and env:NAME"
                )

    def _samefilesystem(self) -> bool:
        """Whether the far end sees the same files under the same names."""
        return bool(self.popen is not None and self.chdir is None)

    def __repr__(self) -> str:
        return f"<XSpec {self._spec!r}>"

    def __str__(self) -> str:
        return self._spec

    def __hash__(self) -> int:
        return hash(self._spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, XSpec) and self._spec == other._spec


def _quote(text: str) -> str:
    return repr(text if len(text) <= _QUOTED else text[:_QUOTED] + "...")
