"""A private server on this machine. Row EC-15."""

from __future__ import annotations

from typing import Any

from dispycos.easycluster.client import Client
from dispycos.easycluster.ways import Local


def spawn_local(clientclass: type[Client] = Client, **options: Any) -> Any:
    """Start a server process for one client, and answer that client, of `clientclass`.

    options  other arguments of the client.
    It needs no key, and ends with the client.
    """
    return clientclass(None, way=Local(), **options)
