"""Specifications: a text that says which gateway to open, `key=value//key=value`.

Pure: no I/O, clock or randomness. Row EX-15; SE-54.
"""

from __future__ import annotations

import re
from typing import Any, Final

from dispycos.launch.quoting import excerpt
from dispycos.launch.target import MAX_CHARS

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
    "secret_file",
)
# Keys that mean nothing without a value.
_VALUED: Final = (
    "ssh",
    "docker",
    "podman",
    "python",
    "chdir",
    "nice",
    "id",
    "via",
    "installvia",
    "secret_file",
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NICE: Final = re.compile(r"[+-]?[0-9]{1,2}")


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
    secret_file: Any

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
                raise ValueError(f"{excerpt(key)} stands twice in specification {excerpt(text)}")
            seen.add(key)
            if key.startswith("env:") and _NAME.fullmatch(key[4:]):
                self.env[key[4:]] = _environment(key, value)
            elif key in _KEYS:
                setattr(self, key, _value(key, value) if equals or key in _VALUED else True)
            else:
                raise ValueError(
                    f"unknown key {excerpt(key)} in specification {excerpt(text)}; "
                    f"there are {', '.join(_KEYS)} and env:NAME"
                )

    @property
    def kind(self) -> str:
        """Its one key of TYPES. ValueError if it has none or two."""
        kinds = [kind for kind in TYPES if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"specification {excerpt(self)} must name one of {', '.join(TYPES)}")
        return kinds[0]

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


def _value(key: str, value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{key}={excerpt(value)} holds what can't be printed")
    if not value and key in _VALUED:
        raise ValueError(f"key {key} lacks its value, as in {key}=..")
    if key == "nice" and not _NICE.fullmatch(value):
        raise ValueError(f"nice={excerpt(value)} is no number between -20 and 20")
    return value


def _environment(key: str, value: str) -> str:
    if "\0" in value:
        raise ValueError(f"{excerpt(key)} holds a zero byte")
    return value
