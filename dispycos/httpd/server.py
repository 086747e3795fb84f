"""HTTPServer: the web monitor of one Client, as programs make it.

It takes its port when it is made, and shows what the client does from then on, before and after
`schedule()`. It never changes what the program does: `client.status_task` stays the program's.

I/O half. Layer 7. Rows HT-01 to HT-10, MO-01, MO-02, SE-34.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from dispycos.arguments import port, seconds
from dispycos.httpd import files, listening
from dispycos.httpd.app import MonitorThread
from dispycos.httpd.listening import Binding
from dispycos.httpd.login import Logins
from dispycos.httpd.monitor import Options
from dispycos.httpd.origin import Names
from dispycos.httpd.source import Source

log = logging.getLogger("dispycos.monitor")


@dataclass(frozen=True, slots=True)
class Running:
    """A monitor that listens and runs."""

    thread: MonitorThread
    binding: Binding
    logins: Logins
    poll: float

    @property
    def link(self) -> str:
        """What an operator opens; its fragment is the token, which browsers do not send."""
        return f"{self.binding.url}/#token={self.logins.token}"

    @property
    def viewer_link(self) -> str:
        """Likewise, for who may only look."""
        return f"{self.binding.url}/#token={self.logins.viewer_token}"


def run(
    source: Source,
    *,
    host: str | None,
    port_: int,
    poll_sec: Any = None,
    root: Any = None,
    keyfile: Any = None,
    certfile: Any = None,
    allow_hosts: tuple[str, ...] = (),
    read_only: bool = False,
    metrics_public: bool = False,
) -> Running:
    """Start a monitor of that source. ValueError and TypeError name the argument; OSError the port."""
    poll = poll_seconds(poll_sec)
    pages = files.table(root)
    tls = listening.tls(certfile, keyfile)
    binding = listening.bind(host, port("port", port_), "https" if tls else "http")
    logins = Logins(operators=not read_only)
    options = Options(
        poll_sec=poll,
        first_interval=poll if poll_sec is not None else 0.0,
        operators=not read_only,
        metrics_public=metrics_public,
    )
    names = Names((*binding.names, *allow_hosts), binding.scheme)
    thread = MonitorThread(source, logins, pages, options, names, binding.sockets, tls)
    try:
        thread.start()
    except BaseException:
        binding.close()
        raise
    if binding.warning:
        log.warning("%s", binding.warning)
    return Running(thread, binding, logins, poll)


DEFAULT_POLL = 10.0  # seconds, the founding document's


def poll_seconds(value: Any) -> float:
    """`poll_sec`, checked; None: the default."""
    if value is None:
        return DEFAULT_POLL
    poll = seconds("poll_sec", value)
    if not 0.2 <= poll <= 3600:
        raise ValueError(f"poll_sec must be from 0.2 to 3600 seconds, not {value!r}")
    return poll
