"""Peers that are named, by address and by names that stand for others later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dispycos import config, keyfile
from dispycos.model import Location, Role
from dispycos.net import addresses, named
from dispycos.net.endpoint import Endpoint
from dispycos.net.named import NamedPeers
from dispycos.net.reactor import Reactor

LIMIT = 20.0  # seconds for what should take one
A, B = Location("127.0.0.1", 1), Location("127.0.0.2", 1)  # where nobody listens


def met(main: Callable[[Endpoint, NamedPeers], Awaitable[None]]) -> None:
    """Run `main` with peers of an endpoint that listens nowhere."""

    async def run() -> None:
        endpoint = Endpoint(
            Reactor.running(),
            roles=Role.PEER,
            keyring=keyfile.throwaway(),
            limits=config.limits(),
            name="x",
        )
        try:
            async with asyncio.timeout(LIMIT):
                await main(endpoint, NamedPeers(endpoint))
        finally:
            await endpoint.close()

    asyncio.run(run())


def test_a_name_takes_away_what_it_brought_only_and_a_close_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[str] = []
    monkeypatch.setattr(addresses, "all_of", lambda host: list(found))
    monkeypatch.setattr(named, "_LOOK_SOON", 0.01)

    async def main(endpoint: Endpoint, peers: NamedPeers) -> None:
        def dialled() -> set[Location]:
            return {one for one in (A, B) if endpoint.dialling(one) is not None}

        peers.add(A)
        peers.add_host("head", 1)
        for others in ({A, B}, {A}, {B}):
            found[:] = [one.addr for one in others]
            while peers._bearers.get(("head", 1)) != others:  # noqa: ASYNC110  # nothing tells of a look
                await asyncio.sleep(0.001)
            assert dialled() == {A} | others
        peers.add(B)
        peers.remove(A)
        peers.remove(B)
        assert dialled() == {B}, "the name stands for it"

        peers.close()
        await asyncio.wait(peers._following)
        assert dialled() == set()

    met(main)
