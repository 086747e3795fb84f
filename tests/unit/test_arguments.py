"""Arguments of public calls: a bad one is named, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispycos import arguments

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
