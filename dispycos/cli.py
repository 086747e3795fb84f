"""The program `dispycos`: a scheduler, or one of the commands below.

Layer 8. Rows DS-02, DN-42.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import resources

from dispycos import commandline
from dispycos.httpd import asking
from dispycos.scheduler import cli as scheduler


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, or a shared scheduler if none is named; answers the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0].startswith("-"):
        return scheduler.main(arguments, _epilog())
    if arguments[0] == "why" and arguments[1:] not in (["-h"], ["--help"]):
        return why(arguments[1:])
    command = COMMANDS.get(arguments[0])
    if command is None:
        names = ", ".join(COMMANDS)
        text = f"dispycos: {arguments[0]!r} is no command; commands: {names}; without one: a scheduler"
        print(text, file=sys.stderr)
        return 2
    if arguments[1:]:
        print(f"usage: dispycos {arguments[0]}\n{command.__doc__}", file=sys.stderr)
        return 0 if arguments[1:] in (["-h"], ["--help"]) else 2
    return command()


def dockerfile() -> int:
    """Print the Dockerfile of this release: `dispycos dockerfile | docker build -t dispycos -`."""
    sys.stdout.write(resources.files("dispycos").joinpath("data/Dockerfile").read_text(encoding="utf-8"))
    return 0


def why(arguments: Sequence[str] = ()) -> int:
    """Say why nothing runs: `dispycos why LINK`, LINK as a monitor printed it; without it: from stdin."""
    if len(arguments) > 1:
        print(f"usage: dispycos why [LINK]\n{why.__doc__}", file=sys.stderr)
        return 2

    def ask() -> int:
        print(asking.why(arguments[0] if arguments else sys.stdin.readline()))
        return 0

    return commandline.carry_out("dispycos why", ask)


COMMANDS: dict[str, Callable[[], int]] = {"dockerfile": dockerfile, "why": why}


def _epilog() -> str:
    lines = [f"  dispycos {name:12} {command.__doc__}" for name, command in COMMANDS.items()]
    return "\n".join(["commands:", *lines])
