"""Interfaces, and whether datagrams go through them: to ourselves, and to the others.

It speaks as `net.discovery` does, from the same addresses to the same port, and asks everybody
for their presence. Nobody dials because of it.

I/O half. Layer 8. Rows SE-28 to SE-31.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from dispycos import config
from dispycos.doctor.finding import Finding, good, note, wrong
from dispycos.doctor.plan import Plan
from dispycos.model import Incarnation, Role
from dispycos.net import interfaces as net
from dispycos.net.datagram import DATAGRAM_BYTES, DatagramKind, Dropped, Record, Watch
from dispycos.net.interfaces import Interface

_ALL = Role.CLIENT | Role.SCHEDULER | Role.NODE | Role.PEER
_ASK_AGAIN = 0.5  # seconds: a single datagram may be lost


@dataclass
class Heard:
    """What came of the questions."""

    answers: dict[str, Record] = field(default_factory=dict)  # by the address it came from
    strangers: set[str] = field(default_factory=set)  # whose datagrams have another key
    looped: set[str] = field(default_factory=set)  # our addresses whose own datagram was heard here
    failed: dict[str, str] = field(default_factory=dict)  # our addresses, and what the system said


def interfaces(plan: Plan) -> tuple[list[Interface], list[Finding]]:
    """The interfaces that discovery uses, and what is to be said of all."""
    every = net.interfaces()
    real = [one for one in every if not ipaddress.ip_address(one.address).is_loopback]
    if not real:
        return [one for one in every if ":" not in one.address], [
            wrong(
                "network",
                "this machine has no interface that is up but loopback: nobody else can be met",
                "connect it, or give the container a network",
            )
        ]
    used = [
        one
        for one in every
        if {one.address, "::"} & {*plan.hosts} or ("0.0.0.0" in plan.hosts and ":" not in one.address)
    ]
    alone = not any(one in real for one in used)  # by IPv6, too, others are met: by their names
    used = [one for one in used if ":" not in one.address]
    found = []
    for one in used:
        how = f"broadcast {one.broadcast}" if one.broadcast else "no broadcast"
        found.append(good("network", f"{one.name} {one.address}, {how}: used"))
        if not one.broadcast and not plan.multicast and one in real:
            found.append(
                note(
                    "network",
                    f"{one.name} has no broadcast address: nobody is found by UDP through it",
                    "--ipv4_udp_multicast on all machines, or name the others: --peer, nodes=",
                )
            )
    if alone:
        found.append(
            wrong(
                "network",
                f"processes here listen at {', '.join(plan.hosts) or 'nothing'} only: nobody else can be met",
                f"--ip_addr {real[0].address} for a node, host={real[0].address!r} for a program",
            )
        )
    for one in real:
        if one not in used and ":" not in one.address:
            found.append(
                note(
                    "network",
                    f"{one.name} {one.address} is not used: processes here listen at {', '.join(plan.hosts)}",
                    f"--ip_addr {one.address} if the others are on that network",
                )
            )
    return used, found


def loopback(used: list[Interface]) -> list[Interface]:
    """The interface by which processes of this machine find each other, if it is not among these."""
    every = (one for one in net.interfaces() if one.address == "127.0.0.1")
    return [one for one in every if one not in used]


def ask(plan: Plan, used: list[Interface]) -> Heard:
    """Ask everybody who is there, for `plan.within` seconds."""
    heard = Heard()
    assert plan.keyring is not None and plan.udp_port
    incarnation = Incarnation(os.urandom(16))
    watch = Watch(plan.keyring.discovery_keys, incarnation, config.Limits())
    with contextlib.ExitStack() as stack:
        speakers: dict[socket.socket, tuple[Interface, str]] = {}
        ears: dict[socket.socket, str] = {}
        for one in used:
            try:
                ear, speaker, target = _open(stack, one, plan)
            except OSError as exc:
                heard.failed[one.address] = exc.strerror or str(exc)
                continue
            speakers[speaker], ears[ear] = (one, target), one.address
        end, again = time.monotonic() + plan.within, 0.0
        while (now := time.monotonic()) < end and speakers:
            if now >= again:
                again = now + _ASK_AGAIN
                for speaker, (one, target) in speakers.items():
                    data = watch.seek(_record(incarnation, one.address), now)
                    try:
                        speaker.sendto(data, (target, plan.udp_port))
                    except OSError as exc:
                        heard.failed[one.address] = exc.strerror or str(exc)
            ready, _, _ = select.select([*speakers, *ears], [], [], max(0.0, min(again, end) - now))
            for sock in ready:
                _hear(sock, ears.get(sock, ""), watch, heard)
    return heard


def _open(
    stack: contextlib.ExitStack, one: Interface, plan: Plan
) -> tuple[socket.socket, socket.socket, str]:
    """An ear as every process has one, a speaker, and where it speaks to; as `net.discovery` does."""
    ear, speaker = (stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
    for sock in (ear, speaker):
        sock.setblocking(False)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    speaker.bind((one.address, 0))
    if not plan.multicast or ipaddress.ip_address(one.address).is_loopback:
        if not one.broadcast:
            raise OSError("the interface has no broadcast address")
        ear.bind((one.broadcast, plan.udp_port))
        return ear, speaker, one.broadcast
    group = config.IPV4_MULTICAST_GROUP
    own = socket.inet_aton(one.address)
    speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
    ear.bind((group, plan.udp_port))
    member = struct.pack("=4s4s", socket.inet_aton(group), own)
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    return ear, speaker, group


def _record(incarnation: Incarnation, address: str) -> Record:
    # It listens nowhere, so nobody tries to dial it.
    return Record(
        DatagramKind.SEEK, Role.PEER, _ALL, incarnation, 0, (address,), int(time.time()), os.urandom(16)
    )


def _hear(sock: socket.socket, ours: str, watch: Watch, heard: Heard) -> None:
    with contextlib.suppress(OSError):
        while True:
            data, (source, _) = sock.recvfrom(DATAGRAM_BYTES + 1)
            verdict = watch.received(data, source, time.monotonic(), time.time())
            if isinstance(verdict, Dropped):
                if verdict.reason == "self" and ours:
                    heard.looped.add(ours)
                elif verdict.reason == "key":
                    heard.strangers.add(source)
            elif verdict.record.kind is DatagramKind.HERE:
                heard.answers[source] = verdict.record


def to_ourselves(plan: Plan, used: list[Interface], heard: Heard) -> Iterator[Finding]:
    """Whether what is sent through each interface comes back to this machine."""
    for one in used:
        if one.address in heard.looped:
            yield good(
                "udp", f"what is sent to all through {one.name} arrives here at UDP port {plan.udp_port}"
            )
        elif one.address in heard.failed:
            yield wrong(
                "udp",
                f"nothing can be sent to all through {one.name} {one.address}: {heard.failed[one.address]}",
                f"a firewall or a route here forbids it: allow UDP port {plan.udp_port} out, or name the "
                "others: --peer, nodes=",
            )
        else:
            yield wrong(
                "udp",
                f"what is sent to all through {one.name} {one.address} does not even arrive on this machine "
                f"at UDP port {plan.udp_port}",
                f"a firewall here drops it: allow UDP port {plan.udp_port} in and out, or name the others: "
                "--peer, nodes=",
            )


def from_others(plan: Plan, heard: Heard, own: set[str]) -> Iterator[Finding]:
    """Who answered, and whether their clocks agree with ours."""
    for source, record in sorted(heard.answers.items()):
        roles = " and ".join(role.name.lower() for role in record.role if role.name)
        yield good("udp", f"{source} answers: a {roles}, at TCP port {record.port}")
        ahead = record.time - time.time()
        valid = config.Limits().datagram_valid
        if abs(ahead) > valid:
            yield wrong(
                "clock",
                f"the clock of {source} is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}: what it "
                f"says unasked is older than {valid:.0f} s by our clock, and is dropped",
                "set both clocks, by NTP for instance",
            )
    for source in sorted(heard.strangers - own):
        yield wrong("udp", f"{source} sends datagrams of another key", "give both the same key file")
    if not plan.name and not set(heard.answers) - own:
        yield note(
            "udp",
            f"no other machine answered at UDP port {plan.udp_port} in {plan.within:g} s",
            "run `dispycos doctor HOST` for one that should; broadcasts do not pass routers",
        )


def from_the_one(plan: Plan, heard: Heard, reached: bool, own: set[str]) -> Iterator[Finding]:
    """Whether the other side answered by UDP.

    reached  by TCP it did.
    own      the addresses of this machine: each of them may answer for it.
    """
    theirs = own if set(plan.addresses) & own else set(plan.addresses)
    if not plan.addresses or theirs & set(heard.answers):
        return
    text = f"no datagram of {plan.name} came back in {plan.within:g} s"
    if reached:
        yield wrong(
            "udp",
            f"{text}, though TCP reaches it",
            f"UDP port {plan.udp_port} is dropped by a firewall here or there, or {plan.name} is "
            f"beyond a router, or uses another --udp_port; without UDP name it: nodes=[{plan.name!r}], or "
            "there --peer",
        )
    else:
        yield note("udp", text)
