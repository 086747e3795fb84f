"""The listings of a page of Markdown, as a program may run them.

A fence that says `python` is a listing, unless a comment of Markdown stands right before it:

    <!-- not run: why -->   only its syntax is looked at
    <!-- long: why -->      runs with --long only
    <!-- program: why -->   the same, as a file of its own

A comment that begins with `run` is a listing that readers do not see; it puts in place what the
page takes for granted. `<!-- client -->`, anywhere, gives the page a scheduled `client` of a
cluster that all such pages share; `<!-- listings: FILE -->` says that this test runs all of them.
What a listing prints is compared with the fence that says `output` right behind it, where `...`
stands for anything; without one, with the comments behind its own prints: `print(6 * 7)  # 42`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

_PIECE = re.compile(
    r"^(?P<fence>`{3,})(?P<word>[\w-]*)[^\n]*\n(?P<code>.*?)^(?P=fence)[ \t]*$"
    r"|^<!--[ \t]*(?P<comment>.*?)-->[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_SAYS = re.compile(r"^\s*print\(.*\)  # (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Listing:
    """One listing, and what is known of it."""

    page: Path
    line: int  # of its first line of code in the page, from 1
    code: str
    output: str | None = None  # what it prints; None: no fence says it
    not_run: str = ""  # why it is not
    long: str = ""  # why it is not in an ordinary run
    program: bool = False  # a process of its own runs it

    @property
    def where(self) -> str:
        """As a reader finds it: docs/tutorial.md:17."""
        return f"{self.page.parent.name}/{self.page.name}:{self.line}"

    def parsed(self) -> ast.Module:
        """Its syntax, with the line numbers of the page. SyntaxError names the page."""
        return ast.parse("\n" * (self.line - 1) + self.code, str(self.page))

    def said(self) -> list[str]:
        """The lines that the comments behind its prints promise."""
        return _SAYS.findall(self.code)


@dataclass(frozen=True)
class Page:
    """A page and its listings, in order."""

    path: Path
    listings: tuple[Listing, ...]
    wants_client: bool
    run_by: str = ""  # the test that runs them instead

    @classmethod
    def read(cls, path: Path) -> Page:
        """The page of a file."""
        text = path.read_text(encoding="utf-8")
        elsewhere = re.search(r"^<!-- listings: (\S+) -->$", text, re.MULTILINE)
        return cls(
            path,
            tuple(_listings(path, text)),
            wants_client="<!-- client -->" in text,
            run_by=elsewhere[1] if elsewhere else "",
        )


def pages(root: Path) -> list[Page]:
    """Every page that has a listing to run, those that share a cluster last."""
    files = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    found = [page for page in map(Page.read, files) if page.listings]
    return sorted(found, key=lambda page: page.wants_client)


def _listings(path: Path, text: str) -> Iterator[Listing]:
    waiting: Listing | None = None  # whose output may follow
    marks: dict[str, str] = {}
    end = 0
    for piece in _PIECE.finditer(text):
        if text[end : piece.start()].strip():
            marks = {}
        end = piece.end()
        comment, word = piece["comment"], piece["word"]
        if word == "output" and waiting is not None:
            waiting = replace(waiting, output=piece["code"])
        if waiting is not None:
            yield waiting
            waiting = None
        if comment is not None:
            if comment.startswith("run\n"):
                line = text.count("\n", 0, piece.start("comment")) + 2
                yield Listing(path, line, comment.removeprefix("run\n"))
            name, colon, why = comment.strip().partition(": ")
            marks = {name: why} if colon and name in ("not run", "long", "program") else {}
        elif word == "python":
            line = text.count("\n", 0, piece.start("code")) + 1
            alone = marks.get("program", "")
            long = marks.get("long", alone)
            waiting = Listing(
                path, line, piece["code"], not_run=marks.get("not run", ""), long=long, program=bool(alone)
            )
            marks = {}
    if waiting is not None:
        yield waiting
