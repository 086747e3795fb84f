"""Server objects and their proxies."""

from __future__ import annotations

import sys

import pytest

from dispycos.easycluster import (
    RemoteProxy,
    define_common,
    make_server_class,
    make_singleton,
    server,
    server_objects,
)
from tests.helpers import wait_until
from tests.process.easycluster.conftest import NAME


@pytest.mark.row("EC-25", "EC-27", "EC-28")
def test_server_objects_stay_and_are_themselves_again_there(definitions):
    with server.spawn_local(definitions=definitions) as rmt:
        obj1 = rmt.TestObject1(100)
        where = f"local process {rmt.os.getpid()}"
        assert repr(obj1) == f"<RemoteProxy for oid 1 on {where}>"
        assert obj1.getval() == 100
        obj2 = obj1.newobj()
        assert repr(obj2) == f"<RemoteProxy for oid 2 on {where}>"
        assert rmt.get_object_vals([obj1, obj2]) == [100, 101]
        rmt.hold(obj1)
        assert rmt.is_held(obj1) and not rmt.is_held(obj2)
        assert rmt.held.value[0] is obj1
        assert rmt.eval("{'deep': [held]}")["deep"][0][0] is obj1


@pytest.mark.row("EC-25")
def test_a_proxy_is_refused_by_another_connection(rmt, definitions):
    with server.spawn_local(definitions=definitions) as other:
        thing = other.TestObject1(1)
        with pytest.raises(TypeError, match="belongs to its own connection"):
            rmt.addvals(thing, 1)
        assert rmt.addvals(1, 1) == 2


@pytest.mark.row("EC-25", "EC-41")
def test_a_dropped_proxy_frees_its_object(rmt):
    define_common(
        "freed = []\n"
        "class Freed(ServerObject):\n"
        "    def __init__(self, name):\n        self.name = name\n"
        "    def __del__(self):\n        freed.append(self.name)\n",
        NAME,
    )
    rmt.update_definitions()
    thing = rmt.Freed("it")
    assert rmt.freed.value == []
    del thing  # without a collection of garbage: nothing keeps it
    wait_until(lambda: rmt.freed.value == ["it"], what="the object to be freed")


@pytest.mark.row("EC-30", "EC-32")
def test_a_class_says_what_it_exports(rmt):
    obj2 = rmt.TestObject2(200)
    assert (obj2.val, obj2.getval()) == (200, 200)
    obj2.val = 5
    assert obj2.getval() == 5
    with pytest.raises(
        AttributeError, match="'dynamic_proxy_getval_val' object has no attribute 'non_existant_method'"
    ):
        obj2.non_existant_method()
    with pytest.raises(AttributeError, match="newobj"):
        obj2.newobj()
    with pytest.raises(AttributeError):
        obj2.other = 1


@pytest.mark.row("EC-30", "GN-05")
def test_only_what_is_exported_is_reached_whatever_is_asked(rmt, capsys):
    for obj in (rmt.TestObject2(200), rmt.TestObject1(1)):
        for name in ("_private", "__dict__", "__class__", "__init__", "__reduce_ex__", "__getattribute__"):
            with pytest.raises(AttributeError, match="cannot access"):
                obj.raw_get_attribute(name)
            with pytest.raises(AttributeError, match="cannot access"):
                obj.raw_call_method(name)
            with pytest.raises(AttributeError, match="cannot access"):
                obj.raw_set_attribute(name, 1)
    with pytest.raises(AttributeError, match="cannot access"):
        rmt.TestObject2(1).raw_call_method("newobj")


@pytest.mark.row("EC-30")
def test_subclasses_tables_count_whichever_class_was_seen_first(rmt):
    define_common(
        "class Base(ServerObject):\n    export_methods = ('a',)\n    def a(self): return 'a'\n"
        "    def b(self): return 'b'\n"
        "class Sub(Base):\n    export_methods = ('b',)\n"
        "class Auto(Base):\n    export_methods = '@auto'\n    export_attrs = ('@auto',)\n"
        "    def __init__(self): self.shown = 1; self._hidden = 2\n",
        NAME,
    )
    rmt.update_definitions()
    for order in (("Base", "Sub"), ("Sub", "Base")):
        made = {name: rmt.call(name) for name in order}
        assert made["Base"].a() == "a" and made["Sub"].b() == "b"
        for name, missing in (("Base", "b"), ("Sub", "a")):
            with pytest.raises(AttributeError):
                getattr(made[name], missing)()
    auto = rmt.Auto()
    assert (auto.a(), auto.b(), auto.shown) == ("a", "b", 1)
    with pytest.raises(AttributeError):
        auto._hidden


@pytest.mark.row("EC-30")
def test_a_cached_attribute_is_asked_for_once(rmt):
    define_common(
        "class Counted(ServerObject):\n    export_attrs_cache = ('number',)\n    asked = 0\n"
        "    @property\n    def number(self):\n        Counted.asked += 1\n        return Counted.asked\n",
        NAME,
    )
    rmt.update_definitions()
    counted = rmt.Counted()
    assert [counted.number, counted.number, counted.number] == [1, 1, 1]
    assert rmt.Counted.asked.value == 1


@pytest.mark.row("EC-31")
def test_proxies_are_of_the_class_that_is_named(rmt):
    obj3 = rmt.TestObject3(300)
    kind = sys.modules[NAME].TestObject3Proxy
    assert type(obj3) is kind and isinstance(obj3, RemoteProxy)
    assert (obj3.val, obj3.getval(), obj3.double()) == (300, 300, 600)
    obj3.val = 1
    assert obj3.raw_call_method("getval") == obj3.raw_get_attribute("val") == 1
    obj3.raw_set_attribute("val", 2)
    assert obj3.double() == 4
    obj3.note = "kept here"
    assert obj3.note == "kept here"
    with pytest.raises(AttributeError, match="TestObject3Proxy"):
        obj3.newobj()
    assert repr(obj3).startswith("<TestObject3Proxy for oid ")


@pytest.mark.row("EC-29")
def test_any_class_becomes_a_server_class(rmt):
    define_common("import array\nmake_server_class(array.array)\n", NAME)
    rmt.update_definitions()
    numbers = rmt.array.array("B", b"abc")
    assert isinstance(numbers, RemoteProxy)
    numbers.append(100)
    assert (len(numbers), numbers[0], list(numbers), 100 in numbers) == (4, 97, [97, 98, 99, 100], True)
    numbers[0] = 1
    assert numbers.tolist() == [1, 98, 99, 100]
    with pytest.raises(TypeError, match="always copied"):
        make_server_class(tuple)
    with pytest.raises(TypeError, match="no class"):
        make_server_class(3)
    with pytest.raises(TypeError, match="RemoteProxy"):
        make_server_class(type("T", (), {}), proxy_class=int)


@pytest.mark.row("EC-31", "EC-41")
def test_generators_and_operators_work_on_proxies(rmt):
    define_common(
        "import types\n"
        "make_server_class(types.GeneratorType, export_methods=('__next__', 'send', 'close'),\n"
        "                  proxy_class=SelfIterProxy)\n"
        "def count(n):\n    for i in range(n):\n        yield i\n"
        "class Number(ServerObject):\n"
        "    def __init__(self, n): self.n = n\n"
        "    def __add__(self, other):\n"
        "        return Number(self.n + (other.n if isinstance(other, Number) else other))\n"
        "    def __eq__(self, other): return isinstance(other, Number) and self.n == other.n\n"
        "    def __hash__(self): return self.n\n"
        "    def __call__(self): return self.n\n"
        "    def __iter__(self): return iter(range(self.n))\n"
        "    def __enter__(self): return self\n"
        "    def __exit__(self, *exc): self.n = -1\n",
        NAME,
    )
    rmt.update_definitions()
    assert list(rmt.count(3)) == [0, 1, 2]
    two = rmt.Number(2)
    assert (two + 3)() == 5 and (two + two)() == 4
    assert two == rmt.Number(2) and two != rmt.Number(3) and hash(two) == 2
    assert list(two) == [0, 1]
    with two as same:
        assert same is two
    assert two() == -1


@pytest.mark.row("EC-33")
def test_one_instance_is_proxied_and_others_copied(rmt):
    define_common(
        "class Thing:\n    def __init__(self, n): self.n = n\n"
        "single = make_singleton(Thing(1), export_attrs=('n',))\n"
        "def both():\n    return single, Thing(2)\n",
        NAME,
    )
    rmt.update_definitions()
    single, copied = rmt.both()
    assert isinstance(single, RemoteProxy) and single.n == 1
    assert type(copied) is sys.modules[NAME].Thing and copied.n == 2
    assert rmt.eval("single is x", x=single)
    with pytest.raises(TypeError, match="always copied"):
        make_singleton(())


@pytest.mark.row("EC-29", "EC-33")
def test_built_in_containers_become_server_objects_too(monkeypatch):
    # The block runs here as well, and other tests want their dicts.
    monkeypatch.setattr(server_objects, "_classes", dict(server_objects._classes))
    monkeypatch.setattr(server_objects, "_singletons", {})
    monkeypatch.setattr(server_objects, "_containers_stay", False)
    name = NAME + "_containers"
    define_common(
        "make_server_class(dict)\n"
        "kept = {'a': [1, 2], 'b': {'c': 3}}\n"
        "chosen = make_singleton([1, 2])\n"
        "def nested():\n    return [1, (kept, [2]), chosen, [4]]\n"
        "def is_kept(thing):\n    return thing is kept\n",
        name,
    )
    with server.spawn_local(definitions=name) as rmt:
        kept = rmt.kept.value
        assert isinstance(kept, RemoteProxy) and rmt.is_kept(kept) and len(kept) == 2
        kept["new"] = 5
        assert rmt.eval("kept['new']") == 5
        assert isinstance(kept["b"], RemoteProxy) and kept["b"]["c"] == 3
        assert kept["a"] == [1, 2]
        one, (same, two), chosen, copied = rmt.nested()
        assert (one, two, copied) == (1, [2], [4]) and same is kept
        chosen.append(3)
        assert rmt.eval("chosen + [4]") == [1, 2, 3, 4]
        # What is ours is sent by value as ever, with the calls themselves.
        assert rmt.eval("type(x).__name__", x={}) == "dict"


@pytest.mark.row("EC-42", "EC-41")
def test_reconnecting_makes_proxies_stale(definitions):
    with server.spawn_local(definitions=definitions) as rmt:
        thing, pid = rmt.TestObject1(1), rmt.os.getpid()
        rmt.reconnect()
        assert rmt.os.getpid() != pid and rmt.addvals(1, 2) == 3
        assert repr(thing) == "<RemoteProxy for oid 1 on <closed connection>>"
        for use in (thing.getval, lambda: rmt.addvals(thing, 1)):
            with pytest.raises(OSError, match="closed"):
                use()
