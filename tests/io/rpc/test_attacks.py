"""What a peer that holds the key and wishes us ill can reach of a service: what its table names."""

from __future__ import annotations

import itertools
import pickle
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dispycos import rpc
from dispycos.errors import LoadError, PeerLost
from dispycos.objects import references, wire
from dispycos.objects.pending_call import PendingCall
from dispycos.objects.requests import DELETE, GET, METHOD, SET
from dispycos.objects.tuples import NamedFields
from dispycos.rpc.connection import Connection
from tests.helpers import wait_until
from tests.io.rpc.servers import connected, serving
from tests.io.rpc.test_services import connect

SECRET = "the password is swordfish"


class Vault(rpc.Service):
    """Has something to hide."""

    secret = SECRET

    def __init__(self) -> None:
        self.password = SECRET
        self.opened: list[str] = []
        self.items = [SECRET]
        self.kept: Any = None

    def exposed_hello(self, name: str = "") -> str:
        return f"hello {name}"

    def exposed_greet(self, name: Any) -> str:
        return f"hello {name}"  # a proxy's text is asked of its owner

    def exposed_box(self) -> Any:
        return Box()

    def exposed_function(self) -> Callable[[], str]:
        return self.exposed_hello

    def exposed_kind(self) -> type:
        return Box

    def exposed_keep(self, value: Any) -> None:
        self.kept = value

    def open(self) -> None:
        self.opened.append("opened")


class Box:
    """Not marked: it may be passed back."""

    secret = SECRET


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def conn(vault: Vault) -> Iterator[Connection]:
    with connected(vault) as conn:
        yield conn


NAMES = (
    "secret", "password", "opened", "open", "items", "kept", "exposed_open", "exposed_secret", "terms",
    "connection_class", "on_connect", "on_disconnect", "__class__", "__dict__", "__init__", "__new__",
    "__getattribute__", "__setattr__", "__delattr__", "__reduce_ex__", "__subclasses__", "__init_subclass__",
    "__subclasshook__", "__mro__", "__bases__", "__base__", "__globals__", "__code__", "__closure__",
    "__func__", "__self__", "__wrapped__", "__module__", "__doc__", "__weakref__", "__call__", "__builtins__",
    "_is_exposed", "gi_frame", "func_globals", "", "{0.__class__}", "hello.__func__", "hello\0", "exposed_",
)  # fmt: skip


@pytest.mark.row("GN-05", "RP-19")
def test_a_name_that_is_not_exported_is_not_reached_whatever_is_asked_of_it(conn, vault):
    function = conn.root.function()
    requests = [(GET, ()), (METHOD, ()), (SET, ("changed",)), (DELETE, ())]
    for thing in (conn.root, conn.root.box(), function, conn.root.kind()):
        for name, (what, args) in itertools.product(NAMES, requests):
            if name == "__call__" and thing is function and what in (GET, METHOD):
                continue
            with pytest.raises(AttributeError, match="cannot access"):
                conn.begin(what, thing._number, name, args, {}).result(10)
    assert vars(vault)["password"] == SECRET and not vault.opened
    assert Vault.secret == Box.secret == SECRET


@pytest.mark.row("RP-19")
def test_what_is_not_exported_is_an_attribute_error(conn):
    for name in ("open", "secret", "__dict__", "eval", "modules", "getmodule"):
        with pytest.raises(AttributeError, match=f"cannot access '{name}'"):
            getattr(conn.root, name)
    assert not hasattr(conn.root, "password")
    with pytest.raises(AttributeError):
        conn.root.password = "changed"


@pytest.mark.row("RP-19")
def test_format_strings_reach_nothing(conn):
    assert "swordfish" not in f"{conn.root!r} {conn.root} {conn.root.box()}"
    for template in ("{0.secret}", "{0.open.__func__.__globals__}", "{0.__dict__}", "{0.password}"):
        with pytest.raises(AttributeError):
            template.format(conn.root)
    # Its text is made there, of our object, by our methods.
    assert conn.root.greet("{0.__class__}") == "hello {0.__class__}"


@pytest.mark.row("RP-19")
def test_subclasses_of_what_is_here_open_nothing(conn, vault):
    with pytest.raises(TypeError):
        type("Mine", (conn.root.kind(),), {})

    class Key(str):
        """Equal to what is allowed, and something else."""

        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = str.__hash__

    with pytest.raises((LoadError, AttributeError, pickle.PicklingError)):
        conn.begin(METHOD, conn.root._number, Key("open"), (), {}).result(10)
    assert not vault.opened


# Bytes that no program of ours sends.


def send(conn: Connection, tail: bytes, kind: int = wire.CALL) -> PendingCall:
    """Send a tail as it stands; what the other end answers, if it does."""
    pending = PendingCall(next(conn._calls), next(conn._conversations), conn)
    conn._pending[pending.number] = pending
    conn.link.send(wire.pack(kind, pending.number, pending.conversation, 0), (tail,))
    return pending


class Word:
    """A global of a pickle."""

    def __init__(self, module: str, name: str) -> None:
        self.bytes = b"c" + module.encode() + b"\n" + name.encode() + b"\n"


VALUES = "dispycos.objects.values"


def request(*parts: bytes) -> bytes:
    """A call of hello whose one argument is made by these operations."""
    hello = pickle.dumps("hello", 0).split(b"\np")[0] + b"\n"
    head = b"\x80\x05(K%cK\x01" % METHOD
    return b"".join((head, hello, b"(", *parts, b"t}t."))


def root_object() -> bytes:
    """The service itself, as an argument."""
    return Word(VALUES, "_yours").bytes + b"(K\x01tR"


@pytest.mark.row("GN-05")
@pytest.mark.parametrize(
    "named",
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("builtins", "object"),
        ("dispycos.objects.values", "io"),
        ("dispycos.objects.values", "_Pickler"),
        ("dispycos.objects.references", "Reference"),
        ("copyreg", "_reconstructor"),
        (VALUES, "_theirs.__class__"),
    ],
)
def test_no_pickle_names_anything_but_the_few_words(conn, named):
    with pytest.raises(LoadError, match="may not be named here"):
        send(conn, request(Word(*named).bytes, b"(tR")).result(10)
    assert conn.root.hello("you") == "hello you"


@pytest.mark.row("GN-05")
def test_an_object_that_a_pickle_refers_to_is_neither_called_nor_changed_by_it(conn, vault):
    sys.modules.pop("planted", None)
    me = root_object()
    text = pickle.dumps("password", 0).split(b"\np")[0] + b"\n"
    state = b"(" + text + text + b"d"  # {"password": "password"}
    tried = {
        "filled": me + state + b"b",
        "filled by slots": me + b"(" + b"N" + state + b"tb",
        "called": me + b"(tR",
        "made anew": me + b")\x81",
        "appended": me + b"(" + text + b"e",
        "given items": me + b"(" + text + text + b"u",
        "added": me + b"(" + text + b"\x90",
        "a word is filled": Word(VALUES, "_yours").bytes + state + b"b",
        "a word's class is filled": Word(VALUES, "_tuple").bytes + b"(N" + state + b"tb",
        "a type is filled": Word("builtins", "slice").bytes + b"(N" + state + b"tb",
    }
    for how, operations in tried.items():
        try:
            send(conn, request(operations)).result(10)
        except (LoadError, TypeError, AttributeError):
            pass
        assert vars(vault) == {"password": SECRET, "opened": [], "items": [SECRET], "kept": None}, how
    assert not hasattr(NamedFields, "password")
    assert not any(hasattr(word, "password") for word in references.WORDS.values())
    assert conn.root.hello("you") == "hello you"


@pytest.mark.row("GN-05")
def test_a_built_in_type_is_neither_called_nor_changed_by_a_pickle(conn):
    named = Word(VALUES, "_type").bytes
    for operations in (
        named + b"(K\x05tR" + b"(J\xff\xff\xff\x7ftR",  # bytes(2**31 - 1)
        named + b"(K\x05tR" + b"(" + b"N" + b"(Vpassword\nK\x01d" + b"tb",
        named + b"(K\xfftR",
        Word(VALUES, "_array").bytes + b"(NtR",
        Word(VALUES, "_array").bytes + b"(NtR" + b"(tR",
        Word(VALUES, "_array").bytes + b"((V<i8\n(K\x01tC\x0812345678ttR" + b"(N(Vdata\nK\x01dtb",
        Word(VALUES, "_same").bytes + b"(]tR",
        named + b"(J\xff\xff\xff\xfftR",
        named + b"(NtR",
    ):
        with pytest.raises(LoadError):
            send(conn, request(operations)).result(10)
    assert send(conn, request(named + b"(K\x05tR")).result(10) == f"hello {bytes}"


@pytest.mark.row("GN-05")
def test_what_is_small_in_bytes_stays_small(conn):
    for made in (
        Word("builtins", "bytearray").bytes + b"(L99999999999999999999L\ntR",
        Word("builtins", "bytearray").bytes + b"(J\xff\xff\xff\x7ftR",
    ):
        with pytest.raises(LoadError):
            send(conn, request(made)).result(10)


@pytest.mark.row("GN-05")
@pytest.mark.parametrize("number", [2, 10**6, 2**63, -1, 2**70, -(2**70)])
def test_a_number_that_was_never_given_refers_to_nothing(conn, number):
    with pytest.raises(LoadError, match="no reference"):
        conn.begin(GET, number, "hello", (), {}).result(10)


@pytest.mark.row("GN-05")
@pytest.mark.parametrize(
    "asked",
    [
        None,
        (),
        (METHOD, 1, "hello"),
        ("METHOD", 1, "hello", (), {}),
        (METHOD, True, "hello", (), {}),
        (METHOD, 1.0, "hello", (), {}),
        (METHOD, 1, b"hello", (), {}),
        (METHOD, 1, "hello", [], {}),
        (METHOD, 1, "hello", (), ()),
        (99, 1, "hello", (), {}),
        (-1, 1, "hello", (), {}),
    ],
)
def test_a_request_of_another_form_is_refused(conn, asked):
    with pytest.raises((LoadError, TypeError)):
        send(conn, pickle.dumps(asked)).result(10)
    assert conn.root.hello("you") == "hello you"


@pytest.mark.row("GN-05")
def test_words_without_sense_end_in_a_refusal(conn):
    for made in (
        Word(VALUES, "_yours").bytes + b"(NtR",
        Word(VALUES, "_yours").bytes + b"(]tR",
        Word(VALUES, "_theirs").bytes + b"(K\x02NtR",
        Word(VALUES, "_theirs").bytes + b"(K\x02(U\x01xtR" + b"0N",
        Word(VALUES, "_tuple").bytes + b"(](tR",
        Word(VALUES, "_single").bytes + b"(K\x09tR",
        b"(" * 100_000,
    ):
        with pytest.raises((LoadError, PeerLost)):
            send(conn, request(made)).result(10)
    assert conn.root.hello("you") == "hello you"


@pytest.mark.row("GN-05")
def test_proxies_get_no_methods_that_python_calls_by_itself(conn, vault):
    for name in ("__del__", "__class__", "__init__", "__getattribute__", "__reduce_ex__", "__setstate__"):
        shape = ("Evil", (name,), (), True)
        described = pickle.dumps(shape, 2)[2:-1]
        with pytest.raises(LoadError, match="another shape"):
            send(conn, request(Word(VALUES, "_theirs").bytes + b"(K\x02" + described + b"tR")).result(10)


@pytest.mark.row("GN-05")
def test_dropping_what_one_does_not_hold_ends_the_connection_and_no_other():
    with serving(Vault) as server, connect(server) as innocent:
        assert innocent.root.hello("you") == "hello you"
        for counts in ({1: 99}, {77: 1}, {1: 0}, {2**63: 2**31}):
            with connect(server) as conn:
                box = conn.root.box()
                assert box
                conn.link.send(wire.pack(wire.DROP), (wire.pack_drops(counts),))
                assert conn.wait_closed(10)
        assert innocent.root.hello("you") == "hello you"
        wait_until(lambda: len(server.clients) == 1)


@pytest.mark.row("GN-05")
def test_an_answer_nobody_asked_for_and_an_error_without_form_do_not_hang_who_waits(conn):
    for kind in (wire.RESULT, wire.ERROR):
        conn.link.send(wire.pack(kind, 12345, 1), (pickle.dumps(None),))
    assert conn.root.hello("you") == "hello you"


@pytest.mark.row("GN-05")
def test_an_error_names_no_class_that_would_be_made_here(conn):
    class Evil(rpc.Service):
        def exposed_fail(self) -> None:
            raise subclass("no")

    subclass = type("Popen", (Exception,), {"__module__": "subprocess"})
    with connected(Evil) as other:
        with pytest.raises(rpc.GenericException, match=r"subprocess\.Popen: no"):
            other.root.fail()
