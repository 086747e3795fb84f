"""Nodes that a program starts for itself: what a LocalCluster is made of.

The node is a process of its own, `python -m dispycos.node --inherit FD`. Over that descriptor,
one end of a socket pair, it is told its key and its settings, and says where it listens; when
the pair closes, by whatever end of the program, the node ends at once and removes its files.
The key is in no argument, no environment and no file (SE-06).

I/O half. Layer 5. Rows DC-59; rules SE-06, R-11.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
from collections.abc import Callable, Sequence

from dispycos.config import Limits
from dispycos.errors import DispycosError
from dispycos.launch import fate
from dispycos.model import Incarnation, Location
from dispycos.net.reactor import Reactor
from dispycos.net.tls import CertificateFiles
from dispycos.node import fresh, workspace
from dispycos.node.fresh import FreshNode
from dispycos.node.pipe import LoopPipe, Said

_START_WITHIN = 30.0  # seconds from the start of the process until it listens


class NodeNotStarted(DispycosError, OSError):
    """A node of this program could not be started; the text has its own words."""


class LocalNode:
    """One running node of this program."""

    _why_ended: str | None = None
    _told: Callable[[str], object] | None = None

    def __init__(self, process: subprocess.Popen[bytes], pipe: LoopPipe, path: str) -> None:
        self._process = process
        self._pipe = pipe
        self._path = path
        self.location: Location
        self.incarnation: Incarnation

    @property
    def pid(self) -> int:
        return self._process.pid

    def drain(self) -> None:
        """Have it take no new tasks, and end with its last one."""
        self._pipe.say(Said("drain", {}))

    def when_ended(self, told: Callable[[str], object]) -> None:
        """`told(reason)` is called once when it ends by itself, or now if it has."""
        self._told = told
        if self._why_ended is not None:
            told(self._why_ended)

    def ended(self, reason: str) -> None:
        """Its end of the pair is closed."""
        if self._why_ended is None:
            code = self._process.poll()
            self._why_ended = reason if code is None else f"it ended with exit code {code}"
            if self._told is not None:
                self._told(self._why_ended)

    @property
    def fate(self) -> str:
        """How its process ended, in words; "" while that is not known."""
        code = self._process.returncode
        return "" if code is None else fate.ended(code)

    @property
    def ended_in_order(self) -> bool:
        """It ended as it was asked to."""
        return self._process.returncode == 0

    async def stop(self) -> None:
        """End the node with all its processes, wait until they are gone. May be repeated."""
        self._pipe.close()
        if self._process.returncode is None:
            await asyncio.to_thread(fresh.await_end, self._process)
        try:
            await asyncio.to_thread(workspace.remove_local, self._path)
        except RuntimeError:
            # The program's second Ctrl-C: it starts no threads any more.
            workspace.remove_local(self._path)


async def start_local_node(
    reactor: Reactor,
    key: bytes,
    servers: int,
    *,
    name: str = "local",
    limits: Limits | None = None,
    hosts: Sequence[str] = ("127.0.0.1",),
    min_pulse: float = 0.1,
    max_pulse: float = 100.0,
    certificates: CertificateFiles | None = None,
    debug: bool = False,
    ahead: FreshNode | None = None,
) -> LocalNode:
    """Start a node on loopback with `servers` servers; reactor thread.

    key    32 bytes, of this program alone.
    ahead  its process, started already, and ended here if that fails; None: it is started now.
    NodeNotStarted says what the node said. Whoever gets the LocalNode stops it.
    """
    if ahead is None:
        try:
            ahead = fresh.start_node()
        except OSError as exc:
            raise NodeNotStarted(f"a node can't be started: {exc.strerror or exc}") from None
    try:
        path = await asyncio.to_thread(workspace.local_path)
    except BaseException:
        await asyncio.to_thread(ahead.end)
        raise
    started: asyncio.Future[Said] = reactor.loop.create_future()

    def heard(said: Said) -> None:
        if not started.done():
            started.set_result(said)

    def ended(reason: str) -> None:
        if started.done():
            node.ended(reason)
        heard(Said("failed", {"reason": f"the node's process ended before it listened ({reason})"}))

    node = LocalNode(ahead.process, LoopPipe(reactor.loop, ahead.pipe, heard, ended), path)
    values = {
        "key": key.hex(),
        "parent": os.getpid(),
        "servers": servers,
        "name": name,
        "hosts": list(hosts),
        "dest_path": path,
        "limits": dataclasses.asdict(limits) if limits else None,
        "certificates": dataclasses.asdict(certificates) if certificates else None,
        "min_pulse": min_pulse,
        "max_pulse": max_pulse,
        "debug": debug,
    }
    node._pipe.say(Said("start", values))
    try:
        async with asyncio.timeout(_START_WITHIN):
            said = await started
        if said.what != "ready":
            raise NodeNotStarted(f"a node of this program did not start: {said.text('reason')}")
        node.location = Location(said.text("addr"), said.number("port"))
        node.incarnation = Incarnation(bytes.fromhex(said.text("incarnation")))
    except TimeoutError:
        await node.stop()
        raise NodeNotStarted(f"a node of this program did not listen within {_START_WITHIN:g} s") from None
    except BaseException:
        await node.stop()
        raise
    return node
