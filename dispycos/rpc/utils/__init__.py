"""Where programs written for RPyC look for servers and the registry: `rpc.utils.server.ThreadedServer`."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["classic", "factory", "helpers", "registry", "server"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'dispycos.rpc.utils' has no attribute {name!r}")
    return importlib.import_module(f"dispycos.rpc.utils.{name}")
