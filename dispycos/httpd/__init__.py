"""The web monitor: what a cluster does, watched live in a browser.

`HTTPServer(client)` shows one client's cluster. It is imported when it is used, so that the
pure parts of this package cost nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dispycos.httpd.server import HTTPServer

__all__ = ["HTTPServer"]


def __getattr__(name: str) -> Any:
    if name != "HTTPServer":
        raise AttributeError(f"module 'dispycos.httpd' has no attribute {name!r}")
    from dispycos.httpd.server import HTTPServer

    return HTTPServer
