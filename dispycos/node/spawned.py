"""Servers where the system has no fork (DN-43): each is a fresh interpreter that the zygote starts.

It loads the components for itself, which takes the time of a start and the memory of a process
of its own. node_setup is not run, since what that loads could not be shared.

    the zygote says to it   server(zygote, start; sizes, code; output, control, page)

I/O half. Layer 5. Rows DN-43; rules R-11, SE-51.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Never

from dispycos.model import Payload
from dispycos.node import fresh, interpreter, server, ties
from dispycos.node.namespace import ClientNamespace, describe_failure
from dispycos.node.pipe import Pipe, Said, close_all
from dispycos.node.start import ServerStart, ZygoteStart, pack, to_values, unpack

needed = not hasattr(os, "fork")

SKIPPED = "this node's system has no fork: node_setup was not run (leave such nodes out by their platform)"


def start_server(
    zygote: ZygoteStart, code: Payload, start: ServerStart, descriptors: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Start a server's process and tell it what it is to be. OSError: it could not be started.

    descriptors  output, control and page; they are closed here, whatever happens.
    """
    try:
        ours, theirs = socket.socketpair()
    except OSError:
        close_all(descriptors)
        raise
    output = descriptors[0]
    pipe = Pipe(ours, max_body=0)
    try:
        flags, folder = fresh.where_we_are()
        numbers = [str(theirs.fileno()), str(os.getpid())]
        process = subprocess.Popen(
            [sys.executable, *flags, "-m", "dispycos.node.spawned", *numbers],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        sizes, body = pack(code)
        values = {"zygote": to_values(zygote), "start": to_values(start), "sizes": sizes}
        sent, descriptors = tuple(descriptors), ()
        # If it is dead already its end says so.
        with contextlib.suppress(ConnectionError):
            pipe.say(Said("server", values, body, sent))
        return process
    finally:
        theirs.close()
        pipe.close()
        close_all(descriptors)


def main(arguments: Sequence[str]) -> Never:
    """`python -m dispycos.node.spawned FD PARENT`; never returns."""
    descriptor, parent = map(int, arguments[:2])
    ties.die_with_parent(parent)

    def work(pipe: Pipe) -> int:
        said = pipe.hear()
        pipe.close()
        return 0 if said is None else server.main(_birth(said, parent))

    interpreter.run(descriptor, work)


def _birth(said: Said, parent: int) -> server.Birth:
    zygote, start = ZygoteStart.of(said.values["zygote"]), ServerStart.of(said.values["start"])
    (code,) = unpack(said.values["sizes"], said.body)
    assert code is not None
    output, control, page = said.descriptors
    os.chdir(zygote.path)
    sys.path.insert(0, zygote.path)
    namespace = ClientNamespace()
    try:
        namespace.load_components(code)
    except BaseException as exc:
        # They were loaded once by the zygote, so this is about the process, not about them.
        sys.exit(describe_failure("a component", exc))
    return server.Birth(zygote, start, namespace, parent, output, control, page)


if __name__ == "__main__":
    # Under its own name, not `__main__`: client code has a `__main__` of its own to refer to.
    from dispycos.node import spawned

    spawned.main(sys.argv[1:])
