"""This machine: what it is called, what its container allows, who has the ports.

I/O half. Layer 8.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import platform
import socket
from collections.abc import Iterator

from dispycos import config
from dispycos.doctor.finding import Finding, good, note, wrong
from dispycos.doctor.plan import Plan
from dispycos.net import addresses
from dispycos.net import interfaces as net
from dispycos.node.processors import processors
from dispycos.wording import many

_FEW_FILES = 1024  # open ones: a client takes two or three for each server
_SMALL_QUOTA = 0.5  # of the processors seen


def versions() -> Finding:
    """What runs here."""
    return good(
        "version",
        f"dispycos {config.RELEASE}, wire {config.WIRE_VERSION_MIN} to {config.WIRE_VERSION}, "
        f"Python {platform.python_version()}, {platform.platform(terse=True)}",
    )


def names(plan: Plan) -> Iterator[Finding]:
    """What the names of this machine and of the other side stand for."""
    here = socket.gethostname()
    found = addresses_of(here)
    if not found:
        yield note("names", f"this machine's own name {here!r} can't be resolved", "others need its address")
    elif all(ipaddress.ip_address(address).is_loopback for address in found):
        yield note(
            "names",
            f"this machine's own name {here!r} stands for {', '.join(found)} in its hosts file: that leads "
            "nowhere but here",
            "use its address with --ip_addr and nodes=, not its name",
        )
    else:
        yield good("names", f"this machine is {here!r}, {', '.join(found)}")
    if not plan.name:
        return
    if not plan.addresses:
        yield wrong(
            "names", f"{plan.name!r} can't be resolved here", "give its address, or add it to the hosts file"
        )
        return
    own = {interface.address for interface in net.interfaces()}
    loopback = [one for one in plan.addresses if ipaddress.ip_address(one).is_loopback]
    if loopback and plan.name not in (*loopback, "localhost"):
        yield wrong(
            "names",
            f"{plan.name!r} stands for {', '.join(loopback)} here, which is this machine itself",
            "mend its line in the hosts file, or give its address",
        )
    elif set(plan.addresses) <= own:
        yield note("names", f"{plan.name!r} is this machine itself, {', '.join(plan.addresses)}")
    else:
        yield good("names", f"{plan.name!r} is {', '.join(plan.addresses)}")
    six = [one for one in own if ":" in one and not ipaddress.ip_address(one).is_loopback]
    if all(":" in address for address in plan.addresses) and not six:
        yield wrong(
            "names",
            f"{plan.name!r} has IPv6 addresses only, and this machine has none beyond loopback",
            "give its IPv4 address",
        )


def addresses_of(host: str) -> list[str]:
    """The numeric addresses of a name, each once; []: it has none here."""
    with contextlib.suppress(ValueError):
        return addresses.of_any_version(host)
    return []


def limits() -> Iterator[Finding]:
    """What a container or an account allows."""
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        yield note(
            "machine",
            "this is a container: unless it has the host's network, datagrams do not leave it and its "
            "addresses mean nothing outside",
            "start it with the host's network, or publish its ports and give --ext_ip_addr and --peer",
        )
    seen = os.cpu_count() or 1
    if processors() < seen * _SMALL_QUOTA:
        some = f"{processors()} of {many(seen, 'processor')}"
        yield note("machine", f"{some} may be used here: that many servers run")
    if os.name == "posix":
        import resource

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files < _FEW_FILES:
            yield note(
                "machine",
                f"{files} files may be open at a time: enough for some {files // 3} servers",
                f"ulimit -n {_FEW_FILES} before a client of more",
            )


def ports() -> Iterator[Finding]:
    """Who listens where a node and a scheduler would."""
    for number, what, option in (
        (config.DispycosNodePort, "node", "--tcp_ports"),
        (config.DispycosSchedulerPort, "scheduler", "--tcp_port"),
    ):
        owners = [owner for port, owner in _listening() if port == number]
        strange = [owner for owner in owners if "dispycos" not in owner]
        if strange:
            yield wrong(
                "ports",
                f"TCP port {number} of a {what} is taken by {', '.join(strange)}",
                f"end that, or start the {what} with {option}, and tell the others that port",
            )
        elif owners:
            yield good("ports", f"at TCP port {number} listens {', '.join(owners)}")
        else:
            yield note("ports", f"nobody listens at TCP port {number} here: no {what} runs with that port")


def _listening() -> list[tuple[int, str]]:
    """The ports that are listened at, and by whom; [] where the system does not tell."""
    found: list[tuple[int, str]] = []
    try:
        import psutil
    except ImportError:
        return found
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr:
                found.append((connection.laddr.port, _owner(connection.pid)))
    return list(dict.fromkeys(found))


def _owner(pid: int | None) -> str:
    if pid is None:
        return "a process of another account (it may be dispycos)"
    import psutil

    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return f"process {pid}"
    ours = any("dispycos" in word for word in words)
    return f"{'dispycos, ' if ours else ''}process {pid} ({os.path.basename(words[0]) if words else '?'})"
