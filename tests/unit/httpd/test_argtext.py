"""Arguments as text: bounded whatever they are, and never anybody's trouble."""

from __future__ import annotations

import time
from typing import Any

import numpy
import pytest

from dispycos.httpd import argtext


class Shown:
    calls = 0

    def __str__(self) -> str:
        Shown.calls += 1
        return "a thing"


class Raises:
    def __str__(self) -> str:
        raise ValueError("no")


class Wrong:
    def __str__(self) -> Any:
        return 7


class Huge:
    def __str__(self) -> str:
        return "x" * 10_000_000


class Sub(str):
    def __str__(self) -> str:
        return "sub"


@pytest.mark.row("MO-36", "HT-06")
@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "()"),
        ((1, "two", None, True, 2.5), {"key": b"abc"}, "(1, 'two', None, True, 2.5, key=<bytes of 3 bytes>)"),
        (([1, 2, 3, 4, 5, 6, 7],), {}, "([1, 2, 3, 4, 5, 6, …])"),
        (((1,), {2}, frozenset(), {}), {}, "((1,), {2}, frozenset(), {})"),
        (({"a": [{"b": (1, [2])}]},), {}, "({'a': [{'b': <tuple of 2>}]})"),
        ((numpy.zeros((3, 4)),), {}, "(<ndarray (3, 4) float64>)"),
        ((Shown(),), {}, "(a thing)"),
        ((Raises(),), {}, "(<str of Raises failed: ValueError>)"),
        ((Wrong(),), {}, "(<str of Wrong failed: TypeError>)"),
        ((memoryview(b"1234"), bytearray(9)), {}, "(<memoryview of 4 bytes>, <bytearray of 9 bytes>)"),
    ],
)
def test_values_are_told_briefly(args: tuple[Any, ...], kwargs: dict[str, Any], text: str) -> None:
    assert argtext.text(args, kwargs) == text


@pytest.mark.row("MO-36", "SE-109", "SE-111")
def test_whatever_comes_is_bounded() -> None:
    started = time.monotonic()
    recursive: list[Any] = []
    recursive.append(recursive)
    for value in (
        "x" * 10**7,
        Huge(),
        list(range(10**6)),
        10**100_000,
        recursive,
        {str(number): "y" * 1000 for number in range(10**4)},
        b"z" * 10**7,
    ):
        assert len(argtext.one(value)) <= argtext.EACH
    assert len(argtext.text(("x" * 1000,) * 100, {})) <= argtext.ALL
    assert time.monotonic() - started < 10


def test_a_users_str_is_asked_once() -> None:
    Shown.calls = 0
    argtext.text((Shown(),), {})
    assert Shown.calls == 1


def test_what_str_gives_is_plain_text() -> None:
    class Odd:
        def __str__(self) -> str:
            return Sub("inner")

    assert argtext.one(Odd()) == "inner"


@pytest.mark.row("MO-37")
def test_what_a_name_says_to_be_secret_is_hidden() -> None:
    secret = argtext.secret(argtext.patterns(("pass*", "*_key")))
    text = argtext.text((1,), {"password": "p", "API_KEY": "k", "n": 2, "by_pass": 3}, secret)
    assert text == "(1, password=***, API_KEY=***, n=2, by_pass=3)"
    # Also in what holds it, as deep as anything is shown; keys that are no names stay.
    inner = {"password": "p", "user": "u", 5: "five"}
    text = argtext.text(([inner],), {"given": (inner, {"a_key": {"b": "k"}})}, secret)
    assert text == (
        "([{'password': ***, 'user': 'u', 5: 'five'}], "
        "given=({'password': ***, 'user': 'u', 5: 'five'}, {'a_key': ***}))"
    )


@pytest.mark.row("MO-37")
def test_patterns_of_names_are_checked() -> None:
    # Taken as many patterns, the letters of a text would hide nothing.
    assert argtext.patterns("pass*") == ("pass*",)
    assert argtext.patterns(iter(["a", "b?"])) == ("a", "b?")
    assert argtext.secret(argtext.patterns(())) is None
    for wrong in ("", " ", ["a", ""], "a\nb", "x" * 256, ["x"] * 101):
        with pytest.raises(ValueError, match="redact takes"):
            argtext.patterns(wrong)
    for odd in ([3], [None], [b"pass"]):
        with pytest.raises(TypeError, match="redact takes patterns of names"):
            argtext.patterns(odd)  # type: ignore[arg-type]  # what a program may give


def test_an_exit_is_not_swallowed() -> None:
    class Exits:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        argtext.text((Exits(),), {})
