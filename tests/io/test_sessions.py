"""How many sessions one process has: a limit, a reason for who comes too late, a log line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import pytest

from dispycos.events import DialFailed, PeerGone, PeerUp
from dispycos.model import Location
from tests.helpers import background, wait_until
from tests.io.hostile import LIMITS, K, Party, Player, exchange, meet

FEW = 96  # descriptors
ROOM = FEW - FEW // 4

LISTENER = """
import asyncio, logging, resource, sys

from dispycos.config import Limits
from dispycos.model import Role
from dispycos.net.endpoint import Endpoint
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.reactor import Reactor

few, key = int(sys.argv[1]), ClusterKey(bytes.fromhex(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))
logging.basicConfig(level=logging.INFO)


async def main():
    endpoint = Endpoint(
        Reactor.running(), roles=Role.PEER, keyring=Keyring(key), limits=Limits(), name="listener"
    )
    location = await endpoint.listen(["127.0.0.1"])
    print("port", location.port, flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
"""


@pytest.mark.rule("N4")
@pytest.mark.row("R-38")
def test_who_comes_beyond_the_limit_is_told_why_and_comes_in_when_there_is_room(
    parties: Callable[..., Party], caplog: pytest.LogCaptureFixture
) -> None:
    one = parties("one", limits=replace(LIMITS, max_sessions=2))
    first, second, third = parties("first"), parties("second"), parties("third")
    meet(first, one)
    meet(second, one)
    third.dial(one.location)
    failed = wait_until(lambda: third.saw(DialFailed), 5, "the refusal")
    assert "no room for one more session" in failed[0].reason
    assert not third.saw(PeerUp) and not one.saw(PeerUp, third.endpoint.incarnation)
    assert "refused a session with 127.0.0.1" in caplog.text and "max_sessions=2" in caplog.text
    exchange(first, one)
    exchange(one, second)
    first.close()
    wait_until(lambda: one.saw(PeerGone, first.endpoint.incarnation), 5)
    wait_until(lambda: third.saw(PeerUp), 5, "the place that is free now")
    exchange(third, one)


@pytest.mark.rule("N4")
@pytest.mark.row("R-27")
def test_descriptors_bound_sessions_too_and_it_is_said_before_they_run_out() -> None:
    command = [sys.executable, "-c", LISTENER, str(FEW), K.reveal().hex()]
    with background(command) as listener, ExitStack() as players:
        place = Location("127.0.0.1", int(listener.wait_line("port").split()[1]))
        for _ in range(ROOM - 1):
            players.enter_context(Player(place, K)).open()
        line = listener.wait_line("sessions are open, and")
        assert f"{ROOM} are possible" in line and f"only {FEW} descriptors: raise `ulimit -n`" in line
        last = players.enter_context(Player(place, K)).open()
        late = players.enter_context(Player(place, K))
        late.open()
        assert late.ended()
        assert b"no room for one more session" in late.got
        assert f"only {FEW} descriptors" in listener.wait_line("refused a session")
        assert not last.wait_end(0.2)
