"""HTTPServer with pycos's arguments.

I/O half. Layer 7. Row CO-07.
"""

from __future__ import annotations

from typing import Any

from dispycos.httpd import server


class HTTPServer(server.HTTPServer):
    """Watch a client in a browser; see `dispycos.httpd.HTTPServer`.

    host      '': what that has as its default, so that nobody looks in from outside unasked.
    poll_sec  None: pages are live.
    """

    def __init__(
        self,
        client: Any,
        host: str = "",
        port: int = 8181,
        poll_sec: float | None = None,
        DocumentRoot: Any = None,  # noqa: N803 - as pycos names it
        keyfile: Any = None,
        certfile: Any = None,
        show_task_args: bool = True,
    ) -> None:
        super().__init__(
            client,
            host or None,
            port,
            poll_sec,
            DocumentRoot,
            keyfile,
            certfile,
            show_task_args=bool(show_task_args),
        )
