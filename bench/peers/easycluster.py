"""EasyCluster, which the table names as not installed: its releases are for Python 2 only."""

from __future__ import annotations

from bench.peers.base import Peer as Base


class Peer(Base):
    name = "EasyCluster"
    module = "easycluster"

    @classmethod
    def installed(cls) -> bool:
        return False
