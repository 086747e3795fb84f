"""JSON from browsers, read strictly (SE-107): small, shallow, no doubled keys, no odd numbers.

Pure. Layer 2.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 8
MAX_DIGITS = 20


class BadJson(ValueError):
    """It is no JSON that is taken; the text says why and quotes nothing of it."""


def load(data: bytes | str) -> Any:
    """The value. BadJson for anything that a page of ours would not send."""
    if isinstance(data, bytes):
        try:
            data = data.decode("utf-8")
        except UnicodeDecodeError:
            raise BadJson("the text is not UTF-8") from None
    # Before the decoder, which calls itself for each level.
    if _depth(data) > MAX_DEPTH:
        raise BadJson(f"more than {MAX_DEPTH} levels of brackets")
    try:
        return json.loads(
            data,
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except BadJson:
        raise
    except ValueError:
        raise BadJson("no JSON") from None


def _depth(text: str) -> int:
    """The deepest nesting; brackets in strings count too much, which no page of ours comes near."""
    depth = most = 0
    for char in text:
        if char in "[{":
            depth += 1
            most = max(most, depth)
        elif char in "]}":
            depth -= 1
    return most


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("a key stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadJson("a number that is not finite")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BadJson(f"a number of more than {MAX_DIGITS} digits")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if len(digits) > 2 * MAX_DIGITS or value in (float("inf"), float("-inf")):
        raise BadJson("a number out of range")
    return value
