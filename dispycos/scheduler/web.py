"""The web monitor of a shared scheduler: its options, and the monitor that they ask for.

Layer 8. Row MO-01.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dispycos import commandline
from dispycos.commandline import Parser
from dispycos.httpd import argtext, listening
from dispycos.net import addresses
from dispycos.records import record
from dispycos.scheduler.shared import SharedScheduler, SharedSettings

if TYPE_CHECKING:
    from dispycos.httpd import running


@record
class Web:
    """The web monitor, as its options ask for it."""

    host: str | None  # None: loopback
    port: int
    read_only: bool
    metrics_public: bool
    allow_hosts: tuple[str, ...]

    def watch(self, scheduler: SharedScheduler, settings: SharedSettings) -> running.Running:
        """Start it. OSError: it can't listen there."""
        # Not above: they are most of what a scheduler would import, and few have a monitor.
        from dispycos.httpd import running
        from dispycos.httpd.scheduler_source import SchedulerSource

        files = settings.certificates
        return running.run(
            SchedulerSource(scheduler.service, scheduler.endpoint, settings.name),
            host=self.host,
            port=self.port,
            certfile=files.certfile if files is not None else None,
            keyfile=(files.keyfile or None) if files is not None else None,
            allow_hosts=self.allow_hosts,
            read_only=self.read_only,
            metrics_public=self.metrics_public,
            noted=True,
            kept=scheduler.monitor_file,
        )


def add_options(parser: Parser) -> None:
    """Those that are about the monitor."""
    parser.section("web monitor")
    add = parser.option
    add("--http", nargs="?", type=_place, const=(None, None), metavar="HOST[:PORT]",
        help="serve the web monitor there, or at a port of loopback (default: loopback, port "
        f"{listening.PORT}; port 0: a free one); the address to open is printed")  # fmt: skip
    add("--http_readonly", action="store_true", help="nobody may act in the web monitor, only look")
    add("--allow_host", action="append", default=[], metavar="NAME",
        help="a further name under which browsers may ask for the web monitor; may be repeated")  # fmt: skip
    add("--redact", type=_pattern, action="append", default=[], metavar="PATTERN",
        help="web monitors of clients show *** for arguments of such names (as 'pass*'; capitals make no "
        "difference); may be repeated. The scheduler's own shows no arguments")  # fmt: skip
    add("--metrics_public", action="store_true", help="/metrics of the web monitor needs no token")


def asked_for(parser: Parser, options: argparse.Namespace) -> Web | None:
    """The monitor of these options; None: none. What needs one and stands alone is wrong usage."""
    if options.http is None:
        for name in ("http_readonly", "allow_host", "metrics_public"):
            if getattr(options, name):
                parser.error(f"--{name} is about the web monitor: it needs --http")
        return None
    host, port = options.http
    if host is not None:
        with parser.value_of("http", "it takes HOST, HOST:PORT or PORT, where HOST is this machine"):
            addresses.bind_addresses([host])
    hosts = tuple(options.allow_host)
    number = listening.PORT if port is None else port
    return Web(host, number, options.http_readonly, options.metrics_public, hosts)


def _place(text: str) -> tuple[str | None, int | None]:
    """HOST, HOST:PORT or PORT, where port 0 is any free one."""
    host, _, port = text.rpartition(":")
    if port != "0":
        return commandline.place(text)
    return commandline.host_or_port(host)[0] if host else None, 0


def _pattern(text: str) -> str:
    """A pattern of names."""
    try:
        return argtext.patterns(text)[0]
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None
