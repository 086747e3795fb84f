"""`dispycos help [NAME]`: a command or a topic is explained.

Layer 8.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

from dispycos import commandline
from dispycos.commandline import Parser
from dispycos.commands import manual, programs
from dispycos.commands.programs import Program
from dispycos.commands.topics import ALSO, COMING, TOPICS, topic
from dispycos.errors import DispycosError
from dispycos.usage import Section, columns, parser_of
from dispycos.wording import nearest


def main(argv: Sequence[str]) -> int:
    """Explain it; answers the exit code."""
    parser = Parser(
        prog="dispycos help",
        about="Explain a command, as its --help does, or a topic. Without NAME: what there is.",
        examples=(
            ("dispycos help doctor", "as `dispycos doctor --help`"),
            ("dispycos help network", "ports, discovery, firewalls"),
            ("dispycos help --man doctor | man -l -", "as a page of the manual"),
        ),
        statuses={0: "all is done", 1: "there is no such command or topic", 2: "wrong usage"},
        further=Section("topics", tuple((name, about) for name, (_, about) in TOPICS.items())),
    )
    parser.add_argument("--man", action="store_true", help="a command as a page for the program man")
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a command, a program, a topic or another library"
    )
    options = parser.parse_args(commandline.normal(argv))
    if options.man and options.name is None:
        parser.error("--man needs the NAME of a command")

    def run() -> int:
        print(_explained(options.name, man=options.man))
        return 0

    return commandline.carry_out(parser.prog, run)


def _explained(name: str | None, *, man: bool) -> str:
    width = shutil.get_terminal_size().columns
    if name is None:
        return _contents(width)
    programs = _programs()
    colour = _has_colours()
    if name in TOPICS and not man:
        return topic(name, width, colour=colour)
    if name in programs:
        found = parser_of(programs[name].main())
        if man:
            return manual.page(found.prog.replace(" ", "-"), programs[name].about, found).rstrip("\n")
        return found.format_help().rstrip("\n")
    if name in ALSO and not man:
        return topic(ALSO[name], width, colour=colour)
    if name in COMING and not man:
        return topic(name, width, colour=colour)
    near = nearest(name, [*programs, *TOPICS, *ALSO, *COMING])
    hint = f"did you mean {near!r}?" if near else "`dispycos help` names all"
    raise DispycosError(f"there is no {'command' if man else 'command or topic'} {name!r}; {hint}")


def _has_colours() -> bool:
    """Whether what is printed goes to a terminal that has colours, and whose user wants them."""
    told = os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")
    return told and sys.stdout is not None and sys.stdout.isatty()


def _programs() -> dict[str, Program]:
    return {**programs.COMMANDS, **programs.PROGRAMS, **programs.MODULES}


def _contents(width: int) -> str:
    parts = {
        "programs": {name: one.about for name, one in programs.PROGRAMS.items()},
        "programs, behind python -m": {name: one.about for name, one in programs.MODULES.items()},
        "commands, behind dispycos": {name: one.about for name, one in programs.COMMANDS.items()},
        "topics": {name: about for name, (_, about) in TOPICS.items()},
    }
    lines = []
    for title, names in parts.items():
        lines += [f"{title}:", *columns(names.items(), width), ""]
    told = (
        "`dispycos help NAME` explains one of them; `dispycos help --man NAME | man -l -` shows it as a page "
        "of the manual, and so do `man dispycosnode` and `man dispycos-NAME` where pip installed them. "
        "NAME may be a library that you come from: dask, ray, multiprocessing, pycos."
    )
    return "\n".join([*lines, textwrap.fill(told, width)])
