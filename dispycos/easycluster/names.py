"""Names of a server: what stands there under a name, dotted or not, to be called, read or set."""

from __future__ import annotations

from typing import Any, Protocol


class Host(Protocol):
    """What a name needs of its client."""

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any: ...
    def ask_value(self, name: str) -> Any: ...
    def ask_to_set(self, name: str, value: Any) -> None: ...


class RemoteName:
    """`rmt.os.path.join`: nothing is asked before it is called or its `value` is got or set."""

    __slots__ = ("_client", "_name")

    def __init__(self, client: Host, name: str) -> None:
        self._client = client
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._client.call(self._name, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        # No property: Python would take an AttributeError of the server for the lack of one.
        if name == "value":
            return self._client.ask_value(self._name)
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # Python asks for such in passing
        return RemoteName(self._client, f"{self._name}.{name}")

    def __setattr__(self, name: str, new: Any) -> None:
        if name == "value":
            self._client.ask_to_set(self._name, new)
        elif name in RemoteName.__slots__:
            object.__setattr__(self, name, new)
        else:
            raise AttributeError(f"set {self._name}.{name}.value; a name itself has nothing to set")

    def __repr__(self) -> str:
        return f"<{self._name} of {self._client!r}>"
