"""Gateways: another Python, here or on another machine, that runs what it is sent."""

from __future__ import annotations

import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from dispycos.gateways import plain, wire
from dispycos.gateways.channel import Channel, elsewhere
from dispycos.gateways.exchange import Exchange
from dispycos.gateways.execmodel import ExecModel
from dispycos.gateways.order import Order
from dispycos.launch.launched import Launched
from dispycos.launch.spec import XSpec
from dispycos.model import Buffer

PATIENCE: Final = 1.0  # seconds for the last words of a gateway that exits


class Host(Protocol):
    """What a gateway needs of the group it belongs to."""

    @property
    def execmodel(self) -> ExecModel: ...

    def left(self, gateway: Gateway) -> None: ...
    def makegateway(self, spec: str | XSpec | None = None) -> Gateway: ...


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    """What a far end has to do."""

    numexecuting: int  # pieces of code that run there
    numchannels: int  # channels that are open there


class RInfo:
    """What a far end is: executable, version_info, platform, cwd, pid."""

    executable: str
    version_info: tuple[int | str, ...]
    platform: str
    cwd: str
    pid: int

    def __init__(self, facts: dict[str, Any]) -> None:
        vars(self).update(facts)

    def __repr__(self) -> str:
        return f"<RInfo {' '.join(f'{name}={value!r}' for name, value in vars(self).items())}>"


def _facts(channel: Any) -> None:
    import os
    import sys

    channel.send(
        {
            "executable": sys.executable,
            "version_info": tuple(sys.version_info),
            "platform": sys.platform,
            "cwd": os.getcwd(),
            "pid": os.getpid(),
        }
    )


class Gateway:
    """Opened by `Group.makegateway`, or as one of `gateways.kinds`. Any thread may call its methods."""

    def begin(self, group: Host, spec: XSpec, launched: Launched) -> None:
        """Take up the far end that was launched; once, before all else."""
        self.id: str = str(spec.id)
        self.spec = spec
        self._group = group
        self._launched = launched
        self._cache_rinfo: RInfo | None = None
        self._exchange = Exchange(
            self, launched.stream, launched.meeting, first=1, asked=self._asked, lost=self._lost
        )
        self._exchange.link.start(f"dispycos gateway {self.id}")

    def __repr__(self) -> str:
        state = self._exchange.link.over or "open"
        return f"<Gateway id={self.id!r} {self.spec} {state}>"

    @property
    def remoteaddress(self) -> str:
        """Of an ssh or socket gateway: what its specification names."""
        return self._launched.address

    def remote_exec(self, source: str | types.ModuleType | Callable[..., Any], **arguments: Any) -> Channel:
        """Run source text, a module or a function at the far end; answers at once.

        The code finds the other end of the channel as its global `channel`; a function gets it
        as its first argument, and `arguments`, plain values, as its others. What it raises
        arrives as RemoteError. ValueError for a function that depends on what is around it.
        """
        return self._send_order(wire.EXECUTE, Order.of(source, arguments))

    def run_aside(self, module: types.ModuleType) -> Channel:
        """Run a module of ours there, in a thread of its own: not counted among what the user runs."""
        return self._send_order(wire.ASIDE, Order.of(module, {}))

    def _send_order(self, kind: int, order: Order) -> Channel:
        channel = self.newchannel()
        data = plain.pack(order.fields(), self._exchange.number)
        self._exchange.link.send(wire.head(kind, channel.id), (data,))
        return channel

    def newchannel(self) -> Channel:
        """A channel that leads to the far end, once it is sent there."""
        return self._exchange.channel()

    def remote_status(self) -> Any:
        """Wait for what the far end has to do now, as a RemoteStatus; an Operation in tasks and asyncio."""
        channel = self.newchannel()
        self._exchange.link.send(wire.head(wire.STATUS, channel.id))
        return channel.receive_as(lambda status: RemoteStatus(**status))

    def _rinfo(self, update: bool = False) -> Any:
        """Wait for what the far end is, as an RInfo; an Operation in tasks and asyncio.

        update  ask again, though it is known.
        """
        if self._cache_rinfo is None or update or elsewhere():
            return self.remote_exec(_facts).receive_as(self._told)
        return self._cache_rinfo

    def _told(self, facts: dict[str, Any]) -> RInfo:
        self._cache_rinfo = RInfo(facts)
        return self._cache_rinfo

    @property
    def execmodel(self) -> ExecModel:
        """Of this end."""
        return self._group.execmodel

    def hasreceiver(self) -> bool:
        """Whether the far end is there."""
        return not self._exchange.link.over

    def remote_init_threads(self, num: int | None = None) -> None:
        """Nothing to do: threads are made as they are needed."""

    @property
    def _channelfactory(self) -> Exchange:
        return self._exchange

    def _asked(self, kind: int, channel: Channel, tail: Buffer) -> None:
        # The far end runs code for us, never the other way round.
        channel.finish("the near end of a gateway runs nothing")

    def _lost(self, reason: str) -> None:
        self._group.left(self)

    # Ending.

    def exit(self, patience: float = PATIENCE) -> None:
        """Tell the far end to end, behind all that was sent. May be repeated.

        patience  seconds for that to be taken by the far end; then it finds the stream ended.
        """
        self._group.left(self)
        self._exchange.exit(patience)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the far end is gone; False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._exchange.link.join(timeout):
            return False
        return self._launched.wait(None if deadline is None else max(deadline - time.monotonic(), 0.0))

    def wait_gone(self, timeout: float) -> bool:
        """Wait until the far end's process is gone, whatever is left to be taken of what it sent."""
        return self._launched.wait(timeout)

    def kill(self) -> None:
        """End the far end at once."""
        self._launched.kill()
