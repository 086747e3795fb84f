"""Several hosts on this machine: one network namespace each, on one switch (R-59).

    with Network(3) as network:
        a, b, c = network.hosts
        code, out, err = a.run(["ip", "route"])
        with b.start([sys.executable, "-m", "dispycos.node.cli"]) as node:
            node.wait_line("ready")
            network.cut(b)               # its cable is out
            network.heal(b)
            network.cut_one_way(a, b)    # what a sends to b is lost, b still reaches a
            network.heal_one_way(a, b)

The switch is a bridge in a namespace of its own, so nothing of this machine's network is
touched, and runs beside each other don't see each other. No host has a default route: an
unbound datagram to 255.255.255.255 gets ENETUNREACH, as on many isolated networks.

Root makes the namespaces directly; others inside a user namespace, where the system allows it
(R-60). Delay and loss are not the kernel's business here: put a relay process between.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from tests import helpers
from tests.helpers import Finished, Program

# `ip` lies where the path of a plain user may not reach.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

_numbers = itertools.count()


class Unavailable(Exception):
    """This machine makes no network namespaces for us; the text is the system's."""


class Host:
    """One machine on the network: its interface is `e0`."""

    def __init__(self, network: Network, number: int) -> None:
        self.network = network
        self.number = number
        self.namespace = f"{network.name}-h{number}"
        self.address = f"10.99.0.{number}"  # /24, broadcast 10.99.0.255
        self.address6 = f"fd99::{number:x}"  # /64; missing where the kernel has no IPv6
        self.prefix = network.inside(self.namespace)  # put before a command to run it here

    def run(
        self,
        command: Sequence[str],
        *,
        timeout: float = 30.0,
        env: Mapping[str, str | None] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        input: str = "",
    ) -> Finished:
        """Run a command here to its end."""
        return helpers.run_program([*self.prefix, *command], timeout=timeout, env=env, cwd=cwd, input=input)

    def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> AbstractContextManager[Program]:
        """Run a command here beside the test; see `helpers.background`."""
        return helpers.background(command, env=env, cwd=cwd, prefix=self.prefix)

    def ip(self, *arguments: str) -> str:
        """Run `ip` with these arguments, for this host's network."""
        return self.network.ip("-n", self.namespace, *arguments)

    def __repr__(self) -> str:
        return f"<host {self.number} {self.address}>"


class Network:
    """Hosts on one switch. A context manager: entering makes it, leaving removes all of it.

    Unavailable if this machine does not allow it.
    """

    def __init__(self, hosts: int) -> None:
        # The pid makes the name ours, and tells later runs whose left-overs they may remove.
        self.name = f"dispycos-{os.getpid()}-{next(_numbers)}"
        self._count = hosts
        self._outer: list[str] = []
        self._holder: subprocess.Popen[bytes] | None = None
        self._made: list[str] = []
        self.hosts: list[Host] = []

    def __enter__(self) -> Network:
        try:
            self._enter_user_namespace_unless_root()
            _remove_stale(self)
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process on the hosts and remove the namespaces. May be repeated."""
        while self._made:
            _remove(self, self._made.pop())
        if self._holder:
            self._holder.kill()
            self._holder.communicate()
            self._holder = None

    # Faults.

    def cut(self, host: Host) -> None:
        """Pull the host's cable: nothing passes in either direction."""
        self._port(host, "down")

    def heal(self, host: Host) -> None:
        """Put the cable back."""
        self._port(host, "up")
        self._wait_up(host)

    def cut_one_way(self, source: Host, target: Host) -> None:
        """Lose what `source` sends to `target`; its sends fail at once with EINVAL or are dropped."""
        source.ip("route", "add", "blackhole", f"{target.address}/32")

    def heal_one_way(self, source: Host, target: Host) -> None:
        source.ip("route", "del", "blackhole", f"{target.address}/32")

    # Making.

    def ip(self, *arguments: str) -> str:
        """Run `ip`; Unavailable with its words if it fails."""
        return self._do(["ip", *arguments])

    def inside(self, namespace: str) -> list[str]:
        """What runs the command that follows it in a namespace. It execs: the pid is the command's."""
        return [*self._outer, "nsenter", f"--net=/run/netns/{namespace}", "--"]

    def _make(self) -> None:
        switch = f"{self.name}-sw"
        self._add(switch)
        self.ip("-n", switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self.ip("-n", switch, "link", "set", "br0", "up")
        for number in range(1, self._count + 1):
            host = Host(self, number)
            self._add(host.namespace)
            port = f"v{number}"
            self.ip(
                *("link", "add", port, "netns", switch, "type", "veth"),
                *("peer", "name", "e0", "netns", host.namespace),
            )
            self.ip("-n", switch, "link", "set", port, "master", "br0", "up")
            host.ip("addr", "add", f"{host.address}/24", "brd", "+", "dev", "e0")
            with contextlib.suppress(Unavailable):  # a kernel without IPv6
                host.ip("addr", "add", f"{host.address6}/64", "dev", "e0", "nodad")
            host.ip("link", "set", "e0", "up")
            host.ip("link", "set", "lo", "up")
            self.hosts.append(host)
        for host in self.hosts:
            self._wait_up(host)

    def _add(self, namespace: str) -> None:
        self.ip("netns", "add", namespace)
        self._made.append(namespace)

    def _port(self, host: Host, state: str) -> None:
        self.ip("-n", f"{self.name}-sw", "link", "set", f"v{host.number}", state)

    def _wait_up(self, host: Host) -> None:
        def up() -> bool:
            return json.loads(host.ip("-json", "link", "show", "e0"))[0]["operstate"] == "UP"

        helpers.wait_until(up, 5, f"the link of {host!r}")

    def _do(self, command: Sequence[str]) -> str:
        env = {**os.environ, "PATH": _PATH}
        try:
            done = subprocess.run(
                [*self._outer, *command], capture_output=True, text=True, env=env, timeout=20
            )
        except FileNotFoundError as exc:
            raise Unavailable(f"{exc.filename}: {exc.strerror}") from None
        if done.returncode:
            # Without our number, so that equal reasons are counted as one.
            text = f"{' '.join(command)}: {done.stderr.strip()}"
            raise Unavailable(text.replace(self.name, "dispycos"))
        return done.stdout

    def _enter_user_namespace_unless_root(self) -> None:
        if os.geteuid() == 0:
            return
        # A process that holds the user, mount and network namespace open; /run is its own.
        program = "mount -t tmpfs none /run && mkdir /run/netns && echo made && exec cat"
        if not shutil.which("unshare"):
            raise Unavailable("not root, and unshare is not installed")
        self._holder = subprocess.Popen(
            ["unshare", "-Urnm", "sh", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PATH": _PATH},
        )
        assert self._holder.stdout
        if self._holder.stdout.readline() != b"made\n":
            _, err = self._holder.communicate()
            raise Unavailable(f"not root, and no user namespace: {err.decode().strip()}")
        pid = str(self._holder.pid)
        self._outer = ["nsenter", "--preserve-credentials", "-t", pid, "-U", "-m", "-n", "--"]


def _remove(network: Network, namespace: str) -> None:
    with contextlib.suppress(Unavailable):
        for pid in network.ip("netns", "pids", namespace).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    with contextlib.suppress(Unavailable):
        network.ip("netns", "del", namespace)


def _remove_stale(network: Network) -> None:
    """Remove what runs left behind that were killed."""
    for name in _names(network.ip("netns", "list")):
        if not helpers.alive(int(name.split("-")[1])):
            _remove(network, name)


def _names(listing: str) -> Iterator[str]:
    for line in listing.splitlines():
        name = line.split()[0]
        if name.startswith("dispycos-") and name.split("-")[1].isdigit():
            yield name
