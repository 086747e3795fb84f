"""`dispycos completion SHELL`: the commands as the shell completes them, made of their parsers.

Layer 8.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from dispycos import commandline
from dispycos.commandline import Parser
from dispycos.commands import programs, shells
from dispycos.commands.shells import FILES, FOLDERS, Command, Option
from dispycos.node import cli as node
from dispycos.scheduler import cli as scheduler
from dispycos.usage import parser_of

_SHELLS: Final = {"bash": shells.bash, "zsh": shells.zsh, "fish": shells.fish}
_FILES: Final = ("FILE", "PATH")


def main(argv: Sequence[str]) -> int:
    """Print it; answers the exit code."""
    parser = Parser(
        prog="dispycos completion",
        about="Print what makes a shell complete the commands and options of dispycos and dispycosnode.",
        examples=(
            ('eval "$(dispycos completion bash)"', "for bash, in ~/.bashrc"),
            ('eval "$(dispycos completion zsh)"', "for zsh, behind compinit in ~/.zshrc"),
            ("dispycos completion fish > ~/.config/fish/completions/dispycos.fish", "for fish, once"),
        ),
    )
    parser.add_argument("shell", choices=[*_SHELLS], help="for which shell")
    options = parser.parse_args(argv)
    below = [_of_parser(f"dispycos {name}", parser_of(one.main())) for name, one in programs.COMMANDS.items()]
    tops = [_of_parser("dispycos", scheduler.make_parser()), _of_parser("dispycosnode", node.make_parser())]
    words = tuple((name, _first(one.about)) for name, one in sorted(programs.COMMANDS.items()))
    tops[0] = Command("dispycos", "", tops[0].options, words)

    def run() -> int:
        print(_SHELLS[options.shell](tops, below), end="")
        return 0

    return commandline.carry_out(parser.prog, run)


def _of_parser(name: str, parser: argparse.ArgumentParser) -> Command:
    options, words, files = [], [], False
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        choices = tuple(map(str, action.choices or ()))
        if action.option_strings:
            value = "" if action.nargs == 0 else _kind(action)
            options.append(Option(tuple(action.option_strings), _first(action.help or ""), value, choices))
        else:
            words += [(choice, "") for choice in choices]
            files = files or _kind(action) == FILES
    return Command(name, _first(parser.description or ""), tuple(options), tuple(words), files)


def _kind(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest
    return FILES if metavar in _FILES else FOLDERS if metavar == "DIR" else metavar


def _first(text: str) -> str:
    """What is said first, short enough for a list."""
    line = " ".join(text.replace("%%", "%").split())
    for end in (": `", "; ", ": ", " ("):
        line = line.partition(end)[0]
    return line if len(line) <= 60 else line[:59] + "…"
