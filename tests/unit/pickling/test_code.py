"""Functions and classes by value: what a client's program is made of works on a bare server."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import pickle
import sys
import textwrap
import threading
import traceback
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos.errors import NotSerializable, VersionMismatch
from dispycos.pickling import code, stubs, values
from dispycos.pickling.code import dump_components, dump_definition, hashes
from dispycos.pickling.rebuild import Namespace
from dispycos.pickling.values import dump_call
from tests import helpers
from tests.unit.pickling.shipping import EPILOGUE, PRELUDE, Orders, Server, carry_out, orders_of, program

PROGRAM = '''
import abc
import dataclasses
import enum
import functools
import threading
import typing
import xml.etree.ElementTree
from collections import namedtuple

counter = 0
table = {"a": 1}
lock = threading.Lock()
T = typing.TypeVar("T")


def bump():
    global counter
    counter += 1
    return counter


def read():
    return counter


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def use_lock():
    return lock


def parse():
    return xml.etree.ElementTree.fromstring("<a/>").tag


def with_default(value=[1], *, more={"x": 1}):
    """Its doc."""
    return value, more


def hundred_more(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) + 100
    return wrapper


@hundred_more
def decorated(n):
    return 0 if n < 1 else decorated(n - 1)


@functools.lru_cache(maxsize=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


class Base:
    limit = 3

    def hello(self):
        return "base"


class Child(Base):
    made = 0

    def __init__(self, value=0):
        self.value = value

    def hello(self):
        return "child of " + super().hello()

    @classmethod
    def name(cls):
        return cls.__name__

    @staticmethod
    def six():
        return factorial(3)

    @property
    def double(self):
        return self.value * 2

    @functools.cached_property
    def slow(self):
        return self.value + 1

    class Inner:
        x = 7

    def __eq__(self, other):
        return type(self) is type(other) and self.value == other.value

    __hash__ = None


@dataclasses.dataclass(order=True)
class Point:
    x: int
    tags: list = dataclasses.field(default_factory=list)
    kind: typing.ClassVar[str] = "point"


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: int = 1


class Color(enum.Enum):
    RED = 1
    BLUE = 2
    CRIMSON = 1

    def low(self):
        return self.name.lower()

    @classmethod
    def _missing_(cls, value):
        return cls.BLUE


class Planet(enum.Enum):
    EARTH = (1, 2)

    def __init__(self, mass, radius):
        self.mass = mass


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3


class Level(enum.IntEnum):
    LOW = 1


class Slotted:
    __slots__ = ("a", "__b")

    def __init__(self):
        self.a, self.__b = 1, 2

    def b(self):
        return self.__b


class Named(typing.NamedTuple):
    x: int = 1

    def double(self):
        return self.x * 2


class Box(typing.Generic[T]):
    def what(self):
        return "box"


class Abstract(abc.ABC):
    @abc.abstractmethod
    def run(self): ...


class Concrete(Abstract):
    def run(self):
        return "ran"


class Virtual:
    pass


Abstract.register(Virtual)


class Meta(type):
    def __call__(cls, *args):
        made = super().__call__(*args)
        made.by_meta = True
        return made


class ByMeta(metaclass=Meta):
    pass


class Registry:
    known = []

    def __init_subclass__(cls, *, tag, **keywords):
        Registry.known.append(cls.__name__)
        cls.tag = tag


class Registered(Registry, tag="t"):
    pass


@functools.singledispatch
def kind_of(value):
    return "something"


@kind_of.register
def _(value: int):
    return "int"


class Dispatching:
    @functools.singledispatchmethod
    def kind(self, value):
        return "something"

    @kind.register
    def _(self, value: int):
        return "int"


class Typed(typing.TypedDict):
    a: int


@typing.runtime_checkable
class Runs(typing.Protocol):
    def run(self): ...


Pair = namedtuple("Pair", "a b")
part = functools.partial(factorial, 4)


def make_counter():
    n = 0

    def up():
        nonlocal n
        n += 1
        return n

    def value():
        return n

    return up, value


def scale(by):
    return lambda x: x * by


def same_name_one():
    def helper():
        return "one"
    return helper


def same_name_two():
    def helper():
        return "two"
    return helper


def helper():
    return "top"


def all_helpers():
    return helper(), same_name_one()(), same_name_two()()


def fail():
    value = 1
    raise ValueError("on purpose")  # the line to be seen


def own_class():
    class Local:
        pass
    return Local()


def is_point(value):
    return isinstance(value, Point)


def two(function):
    return [function, function]
'''


@pytest.fixture(scope="module")
def main(tmp_path_factory: pytest.TempPathFactory) -> Iterator[types.ModuleType]:
    with program(PROGRAM, tmp_path_factory.mktemp("client") / "client_program.py") as module:
        yield module


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[types.ModuleType]:
    """The same program once more, to be changed."""
    with program(PROGRAM, tmp_path / "fresh_program.py", "fresh_program") as module:
        yield module


# What works.

WORKS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "recursion": (lambda m: m.factorial(5), 120),
    "mutual recursion": (lambda m: (m.even(10), m.odd(10)), (True, False)),
    "a submodule": (lambda m: m.parse(), "a"),
    "defaults": (lambda m: (m.with_default(), m.with_default.__doc__), (([1], {"x": 1}), "Its doc.")),
    "a decorated function": (lambda m: m.decorated(3), 400),
    "its original": (lambda m: m.decorated.__wrapped__(0), 0),
    "an lru_cache": (lambda m: (m.fib(30), m.fib.cache_info().hits > 0), (832040, True)),
    "a partial": (lambda m: m.part(), 24),
    "inheritance and super": (lambda m: m.Child().hello(), "child of base"),
    "inherited attributes": (lambda m: m.Child.limit, 3),
    "class methods": (lambda m: (m.Child.name(), m.Child().name()), ("Child", "Child")),
    "static methods": (lambda m: m.Child.six(), 6),
    "properties": (lambda m: (m.Child(4).double, m.Child(4).slow), (8, 5)),
    "nested classes": (lambda m: m.Child.Inner().x, 7),
    "dataclasses": (lambda m: (m.Point(1), m.Point(1) < m.Point(2)), None),
    "fields": (lambda m: [f.name for f in m.dataclasses.fields(m.Point)], ["x", "tags"]),
    "replace": (lambda m: m.dataclasses.replace(m.Point(1), x=5).x, 5),
    "frozen slotted dataclasses": (lambda m: (m.Frozen(3).x, hasattr(m.Frozen(3), "__dict__")), (3, False)),
    "enums": (lambda m: (m.Color.RED.low(), m.Color(1).name, m.Color["BLUE"].value), ("red", "RED", 2)),
    "enum aliases": (lambda m: m.Color.CRIMSON is m.Color.RED, True),
    "enum hooks": (lambda m: m.Color(99).name, "BLUE"),
    "enums with constructors": (lambda m: (m.Planet.EARTH.mass, m.Planet((1, 2)).name), (1, "EARTH")),
    "flags": (lambda m: (m.Access.READ | m.Access.WRITE) is m.Access.BOTH, True),
    "int enums": (lambda m: m.Level.LOW + 1, 2),
    "slots": (lambda m: (m.Slotted().b(), hasattr(m.Slotted(), "__dict__")), (2, False)),
    "named tuples": (lambda m: (m.Named(4).double(), m.Pair(1, 2).b, m.Pair._fields), (8, 2, ("a", "b"))),
    "generics": (lambda m: (m.Box().what(), m.Box[int]().what()), ("box", "box")),
    "abstract classes": (lambda m: m.Concrete().run(), "ran"),
    "virtual subclasses": (lambda m: issubclass(m.Virtual, m.Abstract), True),
    "metaclasses": (lambda m: m.ByMeta().by_meta, True),
    "hooks for subclasses": (lambda m: (m.Registered.tag, m.Registry.known), ("t", ["Registered"])),
    "single dispatch": (lambda m: (m.kind_of(1), m.kind_of("a")), ("int", "something")),
    "methods by type": (lambda m: (m.Dispatching().kind(1), m.Dispatching().kind("")), ("int", "something")),
    "typed dicts": (lambda m: m.Typed(a=1), {"a": 1}),
    "protocols": (lambda m: isinstance(m.Concrete(), m.Runs), True),
    "closures": (lambda m: m.scale(3)(5), 15),
    "same names of different scopes": (lambda m: m.all_helpers(), ("top", "one", "two")),
}


@pytest.mark.row("DC-46", "DC-50")
@pytest.mark.rule("D5")
@pytest.mark.parametrize("what", WORKS)
def test_what_a_program_is_made_of_works_on_a_server(main: Any, server: Server, what: str) -> None:
    """The expression is compiled into the client's program: its names are that program's globals."""
    expression, expected = WORKS[what]
    names = [name for name in expression.__code__.co_names if name in vars(main)]
    job = eval(f"lambda m: m({', '.join(f'{name}={name}' for name in names)})", vars(main))
    theirs = server.call(job, types.SimpleNamespace)
    here = expression(main)
    assert expected is None or here == expected
    assert repr(expression(theirs)) == repr(here)
    for name in names:
        if isinstance(vars(main)[name], type | types.FunctionType):
            assert vars(theirs)[name] is not vars(main)[name]


@pytest.mark.row("DC-45")
def test_lambdas_nested_functions_and_closures_travel_as_functions_and_as_arguments(
    main: Any, server: Server
) -> None:
    by = 3
    assert server.call(lambda x: x * by, 5) == 15
    assert server.call(main.scale(4), 5) == 20
    assert server.call(lambda function, x: function(x), main.scale(5), 2) == 10


@pytest.mark.row("DC-45")
def test_functions_that_share_a_variable_share_it_there_too(main: Any, server: Server) -> None:
    up, value = server.namespace.load(code.dumps(main.make_counter()))
    up()
    up()
    assert value() == 2
    other_up, other_value = server.namespace.load(code.dumps(main.make_counter()))
    other_up()
    assert (value(), other_value()) == (2, 1)


@pytest.mark.row("DC-45")
def test_a_nested_function_may_call_itself(server: Server) -> None:
    def fact(n: int) -> int:
        return 1 if n < 2 else n * fact(n - 1)

    assert server.call(fact, 5) == 120
    again = server.namespace.load(code.dumps(fact))
    assert again.__closure__[0].cell_contents is again


@pytest.mark.row("DC-45", "DC-22")
def test_a_captured_variable_that_cannot_travel_is_named(main: Any) -> None:
    lock = threading.Lock()

    def inner() -> Any:
        return lock

    with pytest.raises(NotSerializable, match=r"captured variable 'lock' of .*inner: cannot pickle '_thread"):
        dump_definition(inner)

    def default(stream: Any = (n for n in "ab")) -> Any:
        return stream

    with pytest.raises(NotSerializable, match=r"default value 1 of .*default: cannot pickle 'generator'"):
        dump_definition(default)

    class Holder:
        guard = lock

    with pytest.raises(NotSerializable, match=r"attribute 'guard' of .*Holder"):
        dump_definition(Holder)
    with pytest.raises(NotSerializable, match=r"attribute 'guard' of .*Holder"):
        dump_definition(lambda: Holder)


@pytest.mark.row("DC-50")
def test_a_global_that_cannot_travel_stays_behind(main: Any, server: Server) -> None:
    with pytest.raises(NameError, match="lock") as missing:
        server.call(main.use_lock)
    told = values.load_exception(*values.dump_exception(missing.value))
    assert told.__notes__ == ["'lock' of this program can't be sent: cannot pickle '_thread.lock' object"]


@pytest.mark.row("DC-50")
def test_another_name_that_is_missing_is_not_explained_by_it(
    fresh: Any, server: Server, tmp_path: Path
) -> None:
    def notes(function: Any) -> list[str]:
        with pytest.raises(NameError) as missing:
            server.call(function)
        told = values.load_exception(*values.dump_exception(missing.value))
        return getattr(told, "__notes__", [])

    assert notes(fresh.use_lock)
    exec("def late():\n    if lock is None:\n        lock = 1", vars(fresh))
    assert not notes(fresh.late)  # a local variable
    with program("def use_lock(): return lock", tmp_path / "second.py", "second") as second:
        assert not notes(second.use_lock)  # that module has none
    # It has another value since, which travels.
    fresh.lock = 3
    assert Server().call(eval("lambda: lock", vars(fresh))) == 3
    with pytest.raises(NameError) as missing:
        exec("lock", {"__name__": "fresh_program"})
    assert not hasattr(values.load_exception(*values.dump_exception(missing.value)), "__notes__")


@pytest.mark.row("DC-46")
def test_methods_and_callable_instances_are_functions_too(main: Any, server: Server) -> None:
    assert server.call(main.Child(4).hello) == "child of base"
    assert server.call(main.Child.name) == "Child"
    assert server.call(main.part) == 24
    assert server.call(main.Child, 3).value == 3


@pytest.mark.row("DC-46")
def test_builtins_and_installed_functions_travel_by_name(server: Server) -> None:
    for function in (math.sqrt, os.path.join, textwrap.dedent, len):
        assert len(dump_definition(function)[1].data) < 80
        assert server.namespace.load(dump_definition(function)[1].data) is function


# One namespace.


@pytest.mark.row("DC-47")
@pytest.mark.rule("D5")
def test_a_global_set_by_one_task_is_seen_by_the_next(main: Any, server: Server) -> None:
    assert [server.call(main.bump), server.call(main.bump), server.call(main.read)] == [1, 2, 2]
    assert main.counter == 0


@pytest.mark.row("DC-47", "DC-50")
@pytest.mark.rule("D5")
def test_a_later_shipment_never_resets_a_value(fresh: Any, server: Server) -> None:
    server.call(fresh.bump)
    fresh.counter = 77
    exec("def later():\n    return counter, table", vars(fresh))
    assert server.call(fresh.later) == (1, {"a": 1})
    assert server.call(fresh.bump) == 2


@pytest.mark.row("DC-46", "DC-49")
@pytest.mark.rule("D5")
def test_a_redefined_function_is_new_for_later_tasks(fresh: Any, server: Server) -> None:
    assert server.call(fresh.all_helpers)[0] == "top"
    before = dump_definition(fresh.all_helpers)[0]
    exec("def helper():\n    return 'newer'", vars(fresh))
    assert dump_definition(fresh.all_helpers)[0] != before
    assert server.call(fresh.all_helpers)[0] == "newer"


@pytest.mark.row("DC-46")
def test_a_redefined_class_is_new_for_later_tasks(fresh: Any, server: Server) -> None:
    exec("def ask():\n    return Child().hello()", vars(fresh))
    assert server.call(fresh.ask) == "child of base"
    exec("class Child:\n    def hello(self):\n        return 'new'", vars(fresh))
    assert server.call(fresh.ask) == "new"


@pytest.mark.row("DC-46")
def test_a_method_replaced_in_its_class_is_new_for_later_tasks(fresh: Any, server: Server) -> None:
    exec("def ask():\n    return Child().hello()", vars(fresh))
    assert server.call(fresh.ask) == "child of base"
    fresh.Child.hello = lambda self: "replaced"
    assert server.call(fresh.ask) == "replaced"


@pytest.mark.row("DC-47")
def test_a_definition_that_a_task_replaced_is_left_alone(fresh: Any, server: Server) -> None:
    exec("def replace():\n    global helper\n    helper = lambda: 'by a task'", vars(fresh))
    assert server.call(fresh.all_helpers)[0] == "top"
    server.call(fresh.replace)
    exec("def later():\n    return helper()", vars(fresh))
    assert server.call(fresh.later) == "by a task"


@pytest.mark.row("DC-47")
def test_counting_in_a_class_does_not_make_it_another_class(fresh: Any, server: Server) -> None:
    exec("def count(it):\n    Child.made += 1\n    return Child.made, type(it) is Child", vars(fresh))
    assert server.call(fresh.count, fresh.Child()) == (1, True)
    fresh.Child.made = 10
    fresh.Child.more = 1
    assert server.call(fresh.count, fresh.Child()) == (2, True)


@pytest.mark.row("DC-47")
def test_programs_with_the_same_names_do_not_mix(main: Any, fresh: Any, server: Server) -> None:
    assert [server.call(main.bump), server.call(fresh.bump), server.call(main.bump)] == [1, 1, 2]


@pytest.mark.row("DC-46")
def test_globals_of_an_exec_are_a_scope_of_their_own(server: Server) -> None:
    one: dict[str, Any] = {}
    two: dict[str, Any] = {"__name__": "two"}
    source = "n = 0\ndef f():\n    global n\n    n += 1\n    return n\nclass C: pass\ndef g(): return C()"
    exec(source, one)
    exec(source, two)
    assert [server.call(one["f"]), server.call(one["f"]), server.call(two["f"])] == [1, 2, 1]
    assert type(server.call(one["g"])).__name__ == "C"


# Identity.


@pytest.mark.rule("D5")
def test_a_class_is_the_same_class_each_time(main: Any, server: Server) -> None:
    assert server.call(main.is_point, main.Point(1))
    one = server.namespace.load(code.dumps(main.Point))
    assert server.namespace.load(code.dumps([main.Point(1), main.Child]))[0].__class__ is one
    first, second = server.call(main.two, main.factorial)
    assert first is second


@pytest.mark.row("DC-46")
def test_what_comes_back_is_of_the_client_s_own_classes(main: Any, tmp_path: Path) -> None:
    orders = Orders()
    orders.call(main.Point, 4)
    orders.call(main.two, main.factorial)
    orders.call(main.Color, 2)
    orders.call(main.own_class)
    point, functions, color, local = carry_out(orders, tmp_path)
    assert type(point) is main.Point
    assert functions[0] is main.factorial
    assert color is main.Color.BLUE
    assert type(local).__qualname__ == "own_class.<locals>.Local"


@pytest.mark.row("DC-46")
def test_instances_of_program_classes_travel_as_values(main: Any, tmp_path: Path) -> None:
    orders = Orders()
    orders.call(
        lambda *items: items, main.Child(3), main.Named(2), main.Color.RED, main.Access.READ, main.Slotted
    )
    child, named, color, flag, slotted = carry_out(orders, tmp_path)[0]
    assert child == main.Child(3)
    assert type(named) is main.Named
    assert color is main.Color.RED
    assert flag is main.Access.READ
    assert slotted is main.Slotted


# Hashes.


@pytest.mark.row("DC-49")
@pytest.mark.rule("D5")
def test_the_same_function_has_the_same_hash_each_time(main: Any) -> None:
    for function in (main.factorial, main.decorated, main.Child, main.part, main.scale(2), main.fib):
        assert len({dump_definition(function)[0] for _ in range(5)}) == 1
    assert dump_definition(main.factorial)[1] is dump_definition(main.factorial)[1]


@pytest.mark.row("DC-49")
def test_equal_lambdas_have_one_hash(main: Any) -> None:
    assert len({dump_definition(lambda x: x + 1)[0] for _ in range(100)}) == 1
    assert len({dump_definition(lambda x, i=i: x + i)[0] for i in range(10)}) == 10


@pytest.mark.row("DC-49")
def test_a_changed_value_in_a_closure_is_another_hash(main: Any, server: Server) -> None:
    seen: list[int] = []

    def count() -> int:
        return len(seen)

    first = dump_definition(count)[0]
    assert server.call(count) == 0
    seen.append(1)
    assert dump_definition(count)[0] != first
    assert server.call(count) == 1

    up, value = main.make_counter()
    assert server.call(value) == 0
    up()
    assert server.call(value) == 1


@pytest.mark.row("DC-49")
def test_changed_code_or_defaults_are_another_hash(fresh: Any) -> None:
    found = {dump_definition(fresh.with_default)[0]}
    fresh.with_default.__defaults__ = ([2],)
    found.add(dump_definition(fresh.with_default)[0])
    fresh.with_default.__kwdefaults__ = {"more": 3}
    found.add(dump_definition(fresh.with_default)[0])
    fresh.with_default.__code__ = (lambda value, *, more: more).__code__
    found.add(dump_definition(fresh.with_default)[0])
    assert len(found) == 4


@pytest.mark.row("DC-49")
@pytest.mark.rule("D5")
def test_the_same_program_has_the_same_hashes_in_another_process(tmp_path: Path) -> None:
    source = tmp_path / "prog.py"
    source.write_text(
        "def f(n): return n and f(n - 1)\nclass C:\n    def m(self): return f(1)\ndef g(): return C().m()\n"
        "from dispycos.pickling.code import dump_definition\n"
        "print([dump_definition(x)[0].hex() for x in (f, C, g, lambda: f(2))])\n"
    )
    first = helpers.run_python(source)
    assert first.code == 0, first.err
    assert helpers.run_python(source).out == first.out


def test_functions_and_classes_are_not_kept_alive() -> None:
    def make() -> Any:
        class Local:
            def m(self) -> Any:
                return Local

        def f() -> Any:
            return Local

        dump_definition(f)
        dump_definition(Local)
        code.dumps(Local())
        return weakref.ref(Local), weakref.ref(f)

    gone = [make() for _ in range(3)]
    gc.collect()
    assert [ref() for pair in gone for ref in pair] == [None] * 6


# Components, and modules.


@pytest.mark.row("DC-49", "DC-47")
def test_components_are_known_by_their_hashes(main: Any, tmp_path: Path) -> None:
    components = [main.bump, main.Child, main.Point(1), main.factorial]
    assert dump_definition(main.bump)[0] in hashes(components)
    assert dump_definition(main.read)[0] not in hashes(components)
    orders = Orders()
    orders.components(dump_components(components))
    orders.call_by_hash(main.bump)
    orders.call_by_hash(main.factorial, 4)
    orders.call(main.read)
    orders.call_by_hash(main.even, 1)
    *answers, unknown = carry_out(orders, tmp_path)
    assert answers == [[], 1, 24, 1]
    assert isinstance(unknown, LookupError)


def test_components_bind_their_names(main: Any) -> None:
    namespace = Namespace(shared=False)
    namespace.load_components(dump_components([main.Child, main.bump]))
    scope = next(scope for scope in namespace._scopes if scope[1] == "client_program")
    names = vars(namespace.module(scope))
    assert names["Child"]().hello() == "child of base"
    assert names["counter"] == 0


@pytest.mark.row("DC-51")
def test_own_modules_travel_as_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "ownpack"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("from .one import ONE\nSTATE = []\n")
    (package / "one.py").write_text(
        "ONE = 1\nclass K:\n    pass\n\ndef fail():\n    raise KeyError('there')\n"
    )
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "two.py").write_text("from ..one import ONE\nTWO = ONE + 1\n")
    (tmp_path / "ownmod.py").write_text("import ownpack.deep.two as two\ndef f():\n    return two.TWO\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import ownmod  # type: ignore[import-not-found]
    import ownpack  # type: ignore[import-not-found]

    source = (
        "import ownmod, ownpack\nfrom ownpack.one import K\n"
        "def use(): return ownmod.f(), ownpack.ONE, ownpack.__file__\n"
        "def inside():\n    import ownpack.deep.two\n    return ownpack.deep.two.TWO\n"
        "def same(k): return type(k) is K, type(k) is ownpack.one.K\n"
        "def back(): return ownpack.one.K()\n"
        "def fail(): ownpack.one.fail()\n"
    )
    try:
        with program(source, tmp_path / "uses_modules.py", "uses_modules") as main:
            orders = Orders()
            orders.components(dump_components([ownmod, ownpack, os, math]))
            for function in (main.use, main.inside, ownmod.f):
                orders.call(function)
            orders.call(main.same, ownpack.one.K())
            orders.call(main.back)
            orders.call(main.fail)
            missing, use, inside, f, same, back, error = carry_out(orders, tmp_path / "server")
        assert missing == []
        assert use == (2, 1, str(package / "__init__.py"))
        assert (inside, f) == (2, 2)
        assert same == (True, True)
        assert type(back) is ownpack.one.K
        assert "raise KeyError('there')" in str(error.__cause__)
    finally:
        for name in [name for name in sys.modules if name.startswith(("ownmod", "ownpack"))]:
            del sys.modules[name]


@pytest.mark.row("DC-51", "DC-50")
def test_a_missing_module_is_named_when_the_task_starts_and_breaks_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onlyhere.py").write_text("X = 1\ndef f(): return X\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    source = (
        "import onlyhere\nfrom onlyhere import f\n"
        "def uses(): return onlyhere.X\n"
        "def inside():\n    import onlyhere\n"
        "def well(): return 1\n"
        "def by_value(): return f()\n"
    )
    try:
        with program(source, tmp_path / "misses.py", "misses") as main:
            orders = Orders()
            orders.components(dump_components([main.uses, main.well]))
            orders.call_by_hash(main.uses)
            orders.call_by_hash(main.well)
            orders.call(main.inside)
            orders.call(main.uses)
            orders.call(main.by_value)
            missing, uses, well, inside, again, by_value = carry_out(orders, tmp_path / "server")
        assert missing == ["onlyhere"]
        for error in (uses, inside, again):
            assert isinstance(error, ModuleNotFoundError)
            assert error.name == "onlyhere"
        assert (well, by_value) == (1, 1)
    finally:
        sys.modules.pop("onlyhere", None)


def test_a_module_without_source_is_refused_as_a_component() -> None:
    with pytest.raises(ValueError, match="no Python source"):
        dump_components([types.ModuleType("made_up")])


# Real programs in interpreters of their own.

BODY = """
import math
count = 0
class Shape:
    def area(self):
        return math.floor(self.side ** 2)
class Square(Shape):
    def __init__(self, side):
        self.side = side
def job(n):
    global count
    count += 1
    return [Square(n).area(), count, (lambda x: x + n)(1)]
"""
CALLS = """
orders.call(job, 3)
orders.call(job, 4)
orders.call(lambda shape: shape.area(), Square(5))
def job(n):
    return 'redefined', count
orders.call(job, 1)
"""
ANSWERS = [[9, 1, 4], [16, 2, 5], 25, ("redefined", 2)]


def typed(source: str) -> str:
    """A program as it is typed at the prompt: an empty line ends each block."""
    lines = [line for line in source.splitlines() if line]
    return "".join(
        f"\n{line}\n" if before.startswith(" ") and not line.startswith(" ") else f"{line}\n"
        for before, line in zip(["", *lines], lines, strict=False)
    )


@pytest.mark.row("DC-46", "DC-47")
@pytest.mark.parametrize("way", ["file", "-c", "standard input", "exec", "interactive"])
def test_functions_without_a_source_file_work_too(way: str, tmp_path: Path) -> None:
    whole = PRELUDE + BODY + CALLS + EPILOGUE
    if way == "file":
        done = helpers.run_python(whole)
    elif way == "-c":
        done = helpers.run_program([sys.executable, "-c", whole])
    elif way == "standard input":
        done = helpers.run_program([sys.executable, "-"], input=whole)
    elif way == "exec":
        done = helpers.run_python(f"space = {{'__name__': 'made'}}\nexec({whole!r}, space)\n")
    else:
        done = helpers.run_program([sys.executable, "-i", "-q"], input=typed(whole))
    assert done.out, done.err
    assert carry_out(orders_of(done.out), tmp_path) == ANSWERS


@pytest.mark.row("DC-46")
def test_pickles_that_user_code_makes_of_program_classes_work(tmp_path: Path) -> None:
    source = (
        PRELUDE
        + "import copy, pickle\nclass C:\n    x = 1\n"
        + "def job():\n    return pickle.loads(pickle.dumps(C())).x, copy.deepcopy(C()).x, __name__\n"
        + "from dispycos.pickling.code import dump_components\n"
        + "orders.components(dump_components([C]))\norders.call(job)\n"
        + EPILOGUE
    )
    done = helpers.run_python(source)
    assert carry_out(orders_of(done.out), tmp_path)[1] == (1, 1, "__main__")


@pytest.mark.row("DC-46")
def test_an_own_module_outside_site_packages_travels_by_value(tmp_path: Path) -> None:
    (tmp_path / "prog").mkdir()
    (tmp_path / "prog" / "lib.py").write_text(
        "calls = 0\nclass E(Exception):\n    pass\n"
        "def f():\n    global calls\n    calls += 1\n    return calls\ndef g():\n    raise E('here', 2)\n"
    )
    main = tmp_path / "prog" / "main.py"
    main.write_text(
        PRELUDE
        + "from lib import f, g, E\ndef job(): return f(), f()\norders.call(job)\norders.call(f)\n"
        + "orders.call(g)\n"
        + EPILOGUE
    )
    done = helpers.run_python(main)
    assert done.code == 0, done.err
    first, second, error = carry_out(orders_of(done.out), tmp_path / "server")
    assert (first, second) == ((1, 2), 3)
    assert "E: ('here', 2)" in str(error.__cause__ or error)


# Tracebacks and other Pythons.


@pytest.mark.row("DC-52")
def test_a_remote_traceback_shows_the_client_s_lines(tmp_path: Path) -> None:
    client = tmp_path / "client"
    client.mkdir()
    with program(PROGRAM, client / "shown_program.py", "shown_program") as main:
        orders = Orders()
        orders.call(main.fail)
        path = client / "shown_program.py"
        # What the server prints must have come with the function.
        dumped = list(orders)
        path.unlink()
        (error,) = carry_out(dumped, tmp_path / "server")
    assert isinstance(error, ValueError)
    remote = str(error.__cause__)
    line = PROGRAM.splitlines().index('    raise ValueError("on purpose")  # the line to be seen') + 1
    assert f'File "{path}", line {line}, in fail' in remote
    assert "# the line to be seen" in remote
    assert traceback.extract_tb(error.__traceback__)[-1].lineno == line


def other_python(payload: Any) -> Any:
    """As if another version of Python had made it: its code is not to be loaded here."""
    data = bytes(payload.data)
    magic, origin, digest, length = stubs.HEADER.unpack_from(data)
    start = stubs.HEADER.size
    tag, *rest = pickle.loads(data[start : start + length])
    assert tag == stubs.TAG
    table = pickle.dumps(("cpython-399", *rest))
    return stubs.HEADER.pack(magic, origin, digest, len(table)) + table + data[start + length :]


@pytest.mark.row("DC-52", "GN-07")
def test_code_of_another_python_is_compiled_from_its_source(main: Any) -> None:
    up, value = main.make_counter()
    up()
    for function, args, expected in (
        (main.factorial, (5,), 120),
        (main.scale(3), (2,), 6),
        (value, (), 1),
        (main.decorated, (2,), 300),
        (lambda: main.Child(2), (), None),
    ):
        hash_, payload = dump_definition(function, source=True)
        assert hash_ == dump_definition(function)[0]
        if expected is not None:
            loaded = Namespace(shared=False).load(other_python(payload))
            assert loaded(*args) == expected
    child = Namespace(shared=False).load(other_python(dump_definition(main.Child, source=True)[1]))
    assert child(2).hello() == "child of base"
    assert child(2).double == 4


@pytest.mark.row("DC-52", "GN-07")
def test_without_source_both_versions_are_named(main: Any) -> None:
    with pytest.raises(VersionMismatch, match=rf"factorial was compiled by cpython-399 .*{stubs.TAG}"):
        Namespace(shared=False).load(other_python(dump_definition(main.factorial)[1]))


def test_only_a_namespace_rebuilds_code(main: Any) -> None:
    with pytest.raises(pickle.UnpicklingError):
        stubs.ref(b"x")
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(values.dump(main.Point(1)).data)


C_TYPES = """
import ctypes

class Pair(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_char)]

class Either(ctypes.Union):
    _fields_ = [("whole", ctypes.c_int), ("pair", Pair)]

class Bits(ctypes.Structure):
    _pack_, _layout_ = 1, "ms"  # Python 3.14 wants the layout told
    _fields_ = [("either", Either), ("z", ctypes.c_int, 3)]
    _anonymous_ = ["either"]
    def total(self):
        return self.whole + self.z

class Node(ctypes.Structure):
    pass

Node._fields_ = [("value", ctypes.c_int), ("next", ctypes.POINTER(Node))]

class Network(ctypes.BigEndianStructure):
    _fields_ = [("x", ctypes.c_int), ("more", ctypes.c_short * 2)]

class Row(ctypes.Array):
    _type_, _length_ = Pair, 2

Rows = Pair * 3

def used():
    rows, bits, row = Rows(), Bits(), Row()
    rows[1].x = bits.whole = 5
    bits.z, row[1].x = 2, 7
    last = Node(4)
    return (rows[1].x, bits.total(), ctypes.sizeof(bits), Node(3, ctypes.pointer(last)).next.contents.value,
            bytes(Network(1, (2, 3))), row[1].x)

def changed(values):
    for value in values:
        value[1] = type(value[0])(b"z") if isinstance(value[0], bytes) else type(value[0])(9)
    return [type(value).__name__ for value in values], values
"""


def test_types_of_ctypes_travel(tmp_path: Path) -> None:
    orders = Orders()
    with program(C_TYPES, tmp_path / "program.py", "program_with_c_types") as made:
        here = made.used()
        orders.call(made.used)
        values = [(ctypes.c_int * 3)(1, 2, 3), (made.Pair * 2)(), ctypes.create_string_buffer(7)]
        orders.call(made.changed, values)
        there, (names, back) = carry_out(orders, tmp_path / "server")
        assert there == here == (5, 7, 12, 4, b"\0\0\0\1\0\2\0\3", 7)
        assert names == ["c_int_Array_3", "Pair_Array_2", "c_char_Array_7"]
        assert [type(value) for value in back] == [type(value) for value in values]
        assert list(back[0]) == [1, 9, 3]
        assert back[1][1].x == 9
        assert back[2].raw == b"\0z\0\0\0\0\0"
        with pytest.raises(NotSerializable, match="argument 1 of used: value: ctypes objects containing p"):
            dump_call((ctypes.pointer(ctypes.c_int(3)),), {}, name="used")
