"""Where the monitor listens: addresses, the port, and what is wrong if it can't be had.

I/O half. Layer 7. Rows HT-01, HT-02, HT-05, MO-01, MO-02, SE-34.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from dataclasses import dataclass

from dispycos.net.listening import EVERYWHERE, as_typed, bound, holder

log = logging.getLogger("dispycos.monitor")

PORT = 8181  # the founding document's
LOOPBACK = "127.0.0.1"
BACKLOG = 128
MAX_LOOK = 200  # ports looked at for a free one


@dataclass(frozen=True, slots=True)
class Binding:
    """Listening sockets, and what they are called."""

    sockets: tuple[socket.socket, ...]
    scheme: str
    host: str  # as it stands in the printed address
    port: int
    names: tuple[str, ...]  # hosts under which requests may ask for it
    warning: str = ""  # what the user should know

    @property
    def url(self) -> str:
        """The address to open."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


def bind(host: str | None, port: int, scheme: str) -> Binding:
    """Listen at `host` (None: loopback; '' or 0.0.0.0: everywhere) and `port` (0: a free one).

    ValueError: the host is none of this machine's. OSError says who has the port, and which is free; or
    that the host stands for all addresses.
    """
    if host is not None and not isinstance(host, str):
        raise TypeError(f"host must be a string, not {host!r:.200}")
    addresses, shown, names = _addresses(host)
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                sock = _listen(address, port)
            except OSError as error:
                # Of localhost's two addresses the second may be missing: the first one is named then.
                if sockets and host == "localhost":
                    shown = addresses[0]
                    break
                raise _explained(error, address, port) from None
            sockets.append(sock)
            port = port or sock.getsockname()[1]
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    warning = ""
    if scheme == "http" and not all(_ip(address).is_loopback for address in addresses):
        warning = (
            f"the web monitor listens at {shown}:{port} for other machines without TLS: what is typed and "
            "shown there can be read on the network; certfile=... and keyfile=... prevent that"
        )
    return Binding(tuple(sockets), scheme, shown, port, names, warning)


def _addresses(host: str | None) -> tuple[list[str], str, tuple[str, ...]]:
    """Addresses to listen at, the one to show, and names that stand for them."""
    if host is None:
        return [LOOPBACK], LOOPBACK, ()
    if host == "localhost":
        found = [LOOPBACK, "::1"] if socket.has_ipv6 else [LOOPBACK]
        return found, "localhost", ()
    if host in ("", *EVERYWHERE):
        bound_to = [host] if host else list(EVERYWHERE if _has_ipv6() else EVERYWHERE[:1])
        # Of the families that are bound only: the socket of "::" takes no IPv4.
        families = {_ip(address).version for address in bound_to}
        own = [address for address in _own_addresses() if _ip(address).version in families]
        # A browser asks for one of the machine's addresses, not for what stands for all of them. It
        # can't ask for a link-local one, which means something with the name of an interface only.
        reached = [a for a in own if not (_ip(a).is_loopback or _ip(a).is_link_local)]
        reached.sort(key=lambda address: _ip(address).version)
        nowhere = "::1" if host == "::" else LOOPBACK
        names = (*own, socket.gethostname(), socket.getfqdn())
        return bound_to, next(iter(reached), nowhere), names
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ValueError(f"host {host!r} has no address: {error.strerror or error}") from None
    addresses = list(dict.fromkeys(as_typed(host, str(info[4][0])) for info in infos))
    return addresses, host, (host, *addresses)


def _own_addresses() -> list[str]:
    import psutil  # by those who ask: a scheduler without a monitor needs our port's number only

    found = []
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family in (socket.AF_INET, socket.AF_INET6):
                found.append(str(address.address).partition("%")[0])
    return found


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address.partition("%")[0])


def _listen(address: str, port: int) -> socket.socket:
    sock = bound(address, port, BACKLOG)
    sock.setblocking(False)
    return sock


def _explained(error: OSError, address: str, port: int) -> OSError:
    import errno

    if error.errno != errno.EADDRINUSE:
        why = f"can't listen at {address} port {port} for the web monitor: {error.strerror}"
        return OSError(error.errno, why)
    who = holder(address, port, "tcp")
    free = next_free(address, port + 1)
    hint = f"; port {free} is free" if free else ""
    return OSError(error.errno, f"port {port} at {address} is in use{f' by {who}' if who else ''}{hint}")


def next_free(address: str, port: int) -> int | None:
    """The first port from there on that can be listened at just now."""
    for candidate in range(port, min(port + MAX_LOOK, 65536)):
        try:
            _listen(address, candidate).close()
        except OSError:
            continue
        return candidate
    return None
