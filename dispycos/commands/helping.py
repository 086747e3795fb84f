"""`dispycos help [NAME]`: a command or a topic is explained.

Topics are pages of the documentation; the package has them beside its modules.

Layer 8.
"""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dispycos import commandline, config
from dispycos.commandline import Parser
from dispycos.commands import manual, table
from dispycos.commands.table import Program
from dispycos.errors import DispycosError
from dispycos.usage import Section, columns, parser_of

# Each with its page, below docs/.
TOPICS: Final = {
    "keys": ("howto/keys.md", "who is believed: the key, fingerprints, TLS"),
    "network": ("howto/lan.md", "how nodes and programs find each other: ports, addresses, firewalls"),
    "settings": ("howto/settings.md", "options in files and variables"),
    "statuses": ("howto/scripts.md", "exit statuses, JSON and signals, for scripts"),
    "trouble": ("howto/trouble.md", "when it does not work"),
    "tuning": ("howto/tuning.md", "how many servers, how large tasks, when to give up"),
    "docker": ("howto/docker.md", "nodes in containers"),
    "cloud": ("howto/cloud.md", "nodes on machines that come and go"),
    "engines": ("engines.md", "Slurm, systemd, Kubernetes"),
    "launching": ("launching.md", "nodes and gateways by ssh, in containers, through others"),
    "monitor": ("monitor.md", "the web monitor, its JSON and metrics"),
    "security": ("security.md", "what is promised, and what is not"),
    "reliability": ("reliability.md", "what happens when something fails"),
}
# Where people may look for them.
_ALSO: Final = {
    **dict.fromkeys(("key", "tls", "secret", "certificates", "fingerprint"), "keys"),
    **dict.fromkeys(("ports", "discovery", "lan", "udp", "firewall", "addresses"), "network"),
    **dict.fromkeys(("variables", "options", "environment"), "settings"),
    **dict.fromkeys(("exit", "status codes", "scripts", "signals", "json"), "statuses"),
    **dict.fromkeys(("gateways", "via"), "launching"),
}
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


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
    parser.add_argument("name", nargs="?", metavar="NAME", help="a command, a program or a topic")
    options = parser.parse_args(commandline.normal(argv))
    if options.man and options.name is None:
        parser.error("--man needs the NAME of a command")

    def run() -> int:
        print(_explained(options.name, man=options.man))
        return 0

    return commandline.carry_out(parser.prog, run)


def _explained(name: str | None, *, man: bool) -> str:
    if name is None:
        return _contents()
    programs = _programs()
    if name in TOPICS and not man:
        return topic(name)
    if name in programs:
        found = parser_of(programs[name].main())
        if man:
            return manual.page(found.prog.replace(" ", "-"), programs[name].about, found).rstrip("\n")
        return found.format_help().rstrip("\n")
    if name in _ALSO and not man:
        return topic(_ALSO[name])
    near = difflib.get_close_matches(name, [*programs, *TOPICS, *_ALSO], 1)
    hint = f"did you mean {near[0]!r}?" if near else "`dispycos help` names all"
    raise DispycosError(f"there is no {'command' if man else 'command or topic'} {name!r}; {hint}")


def _programs() -> dict[str, Program]:
    return {**table.COMMANDS, **table.PROGRAMS, **table.MODULES}


def _contents() -> str:
    parts = {
        "programs": {name: one.about for name, one in table.PROGRAMS.items()},
        "programs, behind python -m": {name: one.about for name, one in table.MODULES.items()},
        "commands, behind dispycos": {name: one.about for name, one in table.COMMANDS.items()},
        "topics": {name: about for name, (_, about) in TOPICS.items()},
    }
    width = shutil.get_terminal_size().columns
    lines = []
    for title, names in parts.items():
        lines += [f"{title}:", *columns(names.items(), width), ""]
    return "\n".join([*lines, "`dispycos help NAME` explains one of them."])


def topic(name: str) -> str:
    """The page of a topic, its links as names of other topics. OSError: the pages are not here."""
    page = TOPICS[name][0]
    package = Path(config.__file__).parent
    # Installed they are in the package; in its sources beside it.
    places = [package / "docs" / page, package.parent / "docs" / page]
    path = next((place for place in places if place.exists()), places[0])
    text = re.sub(r"<!--.*?-->\n*", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return _LINK.sub(_told, text).rstrip("\n")


def _told(link: re.Match[str]) -> str:
    text, target = link.groups()
    page = target.partition("#")[0]
    for name, (of_topic, _) in TOPICS.items():
        if page and Path(page).name == Path(of_topic).name:
            return f"{text} (`dispycos help {name}`)"
    return text if "://" not in target else f"{text} ({target})"
