"""Arguments of public calls: a bad one is named, whatever is wrong with it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from dispycos import arguments, commandline
from dispycos.errors import RemoteProtocolError
from dispycos.net.scalars import text_

NAN = float("nan")
INFINITY = float("inf")


@pytest.mark.parametrize(
    ("check", "value", "meant"),
    [
        (arguments.seconds, 0, 0.0),
        (arguments.seconds, 2.5, 2.5),
        (arguments.seconds_or_none, None, None),
        (arguments.seconds_or_none, 3, 3.0),
        (arguments.integer, -7, -7),
        (arguments.port, 65535, 65535),
        (arguments.text, "", ""),
        (arguments.texts, ["a", "b"], ("a", "b")),
        (arguments.flag, True, True),
        (arguments.flag, 0, False),
    ],
)
def test_a_good_argument_comes_back_in_its_plain_type(
    check: Callable[[str, Any], Any], value: Any, meant: Any
) -> None:
    found = check("it", value)
    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize(
    ("check", "value", "error"),
    [
        (arguments.seconds, "1", TypeError),
        (arguments.seconds, None, TypeError),
        (arguments.seconds, True, TypeError),
        (arguments.seconds, -0.1, ValueError),
        (arguments.seconds, NAN, ValueError),
        (arguments.seconds, INFINITY, ValueError),
        (arguments.seconds_or_none, NAN, ValueError),
        (arguments.integer, 1.0, TypeError),
        (arguments.integer, False, TypeError),
        (arguments.port, -1, ValueError),
        (arguments.port, 65536, ValueError),
        (arguments.port, "80", TypeError),
        (arguments.text, b"x", TypeError),
        (arguments.texts, "ab", TypeError),
        (arguments.texts, ["a", 1], TypeError),
        (arguments.texts, 1, TypeError),
        (arguments.flag, 2, TypeError),
        (arguments.flag, "yes", TypeError),
        (arguments.flag, None, TypeError),
    ],
)
def test_a_bad_argument_is_named(
    check: Callable[[str, Any], Any], value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"^the_argument must be"):
        check("the_argument", value)


def test_bounds_are_told() -> None:
    with pytest.raises(ValueError, match="memory must be at least 0, not -1"):
        arguments.integer("memory", -1, least=0)
    with pytest.raises(ValueError, match="port must be at most 65535, not 70000"):
        arguments.port("port", 70000, least=1)


@pytest.mark.row("SE-27")
@pytest.mark.parametrize(
    ("name", "said"),
    [("a\x1b]0;owned\x07", "read in a line"), ("a\nb", "read in a line"), ("n" * 256, "at most 255")],
)
def test_a_name_is_one_that_can_be_shown(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        arguments.a_name("name", name, most=255)
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        commandline.a_name(name)
    assert arguments.a_name("name", "Büro 3", most=255) == commandline.a_name("Büro 3")


@pytest.mark.row("SE-27", "SE-110")
@pytest.mark.parametrize("where", ["Introduction.name", "NodeFacts.name", "Schedule.name"])
def test_a_name_that_would_write_to_a_terminal_is_refused_where_it_is_heard(where: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{where}.*read in a line"):
        text_(where).take("a\x1b[2J", None)  # type: ignore[arg-type]
    assert text_(where).take("a b", None) == "a b"  # type: ignore[arg-type]
