"""Classic mode: another Python's modules, names, code and streams; both ends in this process."""

from __future__ import annotations

import importlib
import io
import json
import linecache
import os
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos import rpc
from dispycos.objects.proxy import Proxy
from dispycos.rpc.classic_connection import ClassicConnection
from dispycos.rpc.slave import ClassicService
from tests.helpers import wait_until
from tests.io.rpc.servers import KEY, serving

Conn = ClassicConnection


@pytest.fixture
def server() -> Iterator[Any]:
    with serving(rpc.ClassicService) as server:
        yield server


@pytest.fixture
def conn(server: Any) -> Iterator[Conn]:
    with rpc.classic.connect("localhost", server.port, key=KEY) as conn:
        yield conn


@pytest.mark.row("RP-05")
def test_modules_are_used_as_if_they_were_here(conn):
    name = conn.modules.os.uname()
    assert name == os.uname() and repr(name) == repr(tuple(os.uname())) and name.sysname
    assert conn.modules.sys.version_info == sys.version_info
    assert conn.modules.os.getcwd() == os.getcwd()
    assert conn.modules["os.path"].join("a", "b") == "a/b"
    assert conn.modules.os is conn.modules["os"]
    for ask in (lambda: conn.modules.no_such_module, lambda: conn.modules["no.such"]):
        with pytest.raises(ModuleNotFoundError, match="No module named 'no"):
            ask()
    assert not hasattr(conn.modules, "__wrapped__")


@pytest.mark.row("RP-06")
def test_a_module_of_ones_own_is_called_with_keywords(conn, tmp_path, monkeypatch):
    (tmp_path / "Payroll.py").write_text(
        "class Clerk:\n"
        "    paid = {('Mertz', 'David'): 4000}\n"
        "def get_salary(*, last, first):\n"
        "    return Clerk.paid[last, first]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "Payroll", None)  # forgotten at the end
    del sys.modules["Payroll"]
    assert conn.modules.Payroll.get_salary(last="Mertz", first="David") == 4000
    with pytest.raises(KeyError):
        conn.modules.Payroll.get_salary(last="Mertz", first="Dana")
    conn.modules.Payroll.Clerk.paid = {}
    assert conn.modules.Payroll.Clerk.paid == {}


@pytest.mark.row("RP-09", "RP-21")
def test_code_runs_in_the_connections_namespace_and_its_errors_show_its_lines(conn, server):
    conn.execute("def double(n):\n    return [n, n * 2]\n")
    assert conn.eval("double(4)") == [4, 8]
    with pytest.raises(ZeroDivisionError) as caught:
        conn.execute("def fail():\n    return 1 / 0\nfail()\n")
    text = str(caught.value.__cause__)
    assert "return 1 / 0" in text and "in fail" in text and "objects/" not in text
    with pytest.raises(SyntaxError):
        conn.eval("1 +")
    with rpc.classic.connect("localhost", server.port, key=KEY) as other:
        with pytest.raises(NameError):
            other.eval("double")


@pytest.mark.row("RP-10")
def test_the_namespace_is_read_set_and_deleted(conn):
    conn.execute("def hello(name):\n    return f'hello {name}'\n")
    assert conn.namespace["hello"]("you") == "hello you"
    conn.namespace["n"] = 3
    assert conn.eval("n + 1") == 4 and sorted(conn.namespace) == ["hello", "n"] and "n" in conn.namespace
    del conn.namespace["n"]
    with pytest.raises(KeyError, match="n"):
        conn.namespace["n"]
    with pytest.raises(KeyError):
        del conn.namespace["n"]


@pytest.mark.row("RP-12")
def test_calls_answer_data_by_value_and_what_is_read_stays_there(conn):
    conn.execute("data = {'a': [1, (2, None)], 'b': {'c': 3.5}}\n")
    assert json.loads(json.dumps(conn.eval("data"))) == {"a": [1, [2, None]], "b": {"c": 3.5}}
    held = conn.namespace["data"]
    held["a"].append(5)  # a copy, for a call answered it
    assert conn.eval("data['a']") == [1, (2, None)]
    held["d"] = 1
    assert conn.eval("data['d']") == 1
    path = conn.modules.sys.path
    assert isinstance(path, Proxy)
    path.append("/nowhere")
    try:
        assert sys.path[-1] == "/nowhere"
    finally:
        sys.path.remove("/nowhere")


@pytest.mark.row("RP-13")
def test_local_code_uses_a_remote_module_in_place_of_its_own(conn):
    class Local:
        socket: Any = None

        @classmethod
        def serve(cls) -> str:
            listener = cls.socket.socket(cls.socket.AF_INET, cls.socket.SOCK_STREAM)
            with listener:
                listener.bind(("127.0.0.1", 0))
                listener.listen()
                with cls.socket.create_connection(listener.getsockname()) as client:
                    there, _ = listener.accept()
                    with there:
                        client.sendall(b"outside")
                        return bytes(there.recv(16)).decode()

    Local.socket = conn.modules.socket
    assert Local.serve() == "outside"


class Point:
    """Delivered by value."""

    def __init__(self, x: int) -> None:
        self.x = x

    def double(self) -> int:
        return self.x * 2


def adder(n: int) -> Any:
    def add(x: int) -> int:
        return x + n

    return add


@pytest.mark.row("RP-08", "RP-27", "RP-29")
def test_objects_are_delivered_teleported_and_obtained(conn):
    items = rpc.classic.deliver(conn, [1, [2]])
    assert isinstance(items, Proxy)
    items.append(3)
    copy = rpc.classic.obtain(items)
    assert copy == [1, [2], 3] and type(copy) is list
    point = rpc.classic.deliver(conn, Point(4))
    assert isinstance(point, Proxy) and point.double() == 8
    point.x = 5
    assert rpc.classic.obtain(point).double() == 10
    assert isinstance(conn.teleport(adder(5)), Proxy) and conn.teleport(adder(5))(3) == 8
    assert rpc.classic.obtain("here already") == "here already"
    with pytest.raises(TypeError, match="lock"):
        rpc.classic.deliver(conn, threading.Lock())


@pytest.mark.row("RP-27")
def test_a_teleported_function_finds_the_names_of_the_connection(conn):
    def answer(more=1, *, times=2):
        return (ANSWER + more) * times  # type: ignore[name-defined]  # noqa: F821 - it is there

    def outer():
        return lambda: -ANSWER  # type: ignore[name-defined]  # noqa: F821 - likewise

    there, nested = conn.teleport(answer), conn.teleport(outer)
    with pytest.raises(NameError, match="'ANSWER' is not defined"):
        there()
    conn.namespace["ANSWER"] = 42
    assert (there(), there(0, times=1), nested()()) == (86, 42, -42)
    conn.execute("ANSWER = 43; names = {'ANSWER': 5}")
    assert there() == 88
    assert rpc.classic.teleport_function(conn, answer, conn.namespace["names"])() == 12


@pytest.mark.row("RP-05")
def test_modules_and_classes_are_asked_as_those_of_here(conn):
    assert "xml.dom" in conn.modules
    assert "no_such_module" not in conn.modules
    assert 5 not in conn.modules
    names = conn.builtins
    error = names.LookupError("x")
    assert isinstance(error, names.LookupError) and isinstance(error, names.Exception)
    assert not isinstance(error, names.OSError) and not isinstance(5, names.str) and isinstance(5, names.int)
    assert issubclass(names.LookupError, names.Exception)
    assert not issubclass(names.Exception, names.LookupError)


@pytest.mark.row("RP-11")
def test_standard_streams_come_here_for_the_block_and_for_this_connection_alone(conn, server, monkeypatch):
    printing = (
        "import sys\ndef talk():\n    print('out'); print('err', file=sys.stderr); return input('? ')\n"
    )
    mine, theirs = io.StringIO(), io.StringIO()
    with rpc.classic.connect("localhost", server.port, key=KEY) as other:
        for end in (conn, other):
            end.execute(printing)
        monkeypatch.setattr(sys, "stdout", theirs)
        conn.root.redirect(io.StringIO("typed\n"), mine, mine)
        try:
            assert conn.namespace["talk"]() == "typed"
            other.execute("print('not mine')")
        finally:
            conn.root.restore()
        assert mine.getvalue() == "out\nerr\n? "
        assert theirs.getvalue() == "not mine\n"
        assert sys.stdout is theirs


@pytest.mark.row("RP-11")
def test_a_connection_that_is_lost_gives_the_streams_back(server):
    ordinary = sys.stdout
    conn = rpc.classic.connect("localhost", server.port, key=KEY)
    conn.root.redirect(io.StringIO(), io.StringIO(), io.StringIO())
    assert sys.stdout is not ordinary
    conn.close()
    wait_until(lambda: sys.stdout is ordinary)


@pytest.mark.row("RP-29")
def test_files_and_folders_travel_both_ways(conn, tmp_path):
    here = tmp_path / "here"
    (here / "inner").mkdir(parents=True)
    (here / "a").write_bytes(b"a" * 700_000)
    (here / "inner" / "b").write_bytes(b"")
    (here / "skip").write_bytes(b"x")
    rpc.classic.upload(conn, str(here), str(tmp_path / "there"), filter=lambda name: name != "skip")
    rpc.classic.download(conn, str(tmp_path / "there"), str(tmp_path / "back"), chunk_size=100_000)
    back = tmp_path / "back"
    found = {str(path.relative_to(back)): path.read_bytes() for path in back.rglob("*") if path.is_file()}
    assert found == {"a": b"a" * 700_000, "inner/b": b""}
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        rpc.classic.upload(conn, str(tmp_path / "none"), str(tmp_path / "there"))
    with pytest.raises(FileNotFoundError):
        rpc.classic.download(conn, str(tmp_path / "there" / "a"), str(Path("/no/such/folder")))


@pytest.mark.row("RP-07")
def test_a_console_takes_lines_until_the_end_of_input(conn, monkeypatch, capsys):
    typed = textwrap.dedent("""\
        def f(n):
            return n + 1

        f(41)
        print("printed")
        1 / 0
        x = (
        3)
        nonsense here
        x
        """)
    lines = iter(typed.splitlines())

    def read(prompt: str = "") -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    rpc.classic.interact(conn, {"given": 1})
    out, err = capsys.readouterr()
    assert out.split() == ["42", "printed", "3"]
    assert err.startswith(f"Python {sys.version}")
    assert "ZeroDivisionError: division by zero" in err and "SyntaxError" in err and "slave" not in err
    assert conn.eval("given") == 1
    lines = iter(["exit()", "print('not reached')"])
    rpc.classic.interact(conn)
    assert "not reached" not in capsys.readouterr().out


@pytest.mark.row("RP-11", "RP-21")
def test_what_failed_there_last_is_debugged_from_here(conn, monkeypatch, capsys):
    with pytest.raises(ValueError, match="no call of this connection failed"):
        rpc.classic.pm(conn)
    conn.execute("def divide(by):\n    return 1 / by")
    with pytest.raises(ZeroDivisionError):
        conn.namespace["divide"](0)
    assert conn.eval("1 + 1") == 2
    # What ends an iteration, or has no line of Python, leaves nothing to look at.
    conn.execute("class Empty:\n    def __next__(self):\n        raise StopIteration")
    with pytest.raises(StopIteration):
        next(conn.eval("Empty()"))
    with pytest.raises(TypeError):
        conn.builtins.len(5)
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", io.StringIO("p by + 40\nw\nq\n"))
        rpc.classic.pm(conn)
        out = capsys.readouterr().out
        assert "40" in out and "return 1 / by" in out and "slave" not in out


@pytest.mark.row("RP-29")
def test_a_module_or_package_is_copied_to_where_it_can_be_imported(conn, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / "here"))
    package = tmp_path / "here" / "shop_of_rpc"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_text("from shop_of_rpc.price import price\n")
    (package / "price.py").write_text("def price(): return 3\n")
    module = importlib.import_module("shop_of_rpc")
    there = tmp_path / "there"
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"purelib": str(there)})
    rpc.classic.upload_package(conn, module)
    rpc.classic.upload_package(conn, sys.modules["shop_of_rpc.price"], str(there / "single.py"))
    rpc.classic.upload_module(conn, sys.modules["shop_of_rpc.price"])
    assert sorted(os.listdir(there / "shop_of_rpc")) == ["__init__.py", "price.py"]
    assert (there / "single.py").read_text() == (package / "price.py").read_text()
    with pytest.raises(ValueError, match="no source file"):
        rpc.classic.upload_module(conn, sys)


@pytest.mark.row("RP-01")
def test_both_modes_prove_the_key_and_listen_at_loopback(server):
    assert server.host == "127.0.0.1"
    with pytest.raises(ConnectionError, match="authentication failed"):
        rpc.classic.connect("localhost", server.port, key=b"x" * 32)


@pytest.mark.row("RP-04")
def test_a_classic_connection_is_refused_or_a_context(server):
    with rpc.classic.connect("localhost", server.port, key=KEY) as conn:
        assert conn.eval("1") == 1
    assert conn.closed
    server.close()
    with pytest.raises(ConnectionRefusedError):
        rpc.classic.connect("localhost", server.port, key=KEY)


def test_the_sources_that_tracebacks_show_are_bounded():
    service = ClassicService()
    before = len(linecache.cache)
    for n in range(1100):
        assert service.eval(f"{n} + 1") == n + 1
    assert len(linecache.cache) <= before + 1000
