"""Dialling the other side: does somebody listen, is it dispycos, of our version, with our key?

Only the first record of the handshake is exchanged: no proof is sent and no session begins, so
the other side counts one connection that came to nothing.

I/O half. Layer 8. Rows GN-07, SE-13.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Sequence

from dispycos.doctor.finding import Finding, Level, good, note, wrong
from dispycos.doctor.plan import Plan
from dispycos.model import Incarnation, Location, Role
from dispycos.net.auth import Failed, Handshake, HandshakeState
from dispycos.net.tls import Tls, TlsFailed, TlsSocket
from dispycos.records import record

_SAME = "compare `dispycos key fingerprint` on both: give both the same key file or secret"


@record
class Dialled:
    """What was found at one place."""

    finding: Finding
    silent: bool = False  # nobody is there: no fault where somebody is at another port


def dial(plan: Plan, places: Sequence[tuple[str, int]]) -> list[Dialled]:
    """What is found at each of these places, all tried at the same time."""
    return asyncio.run(_dial(plan, places))


async def _dial(plan: Plan, places: Sequence[tuple[str, int]]) -> list[Dialled]:
    return list(await asyncio.gather(*(_one(plan, Location(*place)) for place in places)))


async def _one(plan: Plan, place: Location) -> Dialled:
    family = socket.AF_INET6 if ":" in place.addr else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(plan.within):
                await loop.sock_connect(sock, (place.addr, place.port))
        except TimeoutError:
            finding = wrong(
                "tcp",
                f"{place} does not answer at all in {plan.within:g} s: what is sent there is dropped",
                f"allow TCP port {place.port}, and those of the servers above it, in the firewall there and "
                "in between; or the machine is off",
            )
            return Dialled(finding, silent=True)
        except OSError as exc:
            return _not_connected(place, exc)
        try:
            async with asyncio.timeout(plan.within):
                return Dialled(await _greet(plan, place, sock))
        except TimeoutError:
            finding = wrong(
                "tcp",
                f"{place} takes the connection and says nothing in {plan.within:g} s: no dispycos that works",
                "see what listens there; a dispycos that is stopped or overloaded looks so, too",
            )
            return Dialled(finding)
        except OSError:
            return Dialled(_ended(place))


def _not_connected(place: Location, exc: OSError) -> Dialled:
    if exc.errno == errno.ECONNREFUSED:
        finding = wrong(
            "tcp",
            f"{place} refuses: the machine is there, and nobody listens at that port",
            "start dispycosnode or dispycos there; it may listen at another port (its first line tells), or "
            "a firewall refuses",
        )
        return Dialled(finding, silent=True)
    if exc.errno in (errno.EACCES, errno.EPERM):
        return Dialled(
            wrong("tcp", f"a firewall here or on the way forbids {place}", f"allow TCP port {place.port}")
        )
    finding = wrong(
        "tcp",
        f"{place} can't be reached: {exc.strerror or exc}",
        "there is no way there: look at its address, at the cables and at `ip route`",
    )
    return Dialled(finding)


async def _greet(plan: Plan, place: Location, sock: socket.socket) -> Finding:
    if plan.keyring is None:
        return good("tcp", f"{place} takes connections; without a key nothing more is seen")
    loop = asyncio.get_running_loop()
    stream: socket.socket | TlsSocket = sock
    if plan.certificates is not None:
        try:
            stream = await Tls(plan.certificates).connect(loop, sock, place, plan.within)
        except TlsFailed as exc:
            return wrong("tcp", f"{place}: {exc}", "start both with a certificate, or both without")
    handshake = Handshake(
        dialer=True,
        incarnation=Incarnation(os.urandom(16)),
        roles=Role.PEER,
        keyring=plan.keyring,
        nonce=os.urandom(32),
        tls_fingerprint=stream.fingerprint if isinstance(stream, TlsSocket) else None,
    )
    stream.sendmsg([handshake.opening()])
    while handshake.state is HandshakeState.HELLO:
        data = await _receive(stream)
        if not data:
            return _ended(place)
        _, end = handshake.received(data)
        if isinstance(end, Failed):
            return _failed(place, end)
    return good("tcp", f"{place} is dispycos, of a version that fits, and knows this key")


def _ended(place: Location) -> Finding:
    return wrong(
        "tcp",
        f"{place} ends the connection at once: it is no dispycos, speaks TLS, or has shut this "
        "address out for a minute after ten failures",
        "see what listens there; give the doctor the --certfile of this side if there is one",
    )


def _failed(place: Location, end: Failed) -> Finding:
    todo = {
        "authentication": _SAME,
        "version": "install the same release on both",
        "self": "it is this process",
    }.get(end.code, "see what listens there, and give the port of dispycos")
    return wrong("version" if end.code == "version" else "tcp", f"{place}: {end.text}", todo)


async def _receive(stream: socket.socket | TlsSocket) -> bytes:
    loop = asyncio.get_running_loop()
    buffer = bytearray(4096)
    while True:
        with contextlib.suppress(BlockingIOError):
            try:
                return bytes(buffer[: stream.recv_into(memoryview(buffer))])
            except ConnectionError:
                return b""
        ready = asyncio.Event()
        loop.add_reader(stream.fileno(), ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(stream.fileno())


def findings(plan: Plan, dialled: Sequence[Dialled]) -> list[Finding]:
    """What is to be said. Where several ports were tried one is enough: the silence of others is no fault."""
    met = plan.port is None and any(one.finding.level is Level.GOOD for one in dialled)
    return [
        note(one.finding.area, one.finding.found) if met and one.silent else one.finding for one in dialled
    ]
