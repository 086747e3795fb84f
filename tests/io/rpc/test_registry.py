"""The registry: servers by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispycos import rpc
from dispycos.errors import PeerLost
from dispycos.rpc.registry import Book, RegistryServer
from tests.helpers import wait_until
from tests.io.rpc.servers import KEY, serving


class Payroll(rpc.Service):
    """Found by name."""

    ALIASES = ("payroll", "salaries")

    def exposed_salary(self) -> int:
        return 4000


@pytest.fixture
def registrar() -> Iterator[rpc.RegistryClient]:
    server = RegistryServer(port=0, key=KEY)
    thread = server.start_in_thread()
    yield rpc.RegistryClient("localhost", server.port, key=KEY)
    server.close()
    thread.join(10)


@pytest.mark.row("RP-20")
def test_servers_are_found_by_each_of_their_names_while_they_live(registrar):
    with pytest.raises(rpc.DiscoveryError, match="no server of 'PAYROLL' is registered"):
        rpc.discover("payroll", registrar=registrar)
    with serving(Payroll, registrar=registrar) as one:
        wait_until(lambda: rpc.list_services(registrar) == ("PAYROLL", "SALARIES"))
        assert rpc.discover("Salaries", registrar=registrar) == (("127.0.0.1", one.port),)
        with serving(Payroll, registrar=registrar) as other:
            wait_until(lambda: len(rpc.discover("PAYROLL", registrar=registrar)) == 2)
            with rpc.connect_by_service("PAYROLL", registrar=registrar, key=KEY) as conn:
                assert conn.root.salary() == 4000
            assert rpc.discover("payroll", "127.0.0.1", registrar)[1] == ("127.0.0.1", other.port)
            with pytest.raises(rpc.DiscoveryError, match="for host '192"):
                rpc.discover("payroll", "192.0.2.1", registrar)
        wait_until(lambda: len(rpc.discover("PAYROLL", registrar=registrar)) == 1)
    wait_until(lambda: rpc.list_services(registrar) == ())


@pytest.mark.row("RP-20")
def test_a_server_registers_if_it_is_told_to(registrar, monkeypatch):
    monkeypatch.setattr("dispycos.rpc.server.RegistryClient", lambda **more: registrar)
    with serving(Payroll, registrar=registrar, auto_register=False):
        with serving(Payroll, auto_register=True) as one:
            wait_until(lambda: rpc.list_services(registrar) == ("PAYROLL", "SALARIES"))
            assert rpc.discover("payroll", registrar=registrar) == (("127.0.0.1", one.port),)
        wait_until(lambda: rpc.list_services(registrar) == ())


@pytest.mark.row("RP-20")
def test_a_registration_is_forgotten_with_its_connection_and_checked(registrar):
    with registrar.connect() as conn:
        conn.root.register(["gone"], "0.0.0.0", 1)
        assert rpc.discover("gone", registrar=registrar) == (("127.0.0.1", 1),)
        with pytest.raises(rpc.DiscoveryError, match="no server of 'GONE' answers"):
            rpc.connect_by_service("gone", registrar=registrar, key=KEY)
        for wrong in (([], "host", 1), (["a"], "host", 70000), (["a"] * 1000, "host", 1), (["a"], 3, 1)):
            with pytest.raises((ValueError, TypeError)):
                conn.root.register(*wrong)
    wait_until(lambda: not rpc.list_services(registrar))


@pytest.mark.row("RP-20", "GN-01")
def test_without_a_registry_or_its_key_there_is_an_error_that_says_so(registrar):
    stranger = rpc.RegistryClient("localhost", registrar.port, key=b"x" * 32)
    with pytest.raises(rpc.DiscoveryError, match="authentication failed"):
        rpc.list_services(stranger)
    with serving(Payroll) as server:
        with pytest.raises(rpc.DiscoveryError, match="did not answer"):
            rpc.discover("any", registrar=rpc.RegistryClient("localhost", server.port, key=KEY))
    with pytest.raises(rpc.DiscoveryError, match="nothing listens"):
        rpc.list_services(rpc.RegistryClient("localhost", server.port, key=KEY))
    assert not issubclass(rpc.DiscoveryError, PeerLost)


def test_a_connection_registers_so_many_names_and_no_more():
    book = Book()
    for n in range(100):
        book.add([f"N{n}"], "one", ("127.0.0.1", n + 1))
    book.add(["N1"], "one", ("127.0.0.1", 7))  # which it has already
    with pytest.raises(ValueError, match="at most 100 names"):
        book.add(["ONE MORE"], "one", ("127.0.0.1", 7))
    book.add(["ONE MORE"], "another", ("127.0.0.1", 7))
    assert len(book.names()) == 101
