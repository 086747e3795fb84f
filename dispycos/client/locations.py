"""Where a client's servers are, and what a program means by a place.

I/O half. Layer 5. Rows DC-17, DC-33.
"""

from __future__ import annotations

from dispycos.client.fleet import Fleet
from dispycos.client.members import Node, Server
from dispycos.model import Incarnation, Location


class Locations:
    """Those of one client's turn."""

    __slots__ = ("_fleet", "places")

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        # Servers that tasks were placed on; as many as were ever granted.
        self.places: dict[Incarnation, tuple[Incarnation, Location | None]] = {}

    def note(self, server: Server) -> None:
        """Tasks may be placed there from now on."""
        self.places[server.incarnation] = (server.incarnation, server.location)

    def name(self, server: Incarnation) -> str:
        """What people call it, also when it is gone."""
        place = self.places.get(server)
        return f"server {place[1]}" if place is not None else f"server {server[:4].hex()}"

    def server_at(self, where: Location | str) -> Server | None:
        """The server that a program means; None if it means none, or a node."""
        return self._fleet.find_server(where) if isinstance(where, Location) else None

    def nodes_at(self, where: Location | str) -> list[Node]:
        """The nodes that a program means; a name is looked up if it is none of ours."""
        fleet = self._fleet
        nodes = fleet.find_nodes(where)
        if not nodes and isinstance(where, str):
            try:
                nodes = fleet.find_nodes(Location(where, 0).addr)
            except ValueError:
                return []
        return nodes

    def servers_at(self, where: Location | str) -> set[Incarnation]:
        """The servers at one place, which is a server or a node."""
        server = self.server_at(where)
        if server is not None:
            return {server.incarnation}
        return {key for node in self.nodes_at(where) for key in node.servers}
