"""The node that stands while tests come and go: starting one for each of them cost more than the tests.

It is what a LocalCluster starts, with two servers. Each test finds it free, as each client of a
node does: no process, no file and no reservation of the last one is left, else that test failed.
A test that kills it, counts what it costs or wants it otherwise starts its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dispycos import LocalCluster, config
from dispycos.messages import NodeHere, RegisterAgain
from dispycos.model import Role
from dispycos.net.keys import keyring_of
from dispycos.node import ties
from dispycos.node.embedded import LocalNode, start_local_node
from dispycos.options import Options
from dispycos.runtime import runtime
from tests import helpers
from tests.process.nodes import Master

KEY = bytes(range(32))


class Standing:
    """A node, and a scheduler of ours that it tells whenever it becomes free."""

    def __init__(self) -> None:
        self._master = Master(KEY)
        helpers.lasting_connections.append(self._master.connections)
        self._node = self._start()

    def _start(self) -> LocalNode:
        reactor = self._master.reactor
        node = reactor.run(start_local_node(reactor, KEY, 2)).result(30)
        self._master.dial(node.location)
        # What it starts and ends meanwhile is its own; whether it does end is asked by `lent`.
        helpers.lasting.add(node.pid)
        return node

    @contextmanager
    def lent(self) -> Iterator[LocalNode]:
        """The node, for one test that leaves it as it was."""
        try:
            yield _Lent(self._node)
            self._wait_free(self._node)
        except BaseException:
            # Whatever happened to it: the next test does not pay for this one's faults.
            self._stop()
            self._node = self._start()
            raise

    def _wait_free(self, node: LocalNode) -> None:
        heard = len(self._master.all(NodeHere))
        self._master.say(node.incarnation, RegisterAgain("is it free?"))
        helpers.wait_until(
            lambda: any(here.reservation == 0 for here in self._master.all(NodeHere)[heard:]),
            what="the standing node to be free after this test",
        )
        assert ties.descendants(node.pid) == [], "a free node has no processes"

    def _stop(self) -> None:
        self._master.reactor.run(self._node.stop()).result(20)
        helpers.lasting.discard(self._node.pid)

    def close(self) -> None:
        self._stop()
        self._master.close()
        helpers.lasting_connections.remove(self._master.connections)


class _Lent(LocalNode):
    """The standing node as a LocalNode that does not end with its borrower."""

    def __init__(self, node: LocalNode) -> None:
        self._process, self._pipe, self._path = node._process, node._pipe, node._path
        self.location = node.location
        self.incarnation = node.incarnation

    async def stop(self) -> None:
        pass


class _OnStanding(LocalCluster):
    """A LocalCluster whose node stands already."""

    def __init__(self, node: LocalNode, **options: Any) -> None:
        super().__init__(2, **options)
        self._standing = node

    def _start_ahead(self) -> None:
        return None

    async def _start_node(self, network: object, number: int) -> LocalNode:
        return self._standing


@pytest.fixture(scope="session")
def standing() -> Iterator[Standing]:
    standing = Standing()
    yield standing
    standing.close()


@contextmanager
def cluster_on(node: LocalNode, **options: Any) -> Iterator[LocalCluster]:
    """What `with LocalCluster(2, **options) as cluster` is, on a node that stands."""
    roles = Role.PEER | Role.CLIENT | Role.SCHEDULER
    loopback = Options(hosts=("127.0.0.1",), roles=roles, limits=config.limits())
    network = runtime.network(loopback, keyring_of([KEY]))
    try:
        with _OnStanding(node, **options) as cluster:
            yield cluster
    finally:
        runtime.stop(network)
