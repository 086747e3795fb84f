"""ssh: a Python on another machine, by the OpenSSH client.

The user's own configuration, keys, agent and jump hosts are at work. Rows EX-03, EC-08; SE-53.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from dispycos.launch.launched import Command
from dispycos.launch.program import COMMAND
from dispycos.launch.python import python_of
from dispycos.launch.quoting import excerpt, for_shell
from dispycos.launch.spec import XSpec
from dispycos.launch.target import Target

PYTHON = "python3"  # what a machine is expected to have

_OPTIONS = (
    "-T",  # no terminal there: bytes pass as they are
    "-oConnectTimeout=20",  # seconds
    # A network that is gone ends it within a minute.
    "-oServerAliveInterval=15",
    "-oServerAliveCountMax=3",
)


def spec_of(host: str, python: str | None = None, config: str | os.PathLike[str] | None = None) -> XSpec:
    """The specification of a host that is named as `[USER@]HOST[:PORT]`. ValueError.

    python  there; config: a file to be used as ssh's configuration. None: python3, and the user's own.
    """
    if "//" in host:
        raise ValueError(f"{excerpt(host)} is no [USER@]HOST[:PORT]")
    parts = [f"ssh={host}"]
    if python:
        parts.append(f"python={python}")
    if config:
        parts.append(f"ssh_config={os.path.abspath(config)}")
    return XSpec("//".join(parts))


def command(spec: XSpec, *, silent: bool = False) -> Command:
    """What starts it: `ssh=[OPTIONS] [user@]host[:port]`. ValueError.

    silent  ssh asks nobody for anything; so too where it runs on a carrier's machine.
    """
    target = target_of(spec.ssh, spec.ssh_config)
    python = [*python_of(spec.python, PYTHON), "-u", "-c", COMMAND]
    asks = not silent and at_terminal()
    return Command(
        ssh_words(target, python, asks=asks),
        f"{python[0]} at ssh={target}",
        address=str(spec.ssh),
        keep_errors=True,
        asks=asks,
        advice="install the OpenSSH client",
    )


def target_of(text: str, config: str | bool | None = None) -> Target:
    """What `[OPTIONS] [user@]host[:port]` means to ssh. ValueError.

    config  a file to be used as ssh's configuration; None: the user's own.
    """
    target = Target.parse_ssh(text)
    if config is None:
        return target
    if not isinstance(config, str) or not config or config.startswith("-"):
        raise ValueError("ssh_config= names no file")
    return replace(target, ssh_options=(*target.ssh_options, "-F", config))


def ssh_words(target: Target, remote: Sequence[str], *, asks: bool, extra: Sequence[str] = ()) -> list[str]:
    """The command line of ssh that runs `remote` at a target; () if it is to run nothing there.

    asks   ssh may ask for pass phrases and host keys, at our terminal.
    extra  more of ssh's options, which are ours.
    """
    words = ["ssh", *_OPTIONS, *extra]
    if not asks:
        # Nobody would see a question.
        words.append("-oBatchMode=yes")
    words += target.ssh_options
    if target.port is not None:
        words += ["-p", str(target.port)]
    if target.user:
        words += ["-l", target.user]
    words += ["--", target.host]
    return [*words, for_shell(remote)] if remote else words


def at_terminal() -> bool:
    """Whether a person can be asked something."""
    try:
        return os.isatty(0) and os.isatty(2)
    except OSError:
        return False
