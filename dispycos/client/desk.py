"""The desk: where a program's orders about its nodes and servers are taken and answered.

The part of the fleet that knows what users mean: places by address, Location or incarnation.
Each order is answered once; one about something unknown by -1 (DC-24 to DC-38).

Pure. Rules R-09, R-13, R-47. Rows DC-24 to DC-32, DC-37, DC-38.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispycos.client import orders as o
from dispycos.client.crew import CrewPlan
from dispycos.client.holdings import Holdings
from dispycos.client.members import Node, NodeState, Server, ServerState
from dispycos.client.turn import Turn
from dispycos.events import Action
from dispycos.model import Incarnation, Location


class Desk:
    """Takes the orders that `orders` names, by type."""

    def __init__(self, holdings: Holdings, turn: Turn, plan: CrewPlan) -> None:
        self._holdings = holdings
        self._crew = holdings.crew
        self._turn = turn
        self._plan = plan
        self.orders: dict[type[Any], Callable[[Any, float, list[Action]], None]] = {
            o.EnableNode: self._enable_node,
            o.EnableServer: self._enable_server,
            o.Suspend: self._suspend,
            o.Resume: self._suspend,
            o.CloseOneServer: self._close_one_server,
            o.ForceServer: self._force_server,
            o.CloseNode: self._close_nodes,
            o.RestartOneNode: self._restart_nodes,
            o.AbandonZombie: self._abandon_zombie,
            o.FilesSent: holdings.files_sent,
        }

    def find_nodes(self, where: o.Where) -> list[Node]:
        """The nodes that `where` means; [] if it is unknown."""
        if where is None:
            return list(self._holdings.nodes.values())
        if isinstance(where, bytes):
            node = self._holdings.nodes.get(Incarnation(where))
            return [node] if node else []
        if isinstance(where, Location):
            return [node for node in self._holdings.nodes.values() if node.location.includes(where)]
        return [
            node
            for node in self._holdings.nodes.values()
            if where in node.location.addresses or where == str(node.location)
        ]

    def find_server(self, where: o.Where) -> Server | None:
        """The server that `where` means: a Location or an incarnation."""
        if isinstance(where, Location):
            return self._crew.at.get(where)
        return self._crew.servers.get(Incarnation(where)) if isinstance(where, bytes) else None

    def _unknown(self, event: Any, out: list[Action]) -> None:
        out.append(o.Answered(event.ticket, -1, f"nothing is known of {event.where!r}"))

    def _enable_node(self, event: o.EnableNode, now: float, out: list[Action]) -> None:
        waiting = [node for node in self.find_nodes(event.where) if self._waits_for_enable(node)]
        for node in waiting:
            self._holdings.enable(node, event.setup, out)
        if waiting:
            out.append(o.Answered(event.ticket, 0))
        else:
            text = f"no node at {event.where!r} waits to be enabled"
            out.append(o.Answered(event.ticket, -1, text))

    def _waits_for_enable(self, node: Node) -> bool:
        if node.state is NodeState.FAILED:
            return True
        return node.state is NodeState.DISCOVERED and not node.enabled

    def _enable_server(self, event: o.EnableServer, now: float, out: list[Action]) -> None:
        server = self.find_server(event.where)
        if server is None:
            self._unknown(event, out)
        elif self._crew.enable(server, event.setup, out):
            out.append(o.Answered(event.ticket, 0))
        else:
            out.append(o.Answered(event.ticket, -1, f"server {server.location} does not wait to be enabled"))

    def _suspend(self, event: o.Suspend | o.Resume, now: float, out: list[Action]) -> None:
        suspended = isinstance(event, o.Suspend)
        if event.node:
            nodes = self.find_nodes(event.where)
            for node in nodes:
                node.suspended = suspended
                if not suspended:
                    for server in node.servers.values():
                        server.suspended = False
                self._holdings.refresh(node, out)
            known = bool(nodes)
        else:
            found = self.find_server(event.where)
            if found is not None:
                found.suspended = suspended
                self._crew.refresh(found, out)
            known = found is not None
        if known:
            out.append(o.Answered(event.ticket, 0))
        else:
            self._unknown(event, out)

    def _close_one_server(self, event: o.CloseOneServer, now: float, out: list[Action]) -> None:
        server = self.find_server(event.where)
        if server is None:
            self._unknown(event, out)
            return
        restart = event.restart or self._plan.restart
        self._crew.close(server, event.terminate, restart, "the client closed it", now, out, event.ticket)

    def _force_server(self, event: o.ForceServer, now: float, out: list[Action]) -> None:
        server = self._crew.servers.get(event.server)
        if server is not None and server.state is not ServerState.ENDING:
            restart = server.restart if server.state is ServerState.CLOSING else True
            self._crew.end(server, 0.0, restart, event.reason, now, out)

    def _close_nodes(self, event: o.CloseNode, now: float, out: list[Action]) -> None:
        nodes = self.find_nodes(event.where)
        if not nodes:
            self._unknown(event, out)
            return
        # One answer for all of them: it hangs on the last.
        for node in nodes[:-1]:
            self._holdings.close(node, event.terminate, "the client closed it", now, out)
        self._holdings.close(nodes[-1], event.terminate, "the client closed it", now, out, event.ticket)

    def _restart_nodes(self, event: o.RestartOneNode, now: float, out: list[Action]) -> None:
        ready = (NodeState.INITIALIZED, NodeState.FAILED)
        nodes = [node for node in self.find_nodes(event.where) if node.state in ready]
        if not nodes:
            self._unknown(event, out)
            return
        nodes[-1].tickets.append(event.ticket)
        for node in nodes:
            if event.setup is not None:
                node.setup = event.setup
                node.renew_setup = True
            if node.state is NodeState.FAILED:
                self._holdings.enable(node, node.setup, out)
                continue
            node.move("restart")
            for server in list(node.servers.values()):
                self._crew.close(server, event.terminate, False, "its node is restarted", now, out)
            if not node.servers:
                self._holdings.restart_if_empty(node, out)

    def _abandon_zombie(self, event: o.AbandonZombie, now: float, out: list[Action]) -> None:
        nodes = self.find_nodes(event.where)
        if event.where is None:
            self._turn.abandon = event.flag
        elif not nodes:
            out.append(o.Answered(event.ticket, -1, f"no node at {event.where!r}"))
            return
        for node in nodes:
            node.abandon = event.flag
            if event.flag and node.silent:
                self._holdings.abandon(node, now, out)
        out.append(o.Answered(event.ticket, 0))

    # The end of a node.
