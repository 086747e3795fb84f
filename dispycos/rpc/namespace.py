"""The names of a classic connection: its own global variables at the serving end."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from dispycos.objects.values import ByReference


class Namespace(MutableMapping[str, Any]):
    """Reads as a dict from afar; built-in containers in it stay where they are."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__rpc__"}

    def __getitem__(self, name: str) -> Any:
        return by_reference(self.names[name])

    def __setitem__(self, name: str, value: Any) -> None:
        self.names[name] = value

    def __delitem__(self, name: str) -> None:
        del self.names[name]

    def __iter__(self) -> Iterator[str]:
        return iter([name for name in self.names if not name.startswith("__")])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __repr__(self) -> str:
        return f"<namespace with {', '.join(self) or 'no names'}>"


def by_reference(value: Any) -> Any:
    """A value as it goes to the other end if it is to stay here and be used from there."""
    return ByReference(value) if type(value) in (list, dict, set, bytearray) else value
