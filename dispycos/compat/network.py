"""Pycos as `import pycos.netpycos` has it: this process in a network, asked for in pycos's words.

I/O half. Layer 7. Rows CO-02, CO-03, CO-09.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any, Self

from dispycos import config, pycos
from dispycos import keyfile as keys
from dispycos.compat import systask
from dispycos.compat.local import at_exit
from dispycos.kernel import loop, operation
from dispycos.kernel.core import Kernel
from dispycos.kernel.receiver import Receiver
from dispycos.kernel.task import Task
from dispycos.model import Location
from dispycos.net import addresses, interfaces
from dispycos.runtime import runtime

log = logging.getLogger("dispycos")

_starting = threading.RLock()  # two threads may make the first task


class Pycos(pycos.Pycos):
    """This process as a peer of others; the arguments in the order of the newest pycos.

    tcp_port  None: `config.NetPort` if it is free, else any.
    node, ip_addr, ext_ip_addr  earlier names of host and ext_host.
    Other arguments mean what they mean in `dispycos.Pycos`.
    """

    def __new__(
        cls,
        udp_port: int | None = None,
        tcp_port: int | None = None,
        host: Any = None,
        ext_host: Any = None,
        socket_family: int | None = None,
        ipv4_udp_multicast: bool = False,
        name: str | None = None,
        discover_peers: bool = True,
        secret: str = "",
        certfile: str | None = None,
        keyfile: str | None = None,
        notifier: Any = None,
        dest_path: str | None = None,
        max_file_size: int | None = None,
        *,
        node: Any = None,
        ip_addr: Any = None,
        ext_ip_addr: Any = None,
    ) -> Self:
        if runtime.present is not None and isinstance(cls._instance, cls) and cls._instance.is_alive():
            return cls._instance  # there is one, and later arguments say nothing, as there
        if notifier is not None:
            log.warning("Pycos: notifier is ignored; asyncio waits for sockets here")
        chosen = {
            "udp_port": udp_port,
            "tcp_port": tcp_port,
            "host": _first(host, node, ip_addr),
            "ext_host": _first(ext_host, ext_ip_addr),
            "ipv4_udp_multicast": ipv4_udp_multicast or None,
            "name": name,
            "discover_peers": None if discover_peers else False,
            "secret": secret or None,
            "certfile": certfile,
            "keyfile": keyfile,
            "dest_path": dest_path,
            "max_file_size": max_file_size,
        }
        given = {name: value for name, value in chosen.items() if value is not None}
        if socket_family is not None and "host" not in given:
            given["host"] = addresses.default_address(socket_family)
        if secret and len(secret) < keys.MIN_SECRET_CHARS and "host" not in given:
            # Programs were written with secrets such as "test": others on this machine meet them.
            log.warning(
                "Pycos: the secret has fewer than %d characters, so this program listens on %s only",
                keys.MIN_SECRET_CHARS,
                addresses.LOOPBACK,
            )
            given["host"] = addresses.LOOPBACK
        if tcp_port is None and runtime.present is None and _is_free(int(config.NetPort), given.get("host")):
            given["tcp_port"] = int(config.NetPort)
            try:
                return super().__new__(cls, **given)
            except OSError as error:
                # Somebody was faster.
                log.debug("port %s is taken: %s", config.NetPort, error)
                del given["tcp_port"]
        return super().__new__(cls, **given)

    @classmethod
    def instance(cls, *args: Any, **kwargs: Any) -> Self:
        """The one object of this process, made with these arguments if there is none."""
        return cls(*args, **kwargs)

    @staticmethod
    def cur_task(scheduler: Any = None) -> Task | None:
        """The task that runs in this thread, or None."""
        return loop.current_task()

    def atexit(  # type: ignore[override]  # a method there
        self, priority: float, func: Callable[..., Any], *fargs: Any, **fkwargs: Any
    ) -> None:
        """Call `func` once when tasks have ended; higher priorities first."""
        at_exit(priority, func, *fargs, **fkwargs)

    def peer(  # type: ignore[override]  # a generator function: it may be a task's
        self,
        loc: Location | str,
        udp_port: int = 0,
        stream_send: bool = False,
        relay: bool = False,
        task: Task | None = None,
    ) -> Generator[Any, Any, int]:
        """Yield this, or run it as a task: 0 when connected with the process at `loc`, else -1."""
        reached: int = yield super().peer(loc, udp_port, stream_send, relay)
        return reached

    def drop_atexit(self, priority: float, func: Callable[..., Any]) -> None:  # type: ignore[override]
        """Take `atexit` back."""
        loop.default().drop_at_exit(func)

    @property
    def dest_path(self) -> str:
        """The folder below which files from others are stored; programs look into it before any came."""
        path = super().dest_path
        os.makedirs(path, 0o700, exist_ok=True)
        return path

    @dest_path.setter
    def dest_path(self, path: str | os.PathLike[str]) -> None:
        self._store_at(path)

    @staticmethod
    def host_ipaddr(host: str) -> str | None:
        """The numeric address of a host; None if it can't be resolved."""
        try:
            return Location(host, 0).addr
        except ValueError:
            return None

    @staticmethod
    def host_addrinfo(
        host: str | None = None, socket_family: int | None = None, ipv4_multicast: bool = False
    ) -> AddrInfo | None:
        """How `host` (None: this one) is reached; None if it can't be resolved."""
        try:
            address = addresses.default_address() if host is None else Location(host, 0).addr
        except ValueError:
            return None
        return AddrInfo(address, ipv4_multicast)


class AddrInfo:
    """One address of this machine, and where its broadcasts go."""

    def __init__(self, address: str, multicast: bool) -> None:
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.ip = address
        self.ifn = 0  # number of the interface; 0: unknown
        self.broadcast = config.IPV6_MULTICAST_GROUP if self.family == socket.AF_INET6 else "<broadcast>"
        self.netmask: str | None = None
        for interface in interfaces.interfaces():
            if interface.address == address and interface.broadcast:
                self.broadcast, self.ifn = interface.broadcast, interface.number
        if multicast and self.family == socket.AF_INET:
            self.broadcast = config.IPV4_MULTICAST_GROUP


def _is_free(port: int, host: Any) -> bool:
    """Whether this program could listen there; a secret is too dear to be read for a try."""
    try:
        for address in addresses.bind_addresses([host] if isinstance(host, str) else host or ()):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
                probe.listen(1)
    except (OSError, ValueError):
        return False  # what is wrong is told when it is meant
    return True


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def start_with_first_task() -> None:
    """From now on the first Task, Channel or search outside a task starts the network, too."""
    Receiver._default = staticmethod(_kernel)  # type: ignore[method-assign]  # as kernel.loop does


def _kernel() -> Kernel:
    # Inside a task there is a kernel, and whatever network its process is to have.
    found: Kernel | None = operation.kernel_threads.get(threading.get_ident())
    if found is not None and found is not systask.system_kernel():
        return found
    with _starting:
        Pycos.instance()
        return loop.default().kernel
