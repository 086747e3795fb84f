"""Wording: how sentences count and name things or the nearest one, and how texts are shown that are
too long, would command a terminal, or can't be made.

Pure. Layer 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

# Things that a sentence names one by one: enough to see what is meant, few enough to read.
MAX_NAMED = 3


def many(number: int, one: str, more: str = "") -> str:
    """`1 node`, `2,000 nodes`. more: how one calls several, where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return " ".join([", ".join(names[:MAX_NAMED]), *left_out(len(names))])


def left_out(number: int, most: int = MAX_NAMED, one: str = "more", several: str = "") -> list[str]:
    """What follows the first `most` of so many: `and 1,200 more`; [] if those are all.

    one, several  what is said of one that is left out, and of several if that is not the same.
    """
    rest = number - most
    return [f"and {many(rest, one, several or one)}"] if rest > 0 else []


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """The one of `known` that was meant, most likely; "" if none is like it."""
    import difflib  # for who is told: programs that begin never need it

    return next(iter(difflib.get_close_matches(name, list(known), 1, likeness)), "")


def shown(value: object, make: Callable[[Any], str] = repr) -> str:
    """Its repr, or its str by `make`; it says so if that can't be made.

    Code of others makes it: neither what that raises nor what it answers gets any further.
    """
    try:
        return str.__str__(make(value))  # a text of a class of its own would go on doing as it likes
    except (Exception, SystemExit, GeneratorExit) as exc:  # not Ctrl-C, which may come then
        return f"<its text can't be made: {type(exc).__name__}>"


def harmless(text: str, keep: str = "\n\t") -> str:
    """What others wrote, for a terminal: what can't be printed is shown as in a literal of Python.

    keep  characters of those that stay.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


def sentence(exc: BaseException) -> str:
    """What an exception says, for who typed a command: one line, with the file if one is the cause."""
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    if isinstance(exc, OSError) and exc.filename:
        text = f"{exc.filename}: {text}"
    return harmless(" ".join(text.split()), keep="")


def program_of(words: Iterable[str]) -> str:
    """What people call the program of a command line: of Python, the script or module that it runs."""
    rest = iter(words)
    name = _file(next(rest, ""))
    if name.startswith(("python", "pypy")):
        for word in rest:
            if word == "-m":
                name = next(rest, name)
                break
            if word in ("-X", "-W"):
                next(rest, "")
            elif not word.startswith("-"):
                name = _file(word)
                break
            elif word == "-c":
                break
    return harmless(name, keep="") or "a program"


def _file(path: str) -> str:
    return path.rpartition("/")[2]


def clip(text: str, chars: int, size: int) -> str:
    """The text, or its beginning and end if it is longer than `chars` or `size` bytes."""
    if len(text) <= chars and len(text.encode(errors="backslashreplace")) <= size:
        return text
    gap = "\n...\n"
    # Ten bytes is what a character takes at most, as an escape.
    keep = max(min(chars, size // 10) - len(gap), 0) if not text.isascii() else min(chars, size) - len(gap)
    return text[: keep // 2] + gap + text[len(text) - (keep - keep // 2) :]
