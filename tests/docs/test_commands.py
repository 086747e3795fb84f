"""What the pages have people type is understood: each command line of ours is read by its own parser."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispycos import commandline
from dispycos.commands import programs
from dispycos.usage import parser_of
from dispycos.wording import nearest
from tests.helpers import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_OURS = re.compile(
    r"(?:python -m dispycos\.node|python -m (?P<module>dispycos[\w.]*)|(?P<name>dispycos[\w-]*))(?= |$)"
)
# What stands behind a command on its line, for people: two spaces, or a comment.
_REMARK = re.compile(r" {3,}| +#| [|>&]|;")


def typed(page: Path) -> Iterator[str]:
    """Command lines of ours: lines of what is typed, and code in running text."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for language, block in _FENCE.findall(text):
        yield from [] if language else block.splitlines()
    yield from _CODE.findall(_FENCE.sub("", text).replace("\\|", "|"))


def understood(line: str) -> bool:
    """Whether its program is ours and takes it; AssertionError says what is not taken."""
    found = _OURS.match(line)
    # A form (`[PID]`, `start|stop`, `...`) stands for lines, and is none.
    if found is None or re.search(r"\[|\w\|\w|\.\.\.|…", line):
        return False
    words = shlex.split(_REMARK.split(line[found.end() :])[0])
    name = found["module"] or found["name"] or "dispycosnode"
    known = {**programs.PROGRAMS, **programs.MODULES}
    if found["module"] is None and name == "dispycos" and words and words[0] in programs.COMMANDS:
        known, name = dict(programs.COMMANDS), words.pop(0)
    assert name in known or found["module"], f"there is no program {name!r}"
    if name not in known:
        return False
    actions = parser_of(known[name].main())._option_string_actions
    taken = False  # by the option before it
    for word in commandline.normal(words):
        # Behind these stand options of another program.
        if word == "--" or (name == "config" and word in ("node", "scheduler")):
            break
        if not taken and re.match(r"-[^\d]", word):
            option = word.partition("=")[0] if word.startswith("--") else word[:2]
            assert option in actions, f"no option {option}"
            taken = word == option and actions[option].nargs is None
        else:
            # Other words behind the name of the package are a sentence's, or what it prints.
            meant = name == "dispycos" and not taken and nearest(word, programs.COMMANDS)
            assert not meant, f"no command {word!r}: {meant} is meant"
            taken = False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_options_that_a_page_names_are_there(page: Path) -> None:
    wrong = []
    for line in typed(page):
        try:
            understood(line)
        except (AssertionError, ValueError) as error:
            wrong.append(f"{line}: {error}")
    assert not wrong


def test_the_lines_of_the_pages_are_read_and_not_passed_over() -> None:
    assert sum(understood(line) for page in PAGES for line in typed(page)) > 150
