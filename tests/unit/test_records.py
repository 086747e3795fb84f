"""Records are what the standard library's slotted dataclasses are, made later."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from dataclasses import FrozenInstanceError, dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar

import pytest

from dispycos.records import record, told


@record
class Ours:
    """A record."""

    number: int
    names: list[str] = field(default_factory=list)
    hidden: int = field(default=3, compare=False, repr=False)
    word: str = field(default="w", kw_only=True)


@dataclass(frozen=True, slots=True)
class Theirs:
    """What it is to be like."""

    number: int
    names: list[str] = field(default_factory=list)
    hidden: int = field(default=3, compare=False, repr=False)
    word: str = field(default="w", kw_only=True)


@record
class Checked:
    """One that checks what it is given, and has a text of its own."""

    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("less than 0")

    def __repr__(self) -> str:
        return f"<{self.number}>"


@record(frozen=False)
class Changing:
    """A record whose fields may be set."""

    number: int
    kind: ClassVar[str] = "of all"
    names: list[str] = field(default_factory=list)


@record(frozen=False)
class Longer(Changing):
    """One that adds a field, and says what another is by itself."""

    number: int = 4
    word: str = "w"


@record(frozen=False, eq=False)
class Alone:
    """One that equals only itself."""

    number: int = 0


def made() -> type[Any]:
    """A record that nothing has used yet."""

    @record
    class New:
        number: int
        name: str = "n"

    return New


def test_it_is_built_as_a_dataclass_is() -> None:
    for arguments, named in (((1,), {}), ((1, ["a"]), {"word": "x"}), ((), {"number": 2, "hidden": 5})):
        ours, theirs = Ours(*arguments, **named), Theirs(*arguments, **named)
        assert [getattr(ours, f.name) for f in fields(ours)] == [
            getattr(theirs, f.name) for f in fields(theirs)
        ]
        assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert Ours(1).names is not Ours(1).names


def test_it_refuses_what_a_dataclass_refuses() -> None:
    for kind in (Ours, Theirs):
        for arguments, named in (((), {}), ((1, [], 3, "w"), {}), ((1,), {"other": 1})):
            with pytest.raises(TypeError):
                kind(*arguments, **named)
        value = kind(1)
        for name in ("number", "other"):
            with pytest.raises((FrozenInstanceError, TypeError)):  # a dataclass's words for what is no field
                setattr(value, name, 2)
        with pytest.raises(FrozenInstanceError):
            del value.number
        assert not hasattr(value, "__dict__")


@pytest.mark.parametrize(
    ("hints", "names", "said"),
    [
        (
            {"a": "list[int]"},
            {"a": []},
            "a: all records would share this list; write field\\(default_factory=list",
        ),
        ({"a": "set[int]"}, {"a": field(default=set())}, "share this set"),
        ({"_": "KW_ONLY", "a": "int"}, {}, "a record has no KW_ONLY"),
        ({"a": "dataclasses.InitVar[int]"}, {}, "a record has no dataclasses.InitVar"),
        ({"a": "int", "b": "int"}, {"a": 1}, r"b has no default, and a before it has one"),
        ({"a": "int", "b": "int"}, {"a": field(default_factory=int)}, "b has no default"),
    ],
)
def test_what_no_record_can_be_is_refused_with_its_class(
    hints: dict[str, str], names: dict[str, Any], said: str
) -> None:
    if "a record" not in said:
        with pytest.raises((TypeError, ValueError)):
            dataclass(frozen=True, slots=True)(type("Bad", (), {"__annotations__": hints, **names}))
    with pytest.raises(TypeError, match=said):
        record(type("Bad", (), {"__annotations__": hints, **names}))()
    with pytest.raises(TypeError, match="late has no default, and names before it has one"):
        record(frozen=False)(type("Bad", (Changing,), {"__annotations__": {"late": "int"}}))(1)
    good = {"__annotations__": {"a": "int", "b": "int"}, "a": field(default=1, kw_only=True)}
    assert record(type("Good", (), good))(2).a == 1


def test_equal_records_are_those_of_one_kind_with_equal_fields() -> None:
    new, other = made(), made()
    assert new(1) == new(1, "n") and new(1) != new(2)
    assert new(1) != other(1)
    assert Ours(1, hidden=1) == Ours(1, hidden=2)
    assert len({new(1), new(1), new(2)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Ours(1))


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (repr, "__repr__"),
        (hash, "__hash__"),
        (lambda value: value == value, "__eq__"),
        (lambda value: value.__class__(2), "__init__"),
    ],
)
def test_what_is_used_first_is_made_first(use: Any, name: str) -> None:
    # As the codec builds what was received: without the constructor.
    new = made()
    value = object.__new__(new)
    vars(new)["number"].__set__(value, 1)
    vars(new)["name"].__set__(value, "n")
    late = dict(vars(new))
    use(value)
    changed = {each for each in late if vars(new)[each] is not late[each]}
    assert changed == {name}
    assert repr(value).endswith("New(number=1, name='n')")
    assert value == new(1) and hash(value) == hash(new(1))


def test_it_can_be_copied_pickled_and_changed() -> None:
    value = Ours(1, ["a"], word="x")
    assert copy.copy(value) == copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value
    assert replace(value, number=2) == Ours(2, ["a"], word="x")
    assert Ours.__match_args__ == ("number", "names", "hidden")


def test_what_a_class_defines_itself_stays() -> None:
    assert repr(Checked(1)) == "<1>"
    assert Checked(1) == Checked(1)
    with pytest.raises(ValueError, match="less than 0"):
        Checked(-1)


def test_one_that_changes_equals_by_its_fields_and_has_no_hash() -> None:
    value = Changing(1)
    value.number = 2
    assert value == Changing(2) and value != Changing(1)
    assert Changing.kind == "of all" and [f.name for f in fields(Changing)] == ["number", "names"]
    with pytest.raises(TypeError, match="unhashable"):
        hash(value)
    with pytest.raises(AttributeError):
        value.other = 1  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    del value.number
    assert not hasattr(value, "number")


def test_one_that_derives_has_the_fields_of_both() -> None:
    assert repr(Longer()) == "Longer(number=4, names=[], word='w')"
    assert Longer(1, ["a"], "x") == Longer(1, ["a"], "x") != Longer(1, ["a"], "y")
    assert Longer.__match_args__ == ("number", "names", "word") and "number" not in Longer.__slots__
    assert is_dataclass(Longer) and replace(Longer(), word="z").word == "z"
    assert repr(Changing(1)) == "Changing(number=1, names=[])"


def test_one_without_equality_is_equal_to_itself_alone() -> None:
    value = Alone()
    value.number = 1
    assert value == value and value != Alone(1) and len({value, Alone(1)}) == 2
    assert repr(value) == "Alone(number=1)"


def test_threads_that_look_at_the_same_new_record_see_the_same() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(300):
            new, seen = made(), []
            together = threading.Barrier(3)

            def look(new: Any = new, seen: list[Any] = seen, together: Any = together) -> None:
                together.wait()
                seen.append(new.__match_args__)

            threads = [threading.Thread(target=look) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert seen == [("number", "name")] * 3
    finally:
        sys.setswitchinterval(interval)


def test_a_record_that_holds_itself_can_be_shown() -> None:
    value = Changing(1)
    value.names.append(value)  # type: ignore[arg-type]
    assert repr(value) == "Changing(number=1, names=[...])"


def test_its_fields_are_told_without_making_a_dataclass() -> None:
    new = made()
    assert list(told(new)) == ["number", "name"] and told(new)["name"].default == "n"
    assert type(vars(new)["__dataclass_fields__"]) is not dict
    assert list(told(Longer)) == [*list(told(Theirs))[:2], "word"] and told(int) == {}
