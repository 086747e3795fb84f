"""`dispycos completion SHELL`: the commands as the shell completes them, made of their parsers.

Layer 8.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dispycos import commandline
from dispycos.commandline import Parser, parser_of
from dispycos.commands import shells
from dispycos.commands.shells import FILES, FOLDERS, Command, Option
from dispycos.node import cli as node
from dispycos.scheduler import cli as scheduler

Program = Callable[[Sequence[str]], int]

_SHELLS: Final = {"bash": shells.bash, "zsh": shells.zsh, "fish": shells.fish}
_ABOUT = """\
Print what makes a shell complete the commands and options of dispycos and dispycosnode.

  bash  put into ~/.bashrc:                 eval "$(dispycos completion bash)"
  zsh   put behind compinit in ~/.zshrc:    eval "$(dispycos completion zsh)"
  fish  dispycos completion fish > ~/.config/fish/completions/dispycos.fish
"""
# Of commands without a parser: words that may follow, and options.
_PLAIN: Final[dict[str, tuple[tuple[tuple[str, str], ...], tuple[str, ...]]]] = {
    "status": ((), ("--json",)),
    "key": ((("new", "make a key file"), ("fingerprint", "of the key in a file")), ()),
}
_FILES: Final = ("FILE", "PATH")


def main(argv: Sequence[str], programs: Mapping[str, Program], plain: Mapping[str, str]) -> int:
    """Print it; answers the exit code.

    programs  the commands that have a parser.
    plain     those that have none, with what they do.
    """
    parser = Parser(
        prog="dispycos completion",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=[*_SHELLS], help="for which shell")
    options = parser.parse_args(argv)
    below = [_of_parser(f"dispycos {name}", parser_of(run)) for name, run in programs.items()]
    for name, about in plain.items():
        words, switches = _PLAIN.get(name, ((), ()))
        made = tuple(Option((switch,), "") for switch in switches)
        below.append(Command(f"dispycos {name}", _first(about), made, words, files=name == "key"))
    names = {**plain, **{name: run.__doc__ or "" for name, run in programs.items()}}
    tops = [_of_parser("dispycos", scheduler.make_parser()), _of_parser("dispycosnode", node.make_parser())]
    tops[0] = Command(
        "dispycos", "", tops[0].options, tuple((name, _first(about)) for name, about in sorted(names.items()))
    )

    def run() -> int:
        print(_SHELLS[options.shell](tops, below), end="")
        return 0

    return commandline.carry_out("dispycos completion", run)


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
