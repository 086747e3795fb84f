"""The house's docstrings as reStructuredText, which autodoc wants.

A docstring of dispycos is plain text that reads well in an editor and in `help()`: paragraphs,
`names` between backquotes, examples indented by four, and tables of what the signature cannot
say, one name a line, two spaces or more, and its meaning:

    timeout  seconds; None: for ever
    where    a server's Location, or a node's address,
             which stands for any of its servers

None of that is markup to Sphinx. So each block is told apart here and said in its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sphinx.application import Sphinx

# `name  meaning`; the name may be several, as "disable_nodes, disable_servers".
_ENTRY = re.compile(r"(?P<term>\S(?:[^`]*?\S)??) {2,}(?P<meaning>\S.*)")
# " (DC-60)", " (R-41 to )", " (KE-33, N4)": numbers of docs/rows.md mean nothing to who uses it.
_NUMBERS = re.compile(r"\s\((?:[A-Z]{1,2}-?\d+[^()]*)\)")
_CODE = re.compile(r"(`[^`]+`)")
# What would begin or end markup in running text.
_MARKUP = re.compile(r"[\\*|]|_(?!\w)|(?<!:)(?<=\w):(?=`)")


def text(line: str) -> str:
    """A line of running text: code stays code, and nothing else is markup."""
    parts = _CODE.split(line)
    return "".join(
        f"`{part}`" if part.startswith("`") and part.endswith("`") and len(part) > 2 else _escaped(part)
        for part in parts
    )


def _escaped(part: str) -> str:
    return _MARKUP.sub(lambda found: "\\" + found.group(), part)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def converted(lines: list[str]) -> Iterator[str]:
    """`lines` of a docstring, as lines of reStructuredText."""
    sections = [list(block) for blank, block in groupby(lines, lambda line: not line.strip()) if not blank]
    for block in sections:
        if _indent(block[0]) >= 4:
            yield from ["::", "", *("    " + line for line in block), ""]
        elif _ENTRY.fullmatch(block[0]):
            yield from _table(block)
        else:
            # A table may follow its sentence without a blank line between.
            yield from _paragraph(block)


def _paragraph(block: list[str]) -> Iterator[str]:
    for number, line in enumerate(block):
        if number and (_indent(line) >= 4 or _ENTRY.fullmatch(line)):
            # An example or a table right after its sentence.
            yield from ["", *converted(block[number:])]
            return
        yield text(line.strip())
    yield ""


def _table(block: list[str]) -> Iterator[str]:
    first = _ENTRY.fullmatch(block[0])
    assert first is not None, "who calls looked"
    column = first.start("meaning")
    for number, line in enumerate(block):
        name, meaning = line[:column].strip(), line[column:]
        found = _ENTRY.fullmatch(line)
        if found and not _indent(line):
            name, meaning = found["term"], found["meaning"]
        elif _indent(line):
            yield "    " + text(line.strip())
            continue
        elif " " in name or line[column - 1 : column] != " ":
            # Running text again. (The longest name has but one space behind it.)
            yield from ["", *_paragraph(block[number:])]
            return
        yield ", ".join(f"``{each}``" for each in name.strip("`").split(", "))
        yield "    " + text(meaning)
    yield ""


# What programs are given and never make: how it is made is nothing to them.
GIVEN = {
    "dispycos.RemoteObject",
    "dispycos.client.client_executor.ClientExecutor",
    "dispycos.client.future.Future",
    "dispycos.easycluster.RemoteProxy",
    "dispycos.easycluster.Response",
    "dispycos.easycluster.SelfIterProxy",
    "dispycos.gateways.Channel",
    "dispycos.gateways.RInfo",
    "dispycos.gateways.RemoteStatus",
    "dispycos.rpc.AsyncResult",
    "dispycos.rpc.ClassicService",
    "dispycos.rpc.Connection",
}
# Of defaults that have no text of their own: `<class 'a.b.Name'>`, `<object object at 0x7f>`.
_CLASS = re.compile(r"<class '(?:[\w.]+\.)?(\w+)'>")
_NAMELESS = re.compile(
    r"<(?:[\w.]+ )*object(?: at 0x[0-9a-f]+)?>|<function [^ ]*<lambda>(?: at 0x[0-9a-f]+)?>"
)


def signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, args: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """What stands behind a name, as one would write it."""
    if name in GIVEN:
        return "", None
    return args and (_NAMELESS.sub("...", _CLASS.sub(r"\1", args)), returns)


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Replace what autodoc read by what Sphinx understands."""
    if what == "module":
        lines.clear()  # it speaks to who changes the module; the page speaks to who uses it
    plain = _NUMBERS.sub("", "\n".join(lines)).split("\n")
    lines[:] = list(converted(_without_arguments(plain) if name in GIVEN else plain))


def _without_arguments(lines: list[str]) -> list[str]:
    """All but the tables: they are of arguments."""
    blocks = [list(block) for _, block in groupby(lines, lambda line: not line.strip())]
    return [line for block in blocks if not _ENTRY.fullmatch(block[0]) for line in block]


def setup(app: Sphinx) -> dict[str, bool]:
    """Have every docstring pass through here."""
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
