"""Which nodes a client may use, and how many servers of each: `DispycosNodeAllocate`.

A plain rule travels to the scheduler as data (`messages.Rule`) and is judged there; a
subclass with its own `allocate` is asked here, in the client's process (S5).

Rows DC-05, ST-11 to ST-13. Layer 5.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
from collections.abc import Iterable
from typing import Any, Never

from dispycos import arguments, config
from dispycos.guidance import hints
from dispycos.messages import Avail, NodeFacts, Rule
from dispycos.model import Incarnation, Location
from dispycos.net import addresses
from dispycos.scheduler import allocate as rules

log = logging.getLogger("dispycos")


class DispycosNodeAllocate:
    """Accept nodes by address, platform and what they have to spare.

    node      host name (resolved here), IP address, or pattern with `*`.
    port      where a node named without `*` is contacted; None: `config.DispycosNodePort`.
    platform  regular expression, searched in the node's `platform.platform()` without case.
    cpus      servers: N > 0 needs N and uses N; N < 0 uses all but that many; 0: all.
    memory, disk  bytes the node must have free; 0: any.

    Subclasses may replace `allocate`; it then runs in the program that made the object.
    """

    def __init__(
        self,
        node: str,
        port: int | None = None,
        platform: str = "",
        cpus: int | None = 0,
        memory: int | None = 0,
        disk: int | None = 0,
        **unknown: Never,
    ) -> None:
        hints.refuse(type(self), unknown)
        self.name = _name(node)
        self.port = arguments.port("port", config.DispycosNodePort if port is None else port, least=1)
        self.ip_addr = _address(node)
        self.platform = _expression(platform)
        self.cpus = 0 if cpus is None else arguments.integer("cpus", cpus)
        self.memory = 0 if memory is None else arguments.integer("memory", memory, least=0)
        self.disk = 0 if disk is None else arguments.integer("disk", disk, least=0)

    def allocate(
        self, ip_addr: str, name: str, platform: str, cpus: int, memory: int | None, disk: int | None
    ) -> int:
        """Servers to use of this node: > 0 so many, 0 none, < 0: ask the next rule."""
        return rules.judge(
            self.rule(plain=True), _facts(ip_addr, self.port, name, platform, cpus, memory, disk)
        )

    def rule(self, *, plain: bool = False) -> Rule:
        """This rule as data; `plain` without the question whether a subclass decides."""
        asks = not plain and type(self).allocate is not DispycosNodeAllocate.allocate
        return Rule(self.ip_addr, self.port, self.platform, self.cpus, self.memory, self.disk, asks)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def allocations(nodes: Iterable[Any]) -> list[DispycosNodeAllocate]:
    """The `nodes` of a client as rules; names that can't be resolved are left out with a warning."""
    if isinstance(nodes, (str, bytes)) or not isinstance(nodes, Iterable):
        raise TypeError(f"nodes must be a list of names and DispycosNodeAllocate, not {nodes!r}")
    found = []
    for node in nodes:
        if isinstance(node, str):
            try:
                found += _rules(node)
            except ValueError as error:
                log.warning("nodes: %r is left out: %s", node, error)
        else:
            found.append(checked(node))
    return found


def _rules(node: str) -> list[DispycosNodeAllocate]:
    """A rule for each address that a name stands for."""
    first = DispycosNodeAllocate(node)
    if first.ip_addr == node.strip("[]"):
        return [first]
    # The first was found a moment ago: whatever happens to the others, it stands.
    with contextlib.suppress(ValueError):
        others = [address for address in addresses.all_of(node) if address != first.ip_addr]
        return [first, *map(DispycosNodeAllocate, others)]
    return [first]


def checked(allocation: Any) -> DispycosNodeAllocate:
    """One rule, given as name or object; TypeError for anything else (DC-36)."""
    if isinstance(allocation, str):
        return DispycosNodeAllocate(allocation)
    if isinstance(allocation, DispycosNodeAllocate):
        return allocation
    raise TypeError(f"a node rule must be a string or DispycosNodeAllocate, not {allocation!r}")


def ask(allocation: DispycosNodeAllocate, facts: NodeFacts) -> int | None:
    """What the rule's own `allocate` says of a node; None if it failed (ST-13)."""
    avail = facts.avail
    try:
        answer = allocation.allocate(
            facts.location.addr, facts.name, facts.platform, facts.cpus, avail.memory, avail.disk
        )
    except Exception:
        log.exception("allocate of %r failed for node %s at %s", allocation, facts.name, facts.location)
        return None
    if isinstance(answer, bool) or not isinstance(answer, int):
        log.error("allocate of %r gave %r for node %s, not a number", allocation, answer, facts.location)
        return None
    return answer


def _name(node: Any) -> str:
    if not isinstance(node, str) or not node:
        raise ValueError(f"node must be a host name, an IP address or a pattern, not {node!r}")
    return node


def _expression(platform: Any) -> str:
    pattern = arguments.text("platform", platform)
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"platform {pattern!r} is no regular expression: {error}") from None
    return pattern


def _address(node: str) -> str:
    if "*" in node:
        return node
    try:
        return str(ipaddress.ip_address(node.strip("[]")))
    except ValueError:
        return Location(node, 0).addr


def _facts(
    ip_addr: str, port: int, name: str, platform: str, cpus: int, memory: int | None, disk: int | None
) -> NodeFacts:
    avail = Avail(memory=memory, disk=disk)
    return NodeFacts(Incarnation(b""), Location(ip_addr, port), name, platform, "", cpus, avail)
