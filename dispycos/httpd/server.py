"""HTTPServer: the web monitor of one Client, as programs make it.

It takes its port when it is made, and shows what the client does from then on, before and after
`schedule()`. It never changes what the program does: `client.status_task` stays the program's.

I/O half. Layer 7. Rows HT-01 to HT-10, MO-01, MO-02, MO-60.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, Never

from dispycos.arguments import flag
from dispycos.client.client import Client
from dispycos.guidance import hints
from dispycos.httpd import argtext, listening, running
from dispycos.httpd.client_source import ClientSource
from dispycos.kernel import loop
from dispycos.kernel.task import Task

AFTER_NETWORK = 60.0  # where it ends among the functions at exit: clients have closed by then


class HTTPServer:
    """Watch a Client in a browser.

    host          name or address; None: loopback only; '': every interface.
    port          0: a free one, see `.port`.
    poll_sec      seconds between updates that pages use at first, and the longest time between
                  two requests of one that polls (10 by default); not given: pages are live.
    DocumentRoot  directory of the page; None: the package's own.
    certfile, keyfile  PEM files for https; one file with both is certfile.
    show_task_args  False: arguments of tasks are neither converted to text nor sent.
    redact        patterns (`pass*`) of names, whatever their capitals: keyword arguments of tasks, and
                  values of dicts in arguments, of such a name are shown as ***. Those of the shared
                  scheduler's `--redact` come on top.
    allow_hosts   further host names under which browsers may ask for it.
    read_only     nobody may act, only look.
    metrics_public  /metrics needs no token.

    The address to open is printed as one line on standard error. TypeError and ValueError name the
    argument; OSError says who has the port, and which one is free.
    """

    def __init__(
        self,
        client: Client,
        host: str | None = None,
        port: int = listening.PORT,
        poll_sec: float | None = None,
        DocumentRoot: str | os.PathLike[str] | None = None,  # noqa: N803 - the founding document's name
        keyfile: str | os.PathLike[str] | None = None,
        certfile: str | os.PathLike[str] | None = None,
        show_task_args: bool = True,
        *,
        redact: str | Sequence[str] = (),
        allow_hosts: Sequence[str] = (),
        read_only: bool = False,
        metrics_public: bool = False,
        **unknown: Never,
    ) -> None:
        hints.refuse(type(self), unknown)
        if not isinstance(client, Client):
            raise TypeError(f"client must be a Client, not {client!r:.200}")
        source = ClientSource(client, flag("show_task_args", show_task_args), argtext.patterns(redact))
        self._running = running.run(
            source,
            host=host,
            port=port,
            poll_sec=poll_sec,
            root=DocumentRoot,
            keyfile=keyfile,
            certfile=certfile,
            allow_hosts=tuple(allow_hosts),
            read_only=flag("read_only", read_only),
            metrics_public=flag("metrics_public", metrics_public),
            noted=True,
        )
        source.listens_at(self._running.binding.url)
        self._status_task: Task | None = None
        self._loop = loop.default()
        self._loop.at_exit(AFTER_NETWORK, self._program_ends)
        print(f"dispycos monitor: {self.link}", file=sys.stderr, flush=True)

    @property
    def port(self) -> int:
        """The TCP port that it listens at."""
        return self._running.binding.port

    @property
    def link(self) -> str:
        """The address to open, with the token of an operator."""
        return self._running.link

    @property
    def viewer_link(self) -> str:
        """The same with the token of a viewer, who may look and not act."""
        return self._running.viewer_link

    @property
    def status_task(self) -> Task:
        """A task that takes the client's status messages, for programs that relay them.

        The monitor knows what they say already, whoever is the client's status_task: this one
        only takes them, so that programs which pass them on can do so.
        """
        if self._status_task is None:
            self._status_task = Task(_take)
        return self._status_task

    def shutdown(self, wait: bool = True) -> None:
        """End it; may be repeated. `wait`: browsers get the last state first, within 10 s or `poll_sec`."""
        self._end("finished", "", self._running.poll if wait else 0.0)
        self._loop.drop_at_exit(self._program_ends)

    def _program_ends(self) -> None:
        error = getattr(sys, "last_value", None)
        if isinstance(error, KeyboardInterrupt):
            self._end("interrupted", "Ctrl-C", self._running.poll)
        elif error is not None:
            text = "".join(traceback.format_exception_only(error)).strip()
            self._end("failed", text[-2000:], self._running.poll)
        else:
            self._end("finished", "", self._running.poll)

    def _end(self, reason: str, text: str, within: float) -> None:
        self._running.stop(reason, text, within)
        if self._status_task is not None:
            self._status_task.terminate("the monitor was shut down")


def _take(task: Any = None) -> Iterator[Any]:
    task.set_daemon()
    while True:
        yield task.receive()
