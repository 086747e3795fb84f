"""Presence: telling parts of a client which servers may be used, and which come and go.

I/O half. Layer 5. Row DC-65.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from dispycos.client.members import Server
from dispycos.client.submission import Submission
from dispycos.model import Incarnation, Location


class Place(NamedTuple):
    """A server that may be used."""

    server: Incarnation
    location: Location
    node: Incarnation
    node_location: Location


class Host(Protocol):
    """Who wants to know; all but `first` and `gone` is called on the kernel's thread."""

    def first(self, place: Place) -> Submission | None:
        """A server is about to be used: what it is to do before all else. Any thread, which must not wait."""

    def came(self, place: Place) -> None:
        """A server is used that was there before; it may be told of more than once."""

    def gone(self, server: Incarnation) -> None:
        """Its process has ended, or is given up; any thread, which must not wait. May be told twice."""

    def no_servers(self, reason: str) -> None:
        """Nobody is there, and nobody comes for who waits: `reason` says why."""

    def stopped(self) -> None:
        """The client is closed, and nobody else comes."""


class Presence:
    """Those who want to know.

    post      calls a function on the kernel's thread.
    present   the servers that may be used now.
    """

    def __init__(self, post: Callable[..., object], present: Callable[[], Iterable[Server]]) -> None:
        self._post = post
        self._present = present
        self._hosts: list[Host] = []  # as many as the program asked for
        self._hopeless = ""  # why no server will come; "": one may
        self._stopped = False

    def tell(self, host: Host) -> None:
        """Tell it of the servers there are, and from now on of the others; any thread."""
        # First, so that no server comes between: one of which it hears twice does no harm.
        self._hosts.append(host)
        self._post(self._tell_of_all, host)

    def _tell_of_all(self, host: Host) -> None:
        for server in self._present():
            host.came(_place(server))
        if self._stopped:
            host.stopped()
        elif self._hopeless:
            host.no_servers(self._hopeless)

    def came(self, server: Server) -> list[Submission]:
        """What it is to do first, in the order in which that was asked for; any thread."""
        first = [host.first(_place(server)) for host in self._hosts]
        return [task for task in first if task is not None]

    def gone(self, server: Incarnation) -> None:
        """Any thread."""
        for host in self._hosts:
            # At once, for its successor may come before the kernel's thread looks; and once more behind
            # a `came` that is under way there.
            host.gone(server)
            self._post(host.gone, server)

    def no_servers(self, reason: str, lasting: bool) -> None:
        """Nobody is there and nobody comes for who waits, or ever if `lasting`, and why; "": somebody may.

        Any thread.
        """
        self._hopeless = reason if lasting else ""
        if reason:
            for host in self._hosts:
                self._post(host.no_servers, reason)

    def stop(self) -> None:
        """The client is closed; any thread."""
        self._stopped = True
        hosts, self._hosts = self._hosts, []
        for host in hosts:
            self._post(host.stopped)


def _place(server: Server) -> Place:
    return Place(server.incarnation, server.location, server.node.incarnation, server.node.location)
