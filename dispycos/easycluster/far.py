"""The process at the server's end of one connection: serves its master until that one is gone.

`dispycos.launch.boot` calls `main`, in a Python that may have nothing of ours but what travelled
with it; a server's listener calls `serve`. Imports here are what travels: the standard library
and pure modules only.
"""

from __future__ import annotations

import os
import queue
import select
import threading
from typing import Any, Final

from dispycos.easycluster.served import Log, Served
from dispycos.launch.beginning import meet_near_end
from dispycos.net.proof import Meeting
from dispycos.net.stream import Stream

# Seconds for what still runs when the master is gone; then the process ends all the same.
GRACE: Final = 3.0


def settle(options: dict[str, Any]) -> None:
    """Nothing is to be taken up before the stream is served."""


def main(reader: int, writer: int, options: dict[str, Any]) -> None:
    """Serve the stream with these descriptors; returns when the master is gone."""
    stream, meeting = meet_near_end(reader, writer, options)
    serve(stream, meeting, "the master", lambda title, outcome: None)


def serve(stream: Stream, meeting: Meeting, name: str, log: Log, parent: int | None = None) -> None:
    """Serve a master until it is gone.

    log     told of each call and its outcome.
    parent  a descriptor that becomes readable when this process is to end.
    """
    over: queue.SimpleQueue[str] = queue.SimpleQueue()
    served = Served(stream, meeting, name, log, over.put)
    if parent is not None:
        threading.Thread(target=_watch, args=(parent, over), name="dispycos listener", daemon=True).start()
    over.get()
    # What the master's code left running must not keep us.
    watch = threading.Timer(GRACE, os._exit, (1,))
    watch.daemon = True
    watch.start()
    served.connection.close()
    served.connection.link.join(GRACE)


def _watch(parent: int, over: queue.SimpleQueue[str]) -> None:
    poll = select.poll()
    poll.register(parent, select.POLLIN)
    poll.poll()
    over.put("the listener ends")
