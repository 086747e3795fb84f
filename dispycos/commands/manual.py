"""Pages of the manual, in the language of `man`: the help of each program, made of its parser.

`setup.py` puts them beside the commands that it installs, so `man dispycosnode` finds them.

Layer 8.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from dispycos import config
from dispycos.commands import programs
from dispycos.usage import Described, is_laid_out, parser_of, told_default

# An option, a variable or what is quoted as typed.
_BOLD = re.compile(r"(?<![\w-])(--?[a-z][\w-]*)|`([^`]+)`")


def pages() -> dict[str, str]:
    """A page for each installed program and each command of `dispycos`, by the names of their files."""
    described = {**programs.PROGRAMS, **{f"dispycos-{name}": one for name, one in programs.COMMANDS.items()}}
    return {f"{name}.1": page(name, one.about, parser_of(one.main())) for name, one in described.items()}


def write(folder: Path) -> None:
    """Write them all into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def page(name: str, about: str, parser: Described) -> str:
    """The page of one program."""
    lines = [
        f'.TH "{name.upper()}" "1" "" "dispycos {config.RELEASE}" "dispycos"',
        ".\\\" Made of the program's own parser.",
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{_escaped(name)} \\- {_escaped(about)}",
        ".SH SYNOPSIS",
        ".nf",
        *_lines(parser.format_usage().removeprefix("usage: ")),
        ".fi",
        ".SH DESCRIPTION",
        *_paragraphs(parser.description or ""),
        *_options(parser),
        *(line for text in parser.units() for line in (".PP", _escaped(" ".join(text.split())))),
    ]
    for section in parser.sections:
        lines += [f".SH {section.title.upper()}", *_pairs(section.pairs)]
    lines += [".SH SEE ALSO", _references(name)]
    return "\n".join(lines) + "\n"


def _options(parser: Described) -> Iterator[str]:
    formatter = parser._get_formatter()
    yield ".SH OPTIONS"
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        if not actions:
            continue
        title = group.title or ""
        yield f".SS {_escaped(title[:1].upper() + title[1:])}"
        for action in actions:
            yield ".TP"
            yield rf"\fB{_escaped(formatter._format_action_invocation(action))}\fR"
            yield _marked(formatter._expand_help(action) if action.help else told_default(action))


def _pairs(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, meaning in pairs:
        yield ".TP"
        yield rf"\fB{_escaped(name)}\fR"
        yield _marked(meaning)


def _paragraphs(text: str) -> Iterator[str]:
    for number, block in enumerate(text.strip("\n").split("\n\n")):
        if is_laid_out(block):
            yield from (".PP", ".nf", *_lines(block), ".fi")
        else:
            if number:
                yield ".PP"
            yield _marked(" ".join(block.split()))


def _references(name: str) -> str:
    others = [other for other in ("dispycos", "dispycosnode", "dispycos-help") if other != name]
    return ", ".join(rf"\fB{_escaped(other)}\fR(1)" for other in others)


def _lines(text: str) -> list[str]:
    return [_escaped(line) for line in text.rstrip("\n").split("\n")]


def _marked(text: str) -> str:
    parts, end = [], 0
    for found in _BOLD.finditer(text):
        parts += [_escaped(text[end : found.start()]), rf"\fB{_escaped(found[1] or found[2])}\fR"]
        end = found.end()
    line = "".join([*parts, _escaped(text[end:])])
    return line or "\\&"


def _escaped(text: str) -> str:
    """Text that stands for itself: no command at the start of a line, and what is typed can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = text.replace("~", "\\(ti").replace("^", "\\(ha")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    write(Path(sys.argv[1]))
