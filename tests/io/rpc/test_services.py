"""Services: what they share, their hooks, and how a connection to them begins and ends."""

from __future__ import annotations

import datetime
import json
import logging
import os
import socket
import sys
import threading
import time
from typing import Any

import pytest

from dispycos import rpc
from dispycos.errors import AuthenticationError, PeerLost, TaskCancelled
from dispycos.objects import wire
from dispycos.objects.exports import ROOT
from dispycos.objects.requests import METHOD
from dispycos.rpc.connection import Connection
from dispycos.rpc.presence import Presence
from tests.helpers import wait_until
from tests.io.rpc.servers import KEY, connected, serving


class OutOfStock(Exception):
    """Known to both ends."""


class Shop(rpc.Service):
    """What the tests use from afar."""

    limit = 10
    exposed_currency = "EUR"
    exposed_prices = {"tea": [2, 3.5], "coffee": (4, None)}

    def __init__(self) -> None:
        self.sold: list[str] = []
        self.release = threading.Event()

    def exposed_price(self, article: str, *, count: int = 1) -> int:
        return {"tea": 2, "coffee": 4}[article] * count

    def exposed_sell(self, article: str) -> list[str]:
        self.sold.append(article)
        return self.sold

    def exposed_each(self, function: Any, items: list[Any]) -> list[Any]:
        return [function(item) for item in items]

    def exposed_counter(self) -> Any:
        yield from range(3)

    def exposed_today(self) -> datetime.date:
        return datetime.date(2010, 12, 31)

    def exposed_fail(self) -> None:
        raise OutOfStock("tea", 3) from KeyError("tea")

    def exposed_leave(self) -> None:
        raise SystemExit(3)

    def exposed_wait(self) -> None:
        self.release.wait(30)

    @rpc.exposed
    def marked(self) -> str:
        return "marked"

    @rpc.exposed
    class Basket:
        def __init__(self) -> None:
            self.held: list[str] = []

        def exposed_put(self, article: str) -> int:
            self.held.append(article)
            return len(self.held)

    def exposed_part(self) -> Any:
        return rpc.restricted(self, ["limit", "exposed_price", "__call__"], ["limit"])

    def __call__(self) -> str:
        return "called"

    def hidden(self) -> None:
        raise AssertionError("it was reached")


def test_exported_names_are_called_without_their_prefix():
    with connected(Shop) as conn:
        shop = conn.root
        assert (shop.price("tea"), shop.price("coffee", count=3), shop.marked()) == (2, 12, "marked")
        assert shop.currency == "EUR"
        assert json.dumps(shop.prices) == '{"tea": [2, 3.5], "coffee": [4, null]}'
        assert shop.sell("tea") == ["tea"]
        assert list(shop.counter()) == [0, 1, 2]
        assert shop.each(lambda item: item * 2, [1, "a", 3]) == [2, "aa", 6]
        today = shop.today()
        assert today == datetime.date(2010, 12, 31)
        assert (shop.get_service_name(), shop.get_service_aliases()) == ("SHOP", ("SHOP",))


@pytest.mark.row("GN-05", "RP-16")
def test_a_prefixed_name_reaches_what_the_short_one_does_and_dir_lists_data_too():
    @rpc.service  # as RPyC has it; the marks are enough
    class Shelf(rpc.Service):
        exposed_width = 3
        exposed_price = None

        def __init__(self) -> None:
            self.exposed_height = 2
            self.depth = 1

        def exposed_put(self, article: str) -> str:
            return article

        @rpc.exposed
        def marked(self) -> int:
            return 1

        def hidden(self) -> None:
            raise AssertionError("it was reached")

    class Shut(Shelf):
        def put(self) -> None:  # takes the place of what is exposed
            raise AssertionError("it was reached")

    with connected(Shelf) as conn:
        shelf = conn.root
        assert (shelf.exposed_put("tea"), shelf.exposed_width, shelf.exposed_height) == ("tea", 3, 2)
        assert {"put", "width", "height", "marked"} <= set(dir(shelf))
        assert not {"hidden", "depth", "exposed_put"} & set(dir(shelf))
        for name in ("exposed_hidden", "exposed_depth", "exposed_marked", "exposed_", "exposed_exposed_put"):
            with pytest.raises(AttributeError, match="cannot access"):
                getattr(shelf, name)
    assert "put" in dir(shelf)  # of a closed connection: what was told of it
    with pytest.raises(TypeError, match="@service is for a class"):
        rpc.service(print)  # type: ignore[type-var]
    with connected(Shut) as conn, pytest.raises(AttributeError, match="cannot access 'exposed_put'"):
        conn.root.exposed_put("tea")


def test_classes_that_are_exported_make_instances_there():
    with connected(Shop) as conn:
        basket = conn.root.Basket()
        assert (basket.put("tea"), basket.put("coffee")) == (1, 2)
        with pytest.raises(AttributeError, match="cannot access 'held'"):
            basket.held


@pytest.mark.row("RP-16")
def test_a_class_has_an_instance_for_each_connection_and_an_instance_is_shared():
    with serving(Shop) as server:
        with connect(server) as one, connect(server) as other:
            assert one.root.sell("tea") == other.root.sell("tea") == ["tea"]
    with serving(Shop()) as server:
        with connect(server) as one, connect(server) as other:
            assert (one.root.sell("tea"), other.root.sell("tea")) == (["tea"], ["tea", "tea"])


def connect(server: Any) -> Connection:
    return rpc.connect("localhost", server.port, key=KEY)


@pytest.mark.row("RP-16")
def test_hooks_are_called_once_a_connection_and_before_it_is_used():
    events: list[Any] = []
    begin = threading.Event()

    class Guarded(rpc.Service):
        def on_connect(self, conn: Connection) -> None:
            begin.wait(10)
            events.append(("here", conn.root.name()))

        def on_disconnect(self) -> None:
            events.append("gone")

        def exposed_ask(self) -> Any:
            return list(events)

    class Client(rpc.Service):
        def exposed_name(self) -> str:
            return "client"

    with connected(Guarded, offered=Client) as conn:
        asked = threading.Thread(target=lambda: events.append(conn.root.ask()))
        asked.start()
        begin.set()
        asked.join(10)
    wait_until(lambda: "gone" in events)
    assert events == [("here", "client"), [("here", "client")], "gone"]


@pytest.mark.row("RP-16")
def test_a_crash_is_a_disconnection_too():
    gone = threading.Event()

    class Watched(rpc.Service):
        def on_disconnect(self, conn: Connection) -> None:
            gone.set()

    with serving(Watched) as server:
        conn = connect(server)
        assert conn.root
        # As a machine that goes down takes its streams with it: no last words.
        with socket.socket(fileno=os.dup(conn.link._stream.reader)) as sock:
            sock.shutdown(socket.SHUT_RDWR)
        assert gone.wait(10)
        conn.close()


def test_who_goes_before_it_was_said_that_he_came_is_gone_all_the_same():
    heard = []

    class Watched(rpc.Service):
        def on_disconnect(self, conn: object) -> None:
            heard.append(conn)

    class Awaiting(Watched):
        def on_connect(self, conn: object) -> None:
            heard.append("never")

    Presence(Watched()).end("quick")
    late = Presence(Awaiting())
    late.end("never came")
    late.begin("never came")
    assert heard == ["quick"]


@pytest.mark.row("GN-02")
@pytest.mark.parametrize("spelling", ["0", "0x0", "000.0.0.0"])
def test_all_addresses_of_the_machine_are_served_only_if_that_is_typed(spelling):
    with pytest.raises(OSError, match="stands for every address of this machine: write 0"):
        rpc.ThreadedServer(rpc.VoidService, spelling, port=0, key=KEY)


def test_what_a_hook_without_parameters_raises_is_its_own():
    class Licensed(rpc.Service):
        def on_connect(self) -> None:  # type: ignore[override]  # as a hook may be
            raise ValueError("the licence has expired")

    with pytest.raises(ValueError, match="the licence has expired"):
        Presence(Licensed()).begin("conn")


def test_a_hook_that_fails_closes_the_connection_and_is_logged(caplog):
    class Closed(rpc.Service):
        def on_connect(self, conn: Connection) -> None:
            raise ValueError("not today")

        def on_disconnect(self) -> None:
            raise AssertionError("it never was connected")

    with serving(Closed) as server, connect(server) as conn:
        assert conn.wait_closed(10)
        with pytest.raises(
            PeerLost, match="gone: its service could not begin: ValueError: not today"
        ) as gone:
            conn.root
    assert isinstance(gone.value.__cause__, ValueError)
    assert "in on_connect" in str(gone.value.__cause__.__cause__)
    assert "not today" in caplog.text and "never was connected" not in caplog.text


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError(2**200_000), "ValueError: <its text can't be made: ValueError>"),
        (ValueError("x" * 10_000_000), "ValueError: xxx"),
    ],
    ids=["a number that can't be printed", "a text that is too long to be sent at once"],
)
def test_who_gets_no_service_is_told_of_an_error_that_can_hardly_be_told(error, told):
    class Closed(rpc.Service):
        def on_connect(self) -> None:
            raise error

    with serving(Closed) as server, connect(server) as conn:
        with pytest.raises(PeerLost) as gone:
            conn.root.x()
        assert f"gone: its service could not begin: {told}" in str(gone.value)[:1000]


def test_who_gets_no_service_is_told_why(caplog):
    class Unmade(rpc.Service):
        def __init__(self) -> None:
            raise ValueError("not today")

    with serving(Unmade) as server, connect(server) as conn:
        with pytest.raises(PeerLost, match="gone: its service could not begin: ValueError: not today"):
            conn.root
    assert "not today" in caplog.text


@pytest.mark.row("RP-16")
def test_no_lane_leads_around_the_hook(caplog):
    decided = threading.Event()
    served: list[str] = []

    class Guarded(rpc.Service):
        def on_connect(self, conn: Connection) -> None:
            decided.wait(10)
            raise ValueError("not you")

        def exposed_serve(self) -> None:
            served.append("served")

    with serving(Guarded) as server, connect(server) as conn:
        asked = [conn.begin(METHOD, ROOT, "serve", (), {}, lane=lane) for lane in (wire.FRESH, 7, wire.MAIN)]
        conn.ping()  # which came behind them, and says nothing but that somebody lives
        assert not served
        decided.set()
        for response in asked:
            with pytest.raises((PeerLost, TaskCancelled)):
                response.result(10)
    assert not served and "not you" in caplog.text


@pytest.mark.row("RP-28")
def test_restricted_objects_have_just_the_names_they_were_given():
    with connected(Shop) as conn:
        part = conn.root.part()
        assert (part.limit, part.exposed_price("tea"), part()) == (10, 2, "called")
        part.limit = 11
        assert part.limit == 11
        for name in ("price", "sold", "hidden", "__class__", "__dict__", "_object", "_table", "exposed_sell"):
            with pytest.raises(AttributeError, match="cannot access"):
                conn.get(part._number, name)
        with pytest.raises(AttributeError, match="cannot access 'sold'"):
            part.sold = []
        with pytest.raises(AttributeError, match="cannot access 'limit'"):
            del part.limit
    here = rpc.restricted(Shop(), ["limit"])
    assert here.limit == 10
    with pytest.raises(AttributeError, match="cannot access 'sold'"):
        here.sold


@pytest.mark.row("RP-21")
def test_exceptions_are_what_they_were_there():
    with connected(Shop) as conn:
        with pytest.raises(OutOfStock) as caught:
            conn.root.fail()
        assert caught.value.args == ("tea", 3) and isinstance(caught.value.__cause__, KeyError)
        assert "in exposed_fail" in "".join(caught.value.__notes__)
        with pytest.raises(KeyError) as missing:
            conn.root.price("milk")
        assert "in exposed_price" in str(missing.value.__cause__)
        with pytest.raises(rpc.GenericException, match="SystemExit: 3"):
            conn.root.leave()


class Several(ExceptionGroup):
    """A group that is known at both ends."""


class Strange(ExceptionGroup):
    """One that can't be made as others are."""

    def __new__(cls, errors: list[Exception], more: int) -> Strange:
        return super().__new__(cls, "strange", errors)


class Leaving(Exception):
    """One whose text would end the program that asks for it."""

    def __str__(self) -> str:
        sys.exit(3)


class Secretive(Exception):
    """One that answers nothing."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Failing(rpc.Service):
    def exposed_be_odd(self, leaves: bool) -> None:
        raise Leaving if leaves else Secretive

    def exposed_fail(self, kind: str) -> None:
        failures: list[BaseException] = []
        for make in (lambda: int("x"), lambda: {}["y"], lambda: sys.exit(3)):
            try:
                make()
            except BaseException as exc:
                failures.append(exc)
        ordinary: Any = failures[:2]
        if kind == "several":
            raise Several("both", ordinary)
        if kind == "strange":
            raise Strange(ordinary, 1)
        raise BaseExceptionGroup("all", [*failures, ExceptionGroup("inner", [OutOfStock("tea", 3)])])


@pytest.mark.row("RP-21")
def test_a_group_arrives_with_its_members_and_their_tracebacks():
    with connected(Failing) as conn:
        seen = []
        try:
            conn.root.fail("all")
        except* ValueError as group:
            seen += group.exceptions
        except* (KeyError, OutOfStock) as group:
            seen += group.exceptions
        except* rpc.GenericException as group:
            seen += group.exceptions
        value, key, inner, left = seen
        assert "in <lambda>" in str(value.__cause__) and "'x'" in str(value)
        assert isinstance(key, KeyError) and inner.exceptions[0].args == ("tea", 3)
        assert str(left) == "SystemExit: 3"
        with pytest.raises(Several, match="both") as several:
            conn.root.fail("several")
        text = str(several.value.__cause__)
        assert "in exposed_fail" in text and "in <lambda>" not in text  # its members say that
        with pytest.raises(ExceptionGroup, match="Strange: strange") as strange:
            conn.root.fail("strange")
        assert [type(member) for member in strange.value.exceptions] == [ValueError, KeyError]


@pytest.mark.row("RP-21")
def test_an_exception_whose_class_does_as_it_likes_is_an_answer_too():
    with connected(Failing) as conn:
        for leaves, kind in ((True, Leaving), (False, rpc.GenericException)):
            asked = rpc.async_(conn.root.be_odd)(leaves)
            assert asked.exception(10).__class__ is kind


@pytest.mark.row("RP-21")
def test_an_exception_of_a_type_that_is_unknown_here_names_it(monkeypatch):
    with connected(Shop) as conn:
        monkeypatch.setattr(
            f"{__name__}.OutOfStock", type("Local", (Exception,), {"__module__": "elsewhere"})
        )
        with pytest.raises(rpc.GenericException, match=r"elsewhere\.Local"):
            conn.root.fail()


@pytest.mark.row("RP-22")
def test_a_lost_server_fails_the_calls_that_wait_and_later_ones_at_once():
    with serving(Shop) as server, connect(server) as conn:
        conn.ping()
        failed: list[BaseException] = []

        def ask() -> None:
            try:
                conn.root.wait()
            except BaseException as exc:
                failed.append(exc)

        thread = threading.Thread(target=ask)
        assert conn.root
        thread.start()
        wait_until(lambda: conn._pending, what="the call")
        services = [connection.service for connection in server.clients]
        for connection in server.clients:
            connection.close()
        thread.join(10)
        assert [type(exc) for exc in failed] == [PeerLost]
        assert isinstance(failed[0], EOFError) and isinstance(failed[0], OSError)
        services[0].release.set()
        assert conn.wait_closed(10) and conn.closed
        began = time.monotonic()
        for ask_again in (conn.ping, lambda: conn.root.price("tea")):
            with pytest.raises(EOFError):
                ask_again()
        assert time.monotonic() - began < 10


@pytest.mark.row("RP-03")
def test_both_ends_serve_each_other_and_many_clients_many_servers():
    with serving(Shop) as one, serving(Shop) as other:
        with connect(one) as first, connect(one) as second, connect(other) as third:
            assert [conn.root.price("tea") for conn in (first, second, third)] == [2, 2, 2]
            assert len(one.clients) == 2 and len(other.clients) == 1


# Who is let in.


@pytest.mark.row("GN-01")
def test_another_key_is_refused_on_both_sides(caplog):
    with serving(Shop) as server:
        for _ in range(3):
            with pytest.raises(AuthenticationError, match="authentication failed"):
                rpc.connect("localhost", server.port, key=b"x" * 32)
        assert not server.clients
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1 and "refused a connection from 127.0.0.1" in lines[0].getMessage()


@pytest.mark.row("GN-01")
def test_the_accounts_own_key_is_used_where_none_is_given():
    server = rpc.ThreadedServer(Shop, port=0)
    thread = server.start_in_thread()
    with rpc.connect("localhost", server.port) as conn:
        assert conn.root.price("tea") == 2
    server.close()
    thread.join(10)


@pytest.mark.row("GN-01")
def test_who_says_nothing_is_not_heard_for_long_and_few_of_them_are(monkeypatch):
    with serving(Shop) as server:
        limits = server._reception._limits
        knocking = [socket.create_connection(("localhost", server.port)) for _ in range(80)]
        try:
            # Beyond the bound a connection is closed at once.
            closed = [sock for sock in knocking if ended(sock, 1)]
            assert len(closed) >= 80 - limits.max_unfinished_handshakes
            threads = [t for t in threading.enumerate() if t.name == "dispycos handshake"]
            assert len(threads) <= limits.max_unfinished_handshakes
            began = time.monotonic()
            assert all(ended(sock, limits.handshake_timeout + 3) for sock in knocking)
            assert time.monotonic() - began < limits.handshake_timeout + 3
        finally:
            for sock in knocking:
                sock.close()


def ended(sock: socket.socket, timeout: float) -> bool:
    """Whether the other end closes it in time."""
    sock.settimeout(timeout)
    try:
        while sock.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@pytest.mark.row("RP-18")
def test_who_connects_is_told_what_is_wrong():
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionRefusedError, match=f"nothing listens at localhost:{port}"):
        rpc.connect("localhost", port)
    with pytest.raises(OSError, match="unknown"):
        rpc.connect("no-such-host.invalid")
    with pytest.raises(TypeError, match="no Service"):
        rpc.connect("localhost", port, service=Shop.Basket)
    with pytest.raises(TypeError, match="no Service"):
        rpc.ThreadedServer(object, port=0)


def test_a_server_listens_at_loopback_and_says_where_it_cannot():
    with serving(Shop) as server:
        assert server.host == "127.0.0.1" and server.address == f"127.0.0.1:{server.port}"
        with pytest.raises(OSError, match=f"can't listen at 127.0.0.1:{server.port}: the port is in use"):
            rpc.ThreadedServer(Shop, port=server.port, key=KEY)


@pytest.mark.row("RP-30")
def test_a_unix_socket_is_one_accounts_own_and_goes_with_its_server(tmp_path):
    path = tmp_path / "shop"
    with serving(Shop, socket_path=path):
        assert path.stat().st_mode & 0o777 == 0o600
        with rpc.unix_connect(str(path), key=KEY) as conn:
            assert conn.root.price("tea") == 2
    assert not path.exists()
    with pytest.raises(FileNotFoundError, match="can't be reached"):
        rpc.unix_connect(str(path), key=KEY)
