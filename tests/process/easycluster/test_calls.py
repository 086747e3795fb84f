"""Remote calls, names, definitions and errors."""

from __future__ import annotations

import os
import pickle
import sys

import pytest

from dispycos.easycluster import RemoteException, define_common, server
from dispycos.errors import DumpError
from tests.process.easycluster.conftest import NAME


@pytest.mark.row("EC-15", "EC-16", "EC-17")
def test_functions_of_a_block_are_called_there_and_here(rmt):
    assert rmt.addvals(3, 4) == 7
    assert rmt.call("subvals", 15, b=4) == 11
    assert sys.modules[NAME].addvals(1, 2) == 3
    assert rmt.os.getpid() != os.getpid()
    with pytest.raises(NameError, match="name 'nothing' is not defined"):
        rmt.nothing()


@pytest.mark.row("EC-17")
def test_names_are_read_and_set(rmt):
    rmt.limit.value = [1, 2]
    assert rmt.limit.value == [1, 2]
    assert rmt.eval("limit + more", more=[3]) == [1, 2, 3]
    rmt.sys.path.value.append("a copy")  # which is changed here only
    assert "a copy" not in rmt.sys.path.value
    with pytest.raises(AttributeError, match="no_such_thing"):
        rmt.os.no_such_thing.value
    with pytest.raises(AttributeError, match="value"):
        rmt.limit.other = 1
    assert rmt.execblock("y = x * 2\nif y > 5: exec_return('big')\nexec_return('small')", x=3) == "big"
    assert rmt.y.value == 6
    assert rmt.execblock("pass") is None


@pytest.mark.row("EC-16")
def test_a_syntax_error_is_raised_where_it_is(rmt):
    with pytest.raises(SyntaxError):
        define_common("def broken(:", NAME)
    with pytest.raises(ZeroDivisionError):
        define_common("1 / 0", NAME)
    rmt.update_definitions()
    assert rmt.addvals(1, 1) == 2


@pytest.mark.row("EC-16")
@pytest.mark.parametrize("name", ["json", "no-name", "", "a..b"])
def test_a_name_that_is_taken_or_none_is_refused(name):
    with pytest.raises(ValueError, match="module"):
        define_common("x = 1", name)


@pytest.mark.row("EC-16", "EC-20", "EC-26")
def test_new_definitions_are_sent_and_pickled_by_reference_both_ways():
    define_common(
        "class Point:\n    def __init__(self, x):\n        self.x = x\ndef same(p):\n    return p, type(p)\n"
    )
    with server.spawn_local() as rmt:
        from dispycos.easycluster.remote_code import Point

        point, kind = rmt.same(Point(3))
        assert kind is Point and type(point) is Point and point.x == 3
        assert rmt.same(Point)[0] is Point
        define_common("def late():\n    return Point(5)")
        with pytest.raises(NameError):
            rmt.late()
        rmt.update_definitions()
        assert rmt.late().x == 5


@pytest.mark.row("EC-21")
def test_modules_of_definitions_stand_side_by_side():
    define_common("def who():\n    return 'one'\nonly = 1", "dispycos_test_one")
    define_common("def who():\n    return 'two'", "dispycos_test_two")
    with server.spawn_local(definitions="dispycos_test_two") as rmt:
        assert rmt.who() == "two"
        with pytest.raises(NameError):
            rmt.only.value
    with server.spawn_local(definitions=("dispycos_test_two", "dispycos_test_one")) as rmt:
        assert (rmt.who(), rmt.only.value) == ("two", 1)
        assert rmt.dispycos_test_one.who() == "one"


@pytest.mark.row("EC-22")
def test_a_block_does_not_see_the_masters_imports(rmt):
    define_common("def hello():\n    os.getcwd()", NAME)
    rmt.update_definitions()
    with pytest.raises(NameError, match="'os'"):
        rmt.hello()
    with pytest.raises(NameError, match="'os'"):
        sys.modules[NAME].hello()


@pytest.mark.row("EC-18")
def test_modules_are_imported_on_demand(rmt):
    assert rmt.xml.etree.ElementTree.iselement(3) is False
    with pytest.raises(ImportError, match="no_such_module_here"):
        rmt.no_such_module_here.function()
    with pytest.raises(AttributeError, match="no_such_thing"):
        rmt.os.no_such_thing()
    assert rmt.len([1, 2]) == 2


@pytest.mark.row("EC-23")
def test_a_library_that_is_missing_there_is_named_with_the_server(rmt):
    with pytest.raises(ModuleNotFoundError, match=r"no_such_library.*local process \d+") as caught:
        rmt.execblock("import no_such_library")
    assert caught.value.name == "no_such_library"


@pytest.mark.row("EC-19")
def test_results_are_copies_and_what_cannot_be_copied_is_an_error(rmt):
    value = {"a": [1, (2.5, None), {3}], b"c": range(3)}
    assert rmt.eval("v", v=value) == value
    one = rmt.eval("held")
    assert one is not rmt.eval("held")
    named = rmt.os.terminal_size((80, 24))
    assert type(named) is os.terminal_size and named.columns == 80
    for bad in ("threading.Lock()", "lambda: 1", "memoryview(b'')"):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError), match="pickle"):
            rmt.eval(bad)
    with pytest.raises((DumpError, AttributeError), match="pickle"):
        rmt.addvals(lambda: 1, 2)
    assert rmt.addvals(1, 2) == 3


def test_a_function_of_the_script_itself_is_refused_with_a_hint(rmt, run_python):
    code, out, err = run_python(
        "from dispycos.easycluster import server\n"
        "def f(): pass\n"
        "with server.spawn_local() as rmt:\n"
        "    try: rmt.eval('f', f=f)\n"
        "    except ValueError as exc: print(exc)\n"
    )
    assert code == 0, err
    assert "f is defined in the script itself; put it into a block of define_common" in out


@pytest.mark.row("EC-24")
def test_exceptions_are_raised_here_as_they_were(rmt, capsys):
    with pytest.raises(KeyError) as caught:
        rmt.fail()
    assert caught.value.args == ("no", 3)
    assert isinstance(caught.value.__cause__, ValueError)
    printed = capsys.readouterr().err
    assert "raise KeyError('no', 3) from ValueError('cause')" in printed and "in fail" in printed
    assert "served.py" not in printed


@pytest.mark.row("EC-24")
def test_report_exception_is_overridden(definitions):
    from dispycos.easycluster import Client

    class Mine(Client):
        seen: list[RemoteException]

        def report_exception(self, exc):
            self.seen.append(exc)

    Mine.seen = []
    with server.spawn_local(Mine, definitions=definitions) as rmt:
        assert type(rmt) is Mine
        with pytest.raises(KeyError):
            rmt.fail()
        (seen,) = Mine.seen
        assert isinstance(seen.orig, KeyError) and "in fail" in seen.text


@pytest.mark.row("EC-24")
def test_exceptions_with_odd_constructors_and_of_unknown_classes_arrive(rmt, capsys):
    define_common(
        "class Odd(Exception):\n"
        "    def __init__(self, a, *, b):\n"
        "        super().__init__(a)\n"
        "        self.b = b\n"
        "def odd():\n    raise Odd(1, b=2)\n"
        "def local():\n"
        "    class Local(Exception): pass\n"
        "    raise Local('text')\n",
        NAME,
    )
    rmt.update_definitions()
    with pytest.raises(Exception, match="1"):
        rmt.odd()
    with pytest.raises(Exception, match=r"Local: text"):
        rmt.local()
    assert rmt.addvals(1, 2) == 3


@pytest.mark.row("EC-39")
def test_what_is_raised_and_printed_is_chosen_for_each_call(rmt, capsys):
    with pytest.raises(KeyError):
        rmt.fail(origexc="quiet")
    with pytest.raises(RemoteException, match="KeyError") as caught:
        rmt.fail(origexc=False)
    assert isinstance(caught.value.orig, KeyError) and "in fail" in caught.value.text
    assert capsys.readouterr().err == ""
    with pytest.raises(KeyError):
        rmt.fail(origexc=True)
    assert "in fail" in capsys.readouterr().err
    with pytest.raises(ValueError, match="origexc"):
        rmt.fail(origexc="loud")


def test_what_would_end_the_master_does_not(rmt):
    for call in (lambda: rmt.sys.exit(3), lambda: rmt.execblock("raise KeyboardInterrupt")):
        with pytest.raises(RemoteException, match=r"SystemExit: 3|KeyboardInterrupt"):
            call()
    assert rmt.addvals(1, 2) == 3


@pytest.mark.parametrize("compress", [False, True])
def test_large_values_travel_compressed_too(definitions, compress):
    with server.spawn_local(definitions=definitions, compress=compress) as rmt:
        data = os.urandom(3_000_000)
        assert rmt.addvals(data, b"end") == data + b"end"
        assert rmt.TestObject1([1]).getval() == [1]
        with pytest.raises(KeyError):
            rmt.fail(origexc="quiet")
