"""Discovery: finding other processes of the cluster by UDP, without any configuration.

`seek` asks everybody on the network for peers of some roles; who has one of them answers to
the asker alone. `announce` says unasked that this process is here. Either is a hint and
nothing more: it leads to at most one dial, at most five in a second, and what the dial finds
has to prove the key like everybody else (N9, SE-29).

Broadcast by default on IPv4, multicast if asked for; always multicast on IPv6. The loopback
interface is always among those used, so that processes of one host find each other without a
network. What is heard is judged by `net.datagram`, which is pure.

I/O half, reactor thread. Layer 4. SE-28 to SE-33.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from dispycos import config
from dispycos.model import MAX_ADDRESSES, Location, Role
from dispycos.net import datagram
from dispycos.net.datagram import DATAGRAM_BYTES, NONCE_BYTES, DatagramKind, Record, Watch
from dispycos.net.distortion import datagrams
from dispycos.net.endpoint import Endpoint
from dispycos.net.interfaces import Interface, interfaces
from dispycos.net.listening import holder

log = logging.getLogger("dispycos")

Hint = Callable[[Location, Role], None]

_AT_ONCE = 64  # datagrams read before other work gets a turn
_NOBODY = Role(0)
_HOPS = 1  # datagrams never leave the local network (SE-31)


class Discovery:
    """One process's ears and voice on UDP.

    on_hint  called with the location and roles of a process that is here and that this one
             has no session with; it decides whether to dial.
    """

    def __init__(self, endpoint: Endpoint, *, udp_port: int, multicast: bool, on_hint: Hint) -> None:
        """Listen on the shared UDP port. OSError if that can't be done on any interface.

        Where another program has it on some, that is logged.
        """
        self._endpoint = endpoint
        self.hidden = _NOBODY  # roles that are not answered for
        self._reactor = endpoint.reactor
        self._port = udp_port
        self._on_hint = on_hint
        self._watch = Watch(endpoint.keyring.discovery_keys, endpoint.incarnation, endpoint.limits)
        # Locations worth a dial that the limit of dials made wait; the oldest goes.
        self._hints: OrderedDict[Location, Role] = OrderedDict()
        self._pacer: asyncio.TimerHandle | None = None
        self.heard = datagrams(self._heard, self._reactor.loop.call_later, endpoint.name)
        self._channels: list[_Channel] = []
        self._closed = False
        failures = []
        taken = ""  # the address where it is another's
        for interface in self._interfaces():
            try:
                self._channels.append(_Channel(self, interface, udp_port, multicast))
            except OSError as exc:
                failures.append(f"{interface.name} {interface.address}: {exc.strerror or exc}")
                taken = interface.address if exc.errno == errno.EADDRINUSE else taken
        reason = "; ".join(failures) or "no interface is up"
        if taken:
            who = holder(taken, udp_port, "udp") or "another program"
            reason += f"; {who} shares it with nobody: end it, or give all programs another udp_port"
        text = f"can't use UDP port {udp_port} for discovery: {reason}"
        if not self._channels:
            raise OSError(errno.EADDRNOTAVAIL, text)
        if taken:
            log.warning("%s", text)
        self._broadcasts = {channel.interface.broadcast for channel in self._channels}

    def _interfaces(self) -> list[Interface]:
        """Those this process listens on, and loopback."""
        hosts = {location.addr for location in self._endpoint.listening}
        found = [
            interface
            for interface in interfaces()
            if interface.address in hosts
            or _is_loopback(interface.address)
            or ("::" if ":" in interface.address else "0.0.0.0") in hosts
        ]
        # One voice a network: several addresses of one interface in one subnet hear the same.
        unique = {(i.name, i.broadcast or (":" in i.address)): i for i in found}
        return list(unique.values())

    @property
    def where(self) -> str:
        """Where its datagrams go, for texts that say what was tried."""
        return ", ".join(
            f"{target[0]}:{target[1]} on {channel.interface.name}"
            for channel in self._channels
            for target in channel.targets
        )

    # Speaking.

    def seek(self, sought: Role) -> None:
        """Ask who has one of these roles."""
        record = self._record(DatagramKind.SEEK, sought)
        self._send_all(self._watch.seek(record, time.monotonic()))

    def announce(self) -> None:
        """Say that this process is here."""
        self._send_all(self._watch.here(self._record(DatagramKind.HERE)))

    def _send_all(self, data: bytes) -> None:
        for channel in self._channels:
            channel.send_all(data)

    def _record(self, kind: DatagramKind, sought: Role = _NOBODY, echo: bytes = bytes(NONCE_BYTES)) -> Record:
        location = self._endpoint.location
        claimed = [] if location is None else list(location.addresses)
        claimed += [where.addr for where in self._endpoint.listening]
        named = [address for address in dict.fromkeys(claimed) if not _is_any(address)]
        return Record(
            kind=kind,
            role=self._endpoint.roles,
            sought=sought,
            incarnation=self._endpoint.incarnation,
            port=0 if location is None else location.port,
            addresses=tuple(named[:MAX_ADDRESSES]),
            time=int(time.time()),
            nonce=os.urandom(NONCE_BYTES),
            echo=echo,
        )

    # Hearing.

    def _heard(self, channel: _Channel, data: bytes, source: tuple[str, int]) -> None:
        """A datagram came in; whatever is wrong with it, the answer is silence."""
        now = time.monotonic()
        verdict = self._watch.received(data, source[0], now, time.time())
        if isinstance(verdict, datagram.Dropped):
            if verdict.log:
                fingerprint = self._endpoint.keyring.own.fingerprint
                log.warning(
                    "%s sends datagrams of a cluster with another key; ours is %s", source[0], fingerprint
                )
            return
        record = verdict.record
        if record.kind is DatagramKind.SEEK:
            one_host = datagram.is_one_host(source[0], self._broadcasts)
            wanted = one_host and record.sought & self._endpoint.roles & ~self.hidden
            if wanted and self._watch.may_answer(source[0], now):
                answer = self._record(DatagramKind.HERE, echo=record.nonce)
                channel.answer(self._watch.here(answer), source)
        elif verdict.fresh and self._endpoint.peer(record.incarnation) is None:
            location = datagram.dial_address(
                record,
                source[0],
                self._endpoint.listening,
                broadcasts=self._broadcasts,
                low_ports=self._port < 1024,
            )
            if location is not None:
                self._hint(location, record.role)

    def _hint(self, location: Location, roles: Role) -> None:
        self._hints[location] = roles
        if len(self._hints) > self._endpoint.limits.max_datagram_sources:
            self._hints.popitem(last=False)
        if self._pacer is None:
            self._give_hints()

    def _give_hints(self) -> None:
        self._pacer = None
        while self._hints and self._watch.may_dial(time.monotonic()):
            location, roles = self._hints.popitem(last=False)
            if self._endpoint.peer_at(location, 0) is None:
                self._on_hint(location, roles)
        if self._hints and not self._closed:
            pause = 1.0 / self._endpoint.limits.max_dials_per_second
            self._pacer = self._reactor.loop.call_later(pause, self._give_hints)

    def close(self) -> None:
        """Close all sockets; may be repeated."""
        self._closed = True
        if self._pacer is not None:
            self._pacer.cancel()
            self._pacer = None
        for channel in self._channels:
            channel.close()
        self._channels = []


class _Channel:
    """One interface: a socket on the shared port that hears, and one of its own that speaks.

    What is sent comes from the interface's own address, because a host without a default
    route sends broadcasts from no other; answers come back to that socket alone.
    """

    def __init__(self, owner: Discovery, interface: Interface, port: int, multicast: bool) -> None:
        self._owner = owner
        self._loop = owner._reactor.loop
        self.interface = interface
        self.targets: list[tuple[str, int]] = []  # address and port, for texts
        self._groups: list[tuple[str, int] | tuple[str, int, int, int]] = []
        self._sockets: list[socket.socket] = []
        try:
            if ":" in interface.address:
                self._speaker = self._open_ipv6(port)
            else:
                self._speaker = self._open_ipv4(port, multicast)
            for sock in self._sockets:
                sock.setblocking(False)
                self._loop.add_reader(sock.fileno(), self._readable, sock)
        except BaseException:
            self.close()
            raise

    def _open_ipv4(self, port: int, multicast: bool) -> socket.socket:
        address, broadcast = self.interface.address, self.interface.broadcast
        speaker = self._socket(socket.AF_INET)
        speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _HOPS)
        speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        speaker.bind((address, 0))
        listener = self._shared(socket.AF_INET)
        # Loopback has no multicast; with multicast it still finds the processes of this host.
        if multicast and not _is_loopback(address):
            group = config.IPV4_MULTICAST_GROUP
            listener.bind((group, port))
            member = struct.pack("=4s4s", socket.inet_aton(group), socket.inet_aton(address))
            listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            target = group
        elif broadcast:
            # Bound to the broadcast address it hears broadcasts of this network and nothing else.
            listener.bind((broadcast, port))
            target = broadcast
        else:
            raise OSError(errno.EADDRNOTAVAIL, "the interface has no broadcast address")
        self._groups.append((target, port))
        self.targets.append((target, port))
        return speaker

    def _open_ipv6(self, port: int) -> socket.socket:
        group, index = config.IPV6_MULTICAST_GROUP, self.interface.number
        speaker = self._socket(socket.AF_INET6)
        speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
        speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        scope = index if ipaddress.ip_address(self.interface.address).is_link_local else 0
        speaker.bind((self.interface.address, 0, 0, scope))
        listener = self._shared(socket.AF_INET6)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((group, port, 0, index))
        member = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
        self._groups.append((group, port, 0, index))
        self.targets.append((f"[{group}]", port))
        return speaker

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        self._sockets.append(sock)
        return sock

    def _shared(self, family: socket.AddressFamily) -> socket.socket:
        """A socket on the port that all processes of this host share: each hears every datagram."""
        sock = self._socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return sock

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, source = sock.recvfrom(DATAGRAM_BYTES + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                log.debug("discovery on %s: %s", self.interface.name, exc)
                return
            self._owner.heard(self, data, (str(source[0]).partition("%")[0], source[1]))

    def send_all(self, data: bytes) -> None:
        """To everybody on this network."""
        for group in self._groups:
            self._send(data, group)

    def answer(self, data: bytes, source: tuple[str, int]) -> None:
        """To one process, and no more bytes than it sent."""
        index = self.interface.number
        link_local = ":" in source[0] and ipaddress.ip_address(source[0]).is_link_local
        self._send(data, (source[0], source[1], 0, index) if link_local else source)

    def _send(self, data: bytes, target: Sequence[object]) -> None:
        try:
            self._speaker.sendto(data, tuple(target))
        except OSError as exc:
            # A full queue or a cable that is out: discovery is a hint, the next one may arrive.
            log.debug("discovery on %s: can't send to %s: %s", self.interface.name, target[0], exc)

    def close(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError, ValueError):
                self._loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets = []


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _is_any(address: str) -> bool:
    return ipaddress.ip_address(address).is_unspecified
