"""RPyC's settings: what holds here anyway is taken, a limit of time is kept, and all else is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from dispycos import rpc
from dispycos.errors import TaskCancelled
from tests.helpers import wait_until
from tests.io.rpc.servers import KEY, serving


class Slow(rpc.Service):
    def __init__(self) -> None:
        self.ended: list[str] = []
        self.release = threading.Event()

    def exposed_wait(self) -> None:
        try:
            while not self.release.wait(0.01):
                pass
        except TaskCancelled:
            self.ended.append("stopped")
            raise

    def exposed_quick(self) -> int:
        return 5

    def exposed_back(self, function: object) -> object:
        return function()  # type: ignore[operator]


@pytest.mark.row("RP-15")
def test_a_call_that_takes_longer_than_the_connections_limit_is_stopped_there() -> None:
    slow = Slow()
    with (
        serving(slow) as server,
        rpc.connect("localhost", server.port, config={"sync_request_timeout": 0.1}, key=KEY) as conn,
    ):
        assert conn.root.quick() == 5
        with pytest.raises(rpc.AsyncResultTimeout, match=r"no answer in 0\.1 s"):
            conn.root.wait()
        wait_until(lambda: slow.ended == ["stopped"], what="the call to be stopped")
        # What is begun has its own expiry, and a limit may be taken back.
        later = rpc.async_(conn.root.wait)()
        conn.limit = None
        threading.Timer(0.2, slow.release.set).start()
        assert later.value is None and conn.root.wait() is None


@pytest.mark.row("RP-15")
def test_a_server_has_a_limit_for_what_it_asks_of_its_clients() -> None:
    with (
        serving(Slow, protocol_config={"sync_request_timeout": 0.1}) as server,
        rpc.connect("localhost", server.port, key=KEY) as conn,
    ):
        slow = Slow()
        assert conn.root.back(lambda: 7) == 7
        with pytest.raises(rpc.AsyncResultTimeout):
            conn.root.back(slow.exposed_wait)
        assert slow.ended == ["stopped"]


@pytest.mark.row("GN-05", "RP-16")
@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"allow_public_attrs": True}, r"rpc\.restricted"),
        ({"allow_setattr": True}, "through a method that is exposed"),
        ({"allow_pickle": True}, "obtain"),
        ({"allow_exposed_attrs": False}, "mark nothing"),
        ({"include_local_traceback": False}, "traceback goes along"),
        ({"compress": True}, "no setting 'compress'"),
        ({"sync_request_timeout": -1}, "sync_request_timeout"),
        ([], r"config must be a dict of settings, such as .*, not \[\]"),
        ("quick", "not 'quick'"),
    ],
)
def test_a_setting_that_does_not_hold_here_is_refused_and_says_what_to_write(config, told) -> None:
    for make in (
        lambda: rpc.ThreadedServer(Slow, port=0, key=KEY, protocol_config=config),
        lambda: rpc.connect_thread(remote_service=Slow, config=config),
        lambda: rpc.connect("localhost", 1, config=config, key=KEY),
        lambda: rpc.unix_connect("/no/such/socket", config=config, key=KEY),
    ):
        with pytest.raises(ValueError if isinstance(config, dict) else TypeError, match=told):
            make()


@pytest.mark.row("RP-01", "RP-17")
@pytest.mark.parametrize(
    "make",
    [
        lambda: rpc.connect(None, key=KEY),  # type: ignore[arg-type]
        lambda: rpc.connect("localhost", "18861", key=KEY),  # type: ignore[arg-type]
        lambda: rpc.connect("localhost", 1, timeout=None, key=KEY),  # type: ignore[arg-type]
        lambda: rpc.ThreadedServer(Slow, 5, key=KEY),  # type: ignore[arg-type]
        lambda: rpc.ThreadedServer(Slow, port="0", key=KEY),  # type: ignore[arg-type]
        lambda: rpc.restricted([], "append"),
    ],
)
def test_an_argument_of_another_type_is_named(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"^(host|hostname|port|timeout|attrs) must be .*, not "):
        make()


@pytest.mark.row("RP-01")
def test_what_holds_anyway_may_be_said_and_classic_mode_shares_everything() -> None:
    said = {"allow_public_attrs": False, "allow_exposed_attrs": True, "sync_request_timeout": None}
    with rpc.connect_thread(rpc.VoidService, said, Slow, said) as conn:
        assert conn.root.quick() == 5
    everything = {"allow_all_attrs": True, "allow_pickle": True}
    rpc.connect_thread(rpc.SlaveService, everything, rpc.SlaveService, everything).close()
    with pytest.raises(ValueError, match="use a Service"):
        rpc.connect_thread(rpc.SlaveService, {"allow_all_attrs": False})


@pytest.mark.row("RP-16")
def test_a_service_that_decides_by_a_hook_of_rpycs_is_refused() -> None:
    class Deciding(rpc.Service):
        def _rpyc_getattr(self, name: str) -> object:
            return getattr(self, name)

    with pytest.raises(TypeError, match=r"Deciding\._rpyc_getattr is never asked here: mark what is shared"):
        rpc.ThreadedServer(Deciding, port=0, key=KEY)


@pytest.mark.row("RP-17", "RP-30")
def test_an_authenticator_is_refused_with_what_takes_its_place() -> None:
    with pytest.raises(TypeError, match="certfile= adds TLS"):
        rpc.ThreadedServer(Slow, port=0, key=KEY, authenticator=object())  # type: ignore[arg-type]
