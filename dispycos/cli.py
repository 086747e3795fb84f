"""The program `dispycos`: a scheduler, or one of the commands below.

Layer 8. Rows DS-02, DN-42, SE-05, MO-16, MO-24.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import resources

from dispycos import commandline, keyfile
from dispycos.httpd import asking
from dispycos.httpd.asking import Link
from dispycos.terminal import choosing, status

_HELP = (["-h"], ["--help"])


class Usage(Exception):
    """The arguments of a command are wrong."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, or a shared scheduler if none is named; answers the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0].startswith("-"):
        # Not above, nor what draws: a short answer does not wait for what it does not use.
        from dispycos.scheduler import cli as scheduler

        return scheduler.main(arguments, _epilog())
    name, *rest = arguments
    if name in PROGRAMS:
        return PROGRAMS[name](rest)
    command = COMMANDS.get(name)
    if command is None:
        names = ", ".join(NAMES)
        print(
            f"dispycos: {name!r} is no command; commands: {names}; without one: a scheduler", file=sys.stderr
        )
        return 2

    def run() -> int:
        print(command(rest))
        return 0

    try:
        if rest not in _HELP:
            return commandline.carry_out(f"dispycos {name}", run)
    except Usage:
        pass
    about = f"{command.__doc__}\n{_LINK}" if "LINK" in (command.__doc__ or "") else command.__doc__
    print(f"usage: dispycos {name}\n{about}", file=sys.stdout if rest in _HELP else sys.stderr)
    return 0 if rest in _HELP else 2


def dockerfile(arguments: Sequence[str]) -> str:
    """Print the Dockerfile of this release: `dispycos dockerfile | docker build -t dispycos -`."""
    if arguments:
        raise Usage
    return resources.files("dispycos").joinpath("data/Dockerfile").read_text(encoding="utf-8").rstrip("\n")


def show_top(arguments: Sequence[str]) -> str:
    """Show a cluster live in this terminal: `dispycos top [LINK]`; see LINK below."""
    from dispycos.terminal import top

    return top.run(_where(arguments))


def show_status(arguments: Sequence[str]) -> str:
    """Print once how a cluster is: `dispycos status [LINK] [--json]`; see LINK below."""
    rest = [argument for argument in arguments if argument != "--json"]
    link = _where(rest)()
    return status.as_json(link) if "--json" in arguments else status.text(link)


def why(arguments: Sequence[str]) -> str:
    """Say why nothing runs: `dispycos why [LINK]`; see LINK below."""
    return str(asking.get(_where(arguments)(), "/api/v1/why")["text"])


def _where(arguments: Sequence[str]) -> Callable[[], Link]:
    """What answers the monitor that is meant."""
    if len(arguments) > 1 or (arguments and arguments[0].startswith("--")):
        raise Usage
    text = arguments[0] if arguments else None
    if text == "-":
        link = choosing.chosen(text)  # read once
        return lambda: link
    return lambda: choosing.chosen(text)


def key(arguments: Sequence[str]) -> str:
    """Make a key or show its fingerprint: `dispycos key new FILE`, `dispycos key fingerprint [FILE]`."""
    if arguments[:1] == ["new"] and len(arguments) == 2:
        keyfile.create(arguments[1])
    elif arguments[:1] != ["fingerprint"] or len(arguments) > 2:
        raise Usage
    return "\n".join(keyfile.fingerprints(arguments[1] if arguments[1:] else None))


# With a parser, a help and an exit code of their own; each is loaded when it is asked for.


def run_ssh(arguments: Sequence[str]) -> int:
    """Start nodes by ssh, on machines that have only Python: `dispycos ssh HOST ..`."""
    from dispycos import ssh

    return ssh.main(arguments)


def run_config(arguments: Sequence[str]) -> int:
    """Show each setting and where it comes from: `dispycos config [--show-origin] [--check FILE]`."""
    from dispycos.commands import settings_shown

    return settings_shown.main(arguments)


def run_drain(arguments: Sequence[str]) -> int:
    """Have a node or scheduler end with its last task: `dispycos drain [PID]`."""
    from dispycos.commands import draining

    return draining.main(arguments)


def run_slurm(arguments: Sequence[str]) -> int:
    """Start nodes as jobs of Slurm, show or stop them: `dispycos slurm -n N start`."""
    from dispycos.commands import slurm

    return slurm.main(arguments)


def run_health(arguments: Sequence[str]) -> int:
    """Say whether a node or scheduler answers: `dispycos health [HOST[:PORT]]`."""
    from dispycos.commands import health

    return health.main(arguments)


def run_systemd(arguments: Sequence[str]) -> int:
    """Print a unit of systemd: `dispycos systemd [--user] node`, or `scheduler`."""
    from dispycos.commands import manifests

    return manifests.systemd(arguments)


def run_kubernetes(arguments: Sequence[str]) -> int:
    """Print manifests: `dispycos kubernetes --image IMAGE | kubectl apply -f -`."""
    from dispycos.commands import manifests

    return manifests.kubernetes(arguments)


def run_doctor(arguments: Sequence[str]) -> int:
    """Say why nodes and programs do not find each other, and what to do: `dispycos doctor [HOST]`."""
    from dispycos.doctor import cli as doctor

    return doctor.main(arguments)


def run_dump(arguments: Sequence[str]) -> int:
    """Collect what a report of a fault needs, without secrets: `dispycos dump [LINK] [--log FILE]`."""
    from dispycos.commands import dump

    return dump.main(arguments)


def run_completion(arguments: Sequence[str]) -> int:
    """Print what makes a shell complete our commands: `dispycos completion {bash,zsh,fish}`."""
    from dispycos.commands import completion

    return completion.main(arguments, PROGRAMS, {name: run.__doc__ or "" for name, run in COMMANDS.items()})


COMMANDS: dict[str, Callable[[Sequence[str]], str]] = {
    "top": show_top,
    "status": show_status,
    "why": why,
    "key": key,
    "dockerfile": dockerfile,
}
PROGRAMS: dict[str, Callable[[Sequence[str]], int]] = {
    "ssh": run_ssh,
    "config": run_config,
    "slurm": run_slurm,
    "drain": run_drain,
    "health": run_health,
    "systemd": run_systemd,
    "kubernetes": run_kubernetes,
    "doctor": run_doctor,
    "dump": run_dump,
    "completion": run_completion,
}
NAMES = (*COMMANDS, *PROGRAMS)
_LINK = """LINK is the address that a monitor printed, or - to read it from standard input, where other users
don't see it; or the port of a monitor of yours on this machine. Without LINK: the only one of yours."""


def _epilog() -> str:
    about = {name: command.__doc__ for name, command in (*COMMANDS.items(), *PROGRAMS.items())}
    lines = [f"  dispycos {name:12} {text}" for name, text in about.items()]
    return "\n".join(["commands:", *lines, "", _LINK])
