"""`dispycos config`: each setting, its value, and who said so.

What is printed is a configuration file: what nobody set stands there as a comment. A secret is
no setting, and is not shown.

I/O half. Layer 8.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence

from dispycos import commandline, keyfile
from dispycos.commandline import Parser
from dispycos.configuration import file, settings
from dispycos.configuration.names import (
    CLIENT,
    PREFIX,
    SECTIONS,
    SHARED,
    BadConfiguration,
    Found,
    Name,
    Value,
)
from dispycos.node import cli as node
from dispycos.records import record
from dispycos.scheduler import cli as scheduler

_ABOUT = f"""\
Show the settings of nodes, schedulers and programs: each with its value, and with --show-origin where it
comes from. Printed is a configuration file; what nobody set stands there as a comment, with its default.

From the farthest to the nearest, which wins: {settings.SYSTEM}, ~/.config/dispycos/config.toml, variables
({PREFIX}UDP_PORT for all, {PREFIX}NODE_CPUS for nodes), what a command line or a program says. The file
has a table for each of node, scheduler and client; what stands above the tables is shared by all:

  udp_port = 9705
  [node]
  cpus = -1
  peer = ["head.example:9705"]
  [client]
  scheduler = "head.example"

With node or scheduler, options may follow: shown is what a command line with them would use.
"""

_PARSERS: dict[str, Callable[[bool], Parser]] = {
    "node": lambda bare: node.make_parser(bare),
    "scheduler": lambda bare: scheduler.make_parser(bare),
}


@record
class Shown:
    """One setting, as it is in force."""

    name: Name
    value: Value | None  # None: nobody set it
    origin: str


def make_parser() -> Parser:
    """The options of `dispycos config`."""
    parser = Parser(
        prog="dispycos config",
        usage="dispycos config [--show-origin] [--json] [--check FILE] [SECTION [OPTION ...]]",
        about=_ABOUT,
        examples=(
            ("dispycos config --show-origin", "all of them"),
            ("dispycos config --show-origin node --cpus 2", "as `dispycosnode --cpus 2` would have them"),
            ("dispycos config --check config.toml", "what is wrong in a file"),
        ),
        files=(*commandline.SETTINGS, ("DISPYCOS_UDP_PORT, ..", "settings by variables")),
        statuses={0: "all is well", 1: "a setting is wrong", 2: "wrong usage"},
    )
    parser.add_argument("--show_origin", action="store_true", help="say where each value comes from")
    parser.add_argument("--json", action="store_true", help="as JSON, with origins")
    parser.add_argument("--check", metavar="FILE", help="only say what is wrong in this file")
    parser.add_argument("section", nargs="?", choices=SECTIONS, metavar="SECTION",
        help="node, scheduler or client; default: all")  # fmt: skip
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="OPTION", help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str]) -> int:
    """Print them; answers the exit code."""
    parser = make_parser()
    options = parser.parse_args(commandline.normal(argv))
    if options.options and options.section == "client":
        parser.error("a program has no options here: its arguments stand in its own text")

    def run() -> int:
        if options.check is not None:
            return _check(options.check)
        chosen = [options.section] if options.section else SECTIONS
        shown = {section: in_force(section, options.options) for section in chosen}
        if options.json:
            print(as_json(shown))
        else:
            print(as_file(shown, options.show_origin))
            print("\n".join(["", *_files(), *(f"# {sentence}" for sentence in settings.strangers(known()))]))
        return 0

    return commandline.carry_out("dispycos config", run)


def _files() -> list[str]:
    """The files that were looked for, as comments."""
    paths = settings.files()
    there = ["read" if os.path.exists(path) else "not there" for path in paths]
    lines = [f"# {path}: {state}" for path, state in zip(paths, there, strict=True)]
    return (
        ["# Files, the nearest one last:", *lines]
        if lines
        else ["# DISPYCOS_CONFIG is empty: no file is read"]
    )


def known() -> dict[str, Mapping[str, Name]]:
    """All settings, by section."""
    return {"client": CLIENT, **{name: make(False).settings() for name, make in _PARSERS.items()}}


def in_force(section: str, arguments: Sequence[str] = ()) -> list[Shown]:
    """The settings of a section, as a command line with these options has them. BadConfiguration."""
    names = known()[section]
    found = settings.settings(section, names)
    if arguments:
        of_line = _PARSERS[section](False).given(arguments)
        raw = _PARSERS[section](True)
        for name, value in raw.by_name(raw.parse_args(arguments)).items():
            if name in names and name in of_line:
                told = tuple(map(str, value)) if isinstance(value, list) else value
                found[name] = Found(name, told, f"option --{name}")
    return [
        Shown(name, found[name.name].value, found[name.name].origin)
        if name.name in found
        else Shown(name, None, "default")
        for name in names.values()
    ]


def key_file() -> Shown:
    """Where the key is: for all sections."""
    name = SHARED["secret_file"]
    found = settings.settings("", {name.name: name}).get(name.name)
    if found is None:
        return Shown(name, str(keyfile.default_path()), "default")
    return Shown(name, found.value, found.origin)


def as_file(shown: Mapping[str, list[Shown]], origins: bool) -> str:
    """As a configuration file."""
    lines = [_line(key_file(), origins)]
    for section, rows in shown.items():
        lines += ["", f"[{section}]", *(_line(row, origins) for row in rows)]
    return "\n".join(lines)


def as_json(shown: Mapping[str, list[Shown]]) -> str:
    """For programs: by section and name, with value, default and origin."""
    return json.dumps(plain(shown), indent=1)


def plain(shown: Mapping[str, list[Shown]]) -> dict[str, dict[str, dict[str, object]]]:
    """As plain values."""

    def one(row: Shown) -> dict[str, object]:
        default = {"default": row.name.default, "meaning": row.name.meaning}
        return {"value": row.value, **default, "origin": row.origin}

    sections = {section: {row.name.name: one(row) for row in rows} for section, rows in shown.items()}
    return {"shared": {"secret_file": one(key_file())}} | sections


def _line(row: Shown, origins: bool) -> str:
    """A line of the file, with who said so; a default says what it stands for."""
    says = [row.origin] if origins else []
    if row.origin == "default" and row.value is not None:
        text = f"# {row.name.name} = {_toml(row.value)}"
    elif row.value is None:
        text = f"# {row.name.name} = {row.name.default}".rstrip()
        says += [row.name.meaning or ("" if row.name.default else "none")]
    else:
        text = f"{row.name.name} = {_toml(row.value)}"
    comment = ": ".join(filter(None, says))
    return f"{text:32}  # {comment}" if comment else text


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    number = value.isdecimal() and str(int(value)) == value
    return value if number else json.dumps(value)


def _check(path: str) -> int:
    problems: list[BadConfiguration] = []
    try:
        found = file.read(os.path.abspath(path), known(), problems)
    except FileNotFoundError:
        raise BadConfiguration(f"{path} does not exist") from None
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{path} is good: it sets {sum(map(len, found.values()))} of the settings")
    return int(bool(problems))
