"""DispycosNodeAllocate with the newest pycos's meaning of its numbers.

Layer 7. Row CO-07.
"""

from __future__ import annotations

from dispycos.client import allocation
from dispycos.messages import Rule


class DispycosNodeAllocate(allocation.DispycosNodeAllocate):
    """Accept nodes; see `dispycos.DispycosNodeAllocate`.

    cpus  servers: None: all; 0: the node is never used; N > 0 needs N and uses N; N < 0 uses
          all but that many.
    """

    def __init__(
        self,
        node: str,
        port: int | None = None,
        platform: str = "",
        cpus: int | None = None,
        memory: int | None = None,
        disk: int | None = None,
    ) -> None:
        super().__init__(node, port, platform, cpus, memory, disk)
        self._never = cpus == 0

    def allocate(
        self, ip_addr: str, name: str, platform: str, cpus: int, memory: int | None, disk: int | None
    ) -> int:
        """Servers to use of this node: > 0 so many, 0 none, < 0: ask the next rule."""
        found = super().allocate(ip_addr, name, platform, cpus, memory, disk)
        return 0 if found > 0 and self._never else found

    def rule(self, *, plain: bool = False) -> Rule:
        """This rule as data. The scheduler asks here only where data can't say it."""
        own = type(self).allocate is not DispycosNodeAllocate.allocate
        return super().rule(plain=plain or not (own or self._never))
