"""Where programs written for RPyC look for servers and the registry: `rpc.utils.server.ThreadedServer`."""

from __future__ import annotations

from dispycos.surface import on_use

__all__ = ["classic", "factory", "helpers", "registry", "server"]

__getattr__, __dir__ = on_use(globals(), {name: f"rpc.utils.{name}:" for name in __all__})
