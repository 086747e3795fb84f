"""Failures: an exception is described whatever its class does, and however much it holds."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from typing import Any, NoReturn

import pytest

from dispycos.objects import failure


@dataclasses.dataclass
class Command(Exception):
    """Its attribute hides what exceptions have under that name."""

    cmd: str = ""
    args: list[str] | None = None  # type: ignore[assignment]  # as some have it


class Leaving(Exception):
    """Asked for its text, it ends the program."""

    def __str__(self) -> str:
        sys.exit(3)


class Secretive(Exception):
    """Answers nothing."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Sealed(Exception):
    """Has attributes that can neither be read nor set."""

    @property
    def __dict__(self) -> NoReturn:  # type: ignore[override]  # as one may write it
        raise RuntimeError("no attributes")

    @property
    def __cause__(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no cause")


class Text(str):
    """A text that can't be pickled."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise RuntimeError("no")


class Speaking(Exception):
    """Its text is of a class of its own."""

    def __str__(self) -> str:
        return Text("hello")


def arrived(error: BaseException, *, brief: bool = False) -> BaseException:
    """The exception at the other end, which knows the classes of this file."""
    try:
        raise error
    except BaseException:
        described = pickle.loads(pickle.dumps(failure.describe(error, brief=brief)))
    return failure.rebuild(described, lambda module, name: globals().get(name))


@pytest.mark.row("RP-21")
@pytest.mark.parametrize("kind", [Command, Leaving, Sealed, Speaking])
def test_an_exception_arrives_whatever_its_class_does(kind: type[Exception]) -> None:
    error = arrived(kind("ls"))
    assert type(error) is kind
    assert BaseException.__reduce__(error)[1] == ("ls",)


@pytest.mark.row("RP-21")
def test_what_can_not_be_raised_here_is_named() -> None:
    error = arrived(Secretive("ls"))
    assert type(error) is failure.GenericException and str(error).endswith("Secretive: ls")


@pytest.mark.row("RP-21")
def test_a_number_too_large_to_be_printed_arrives() -> None:
    assert arrived(ValueError(2**200_000)).args == (2**200_000,)


@pytest.mark.row("RP-21")
def test_a_constructor_that_would_end_the_program_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    described = failure.describe(Leaving("x"))
    monkeypatch.setattr(Leaving, "__init__", lambda *args: sys.exit(3))
    error = failure.rebuild(described, lambda module, name: Leaving)
    assert type(error) is failure.GenericException


def size(error: BaseException) -> int:
    """How many exceptions it is."""
    return 1 + sum(map(size, getattr(error, "exceptions", ())))


@pytest.mark.row("RP-21")
def test_of_a_group_of_very_many_the_first_arrive_and_its_text_counts_the_others() -> None:
    wide = arrived(ExceptionGroup("wide", [ValueError(number) for number in range(100_000)]))
    assert isinstance(wide, ExceptionGroup) and len(wide.exceptions) == 1000
    assert str(wide).startswith("wide [99,000 more exceptions left out]")
    assert wide.exceptions[999].args == (999,)


@pytest.mark.row("RP-21")
def test_a_group_that_has_its_members_many_times_is_bounded() -> None:
    error: Exception = ValueError("x")
    for _ in range(8):
        error = ExceptionGroup("shared", [error] * 6)
    assert 200 < size(arrived(error)) <= 1001
    for _ in range(500):
        error = ExceptionGroup("deep", [error])
    assert size(arrived(error)) < 20


@pytest.mark.row("RP-21")
def test_long_texts_are_cut_and_what_an_exception_holds_only_in_brief() -> None:
    error = ValueError("x" * 10_000_000)
    assert arrived(error).args == error.args
    assert len(pickle.dumps(failure.describe(error, brief=True))) < 200_000
    cut = arrived(error, brief=True).args[0]
    assert "..." in cut and len(cut) <= 65_536
