"""Running monitors: a source, its browsers' names, port and credentials put together.

I/O half. Layer 7. Rows HT-01 to HT-05, MO-01, SE-34, SE-36.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from dispycos.arguments import port as checked_port
from dispycos.arguments import seconds
from dispycos.httpd import files, listening, notes
from dispycos.httpd.app import MonitorThread
from dispycos.httpd.kept import Kept
from dispycos.httpd.listening import Binding
from dispycos.httpd.login import Logins
from dispycos.httpd.monitor import Options
from dispycos.httpd.notes import Note
from dispycos.httpd.origin import Names
from dispycos.httpd.source import Source
from dispycos.httpd.web_certificate import WebCertificate

log = logging.getLogger("dispycos.monitor")

DEFAULT_POLL = 10.0  # seconds, the founding document's


@dataclass(frozen=True, slots=True)
class Running:
    """A monitor that listens and runs."""

    thread: MonitorThread
    binding: Binding
    logins: Logins
    poll: float
    note: Note | None = None  # by which this account's terminals find it

    @property
    def link(self) -> str:
        """What an operator opens; its fragment is the token, which browsers do not send."""
        return f"{self.binding.url}/#token={self.logins.token}"

    @property
    def viewer_link(self) -> str:
        """Likewise, for who may only look."""
        return f"{self.binding.url}/#token={self.logins.viewer_token}"

    def stop(self, reason: str, text: str, within: float) -> None:
        """Say goodbye to the browsers, at most so many seconds; then end. May be repeated."""
        notes.remove(self.note)
        self.thread.stop(reason, text, within)


def run(
    source: Source,
    *,
    host: str | None,
    port: Any,
    poll_sec: Any = None,
    root: Any = None,
    keyfile: Any = None,
    certfile: Any = None,
    allow_hosts: tuple[str, ...] = (),
    read_only: bool = False,
    metrics_public: bool = False,
    noted: bool = False,
    kept: str = "",
) -> Running:
    """Start a monitor of that source. ValueError and TypeError name the argument; OSError the port.

    noted  a note of it is left, by which `dispycos top` finds it (see `notes`).
    kept   file by which a later run is the same cluster to browsers (see `kept`); "": none is.
    """
    poll = poll_seconds(poll_sec)
    pages = files.table(root)
    certificate = WebCertificate.of(certfile, keyfile)
    binding = listening.bind(host, checked_port("port", port), "https" if certificate else "http")
    before = Kept.at(kept) if kept else None
    logins = Logins(operators=not read_only, kept=before)
    options = Options(
        poll_sec=poll,
        first_interval=poll if poll_sec is not None else 0.0,
        operators=not read_only,
        metrics_public=metrics_public,
        cluster=before.cluster if before is not None else "",
        again=before is not None and before.again,
    )
    names = Names((*binding.names, *allow_hosts), binding.scheme)
    thread = MonitorThread(source, logins, pages, options, names, binding.sockets, certificate)
    try:
        thread.start()
    except BaseException:
        binding.close()
        raise
    if binding.warning:
        log.warning("%s", binding.warning)
    running = Running(thread, binding, logins, poll)
    if not noted:
        return running
    return replace(running, note=notes.write(source.name, running.viewer_link, binding.port))


def poll_seconds(value: Any) -> float:
    """`poll_sec`, checked; None: the default."""
    if value is None:
        return DEFAULT_POLL
    poll = seconds("poll_sec", value)
    if not 0.2 <= poll <= 3600:
        raise ValueError(f"poll_sec must be from 0.2 to 3600 seconds, not {value!r}")
    return poll
