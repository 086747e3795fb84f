"""What is left of a client, or of a node, once it has ended: nothing."""

from __future__ import annotations

import pytest

from dispycos.events import PeerUp
from dispycos.messages import FileAnswer, FileOffer, FileVerdict
from dispycos.model import Role
from dispycos.net.keys import Keyring
from dispycos.node.embedded import LocalNode
from tests.helpers import wait_until
from tests.io.hostile import Party
from tests.process.nodes import Master
from tests.process.test_node import key_file, local, master

__all__ = ["key_file", "local", "master"]


@pytest.mark.row("R-48", "GN-04")
def test_a_file_that_a_server_is_sending_ends_with_its_client_s_turn(
    master: Master, local: LocalNode
) -> None:
    master.use(local.location, 1)
    key = master.call(master.endpoint.keyring.open_reservation, 1)
    server = Party("server", Keyring(key), roles=Role.SERVER)
    answers: list[FileAnswer] = []
    server.endpoint.handle(FileAnswer, lambda _peer, answer: answers.append(answer), who=Role.NODE)
    try:
        server.dial(local.location, reservation=1)
        wait_until(lambda: server.saw(PeerUp))
        offer = FileOffer(1, "half", 10_000_000, 0o600, 0.0, bytes(32), False)
        server.endpoint.say(local.incarnation, offer)
        wait_until(lambda: [answer.verdict for answer in answers] == [FileVerdict.SEND])
        master.release(local.incarnation)
        wait_until(lambda: len(answers) == 2, 3, "the end of the transfer")
        assert answers[1].verdict is FileVerdict.REFUSED
        assert "its folder is closed" in answers[1].reason
    finally:
        server.close()
