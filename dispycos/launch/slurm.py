"""Slurm, by its own commands: jobs are submitted, looked at, told a signal and cancelled.

What they say is what an error shows. A job script is Python, so there is nothing to quote for a
shell; jobs are known by their names, so nothing is kept beside Slurm.

I/O half. Layer 3. Rows CW-04, CW-11, CW-14; rules SE-53, SE-121.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dispycos import keyfile
from dispycos.errors import DispycosError

LOOK_EVERY: Final = 0.5  # seconds between questions to Slurm: each is work for its controller
ANSWER_WITHIN: Final = 30.0  # seconds for a command of Slurm's
_KEY_IN_CONTAINER: Final = "/run/dispycos-key"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")

# What is over; Slurm remembers it for some minutes.
_OVER: Final = frozenset({"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY",
    "BOOT_FAIL", "DEADLINE", "PREEMPTED"})  # fmt: skip


class SlurmError(DispycosError):
    """Slurm refuses or does not answer; the text has its own words."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job, or one task of an array, as squeue shows it."""

    number: str  # 12, or 12_3 of an array
    name: str
    state: str  # RUNNING, PENDING ...
    node: str  # where it runs or ran; "" before
    reason: str  # why it waits or failed, in Slurm's word

    @property
    def over(self) -> bool:
        """It does not run, and will not."""
        return self.state in _OVER


def installed() -> bool:
    """Whether Slurm's commands are here."""
    return shutil.which("sbatch") is not None


def name(text: str) -> str:
    """A name that a job may have. ValueError: another option or line might be made of it (SE-121)."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is no name of a job: letters, digits, and . _ - behind the first")
    return text


def submit(
    called: str, command: Sequence[str], log: str, options: Sequence[str] = (), lines: Iterable[str] = ()
) -> str:
    """Submit a job; its number.

    lines  of Python, which may change the list `command` where the job runs.
    """
    given = [f"--job-name={name(called)}", f"--output={log}", "--open-mode=append", "--parsable", *options]
    answer = ask("sbatch", *given, script=script(command, lines))
    return answer[-1].partition(";")[0]


def script(command: Sequence[str], lines: Iterable[str] = ()) -> str:
    """A job script in Python, which becomes the command."""
    plain = len(sys.executable) < 100 and " " not in sys.executable
    python = sys.executable if plain else "/usr/bin/env python3"
    head = [f"#!{python}", "import os", f"command = {list(command)!r}"]
    return "\n".join([*head, *lines, "os.execvp(command[0], command)", ""])


def in_docker(
    image: str, arguments: Sequence[str], words: Sequence[str], secret_file: str | None = None
) -> list[str]:
    """A module of ours in a container of an image whose entrypoint is a Python that has dispycos.

    arguments    of `docker run`; words: the module and its own arguments.
    secret_file  the key there; None: that of programs of this account.
    """
    if not _IMAGE.fullmatch(image):
        raise ValueError(f"{image[:60]!r} is no name of an image")
    key = keyfile.KeySource(secret_file=secret_file or None).path
    return [
        "docker", "run", "--rm", "--init", "--network=host", f"--user={os.getuid()}:{os.getgid()}",
        f"--mount=type=bind,source={key},target={_KEY_IN_CONTAINER},readonly",
        f"--env={keyfile.ENVIRONMENT}={_KEY_IN_CONTAINER}",
        *arguments, image, "-m", *words,
    ]  # fmt: skip


def jobs(*names: str, over: bool = False) -> list[Job]:
    """This account's jobs of these names; `over`: also those that Slurm remembers."""
    states = ["--states=all"] if over else []
    wanted = f"--name={','.join(map(name, names))}"
    shown = ask("squeue", "--noheader", "--me", "--array", wanted, *states, "--format=%i|%j|%T|%N|%r")
    found = [Job(*line.split("|", 4)) for line in shown]
    return [job for job in found if over or not job.over]


def cancel(numbers: Iterable[str]) -> None:
    """Cancel these jobs; those that are over already are none the worse."""
    if wanted := list(dict.fromkeys(numbers)):
        ask("scancel", *wanted)


def signal(numbers: Iterable[str], called: str) -> None:
    """Send the programs of running jobs, and nothing that they started, a signal such as USR1."""
    if wanted := list(dict.fromkeys(numbers)):
        ask("scancel", "--batch", f"--signal={called}", *wanted)


def ask(*command: str, script: str = "") -> list[str]:
    """The lines that a command of Slurm's prints; SlurmError has what it said instead."""
    try:
        done = subprocess.run(
            command, input=script, capture_output=True, text=True, timeout=ANSWER_WITHIN, check=False
        )
    except FileNotFoundError:
        raise SlurmError(f"{command[0]} is not here: is Slurm installed on this machine?") from None
    except OSError as exc:
        raise SlurmError(f"{command[0]} can't be run: {exc.strerror or exc}") from exc
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} did not answer in {ANSWER_WITHIN:g} s") from None
    if done.returncode:
        text = " ".join((done.stderr or done.stdout).split())
        raise SlurmError(f"{command[0]} failed with status {done.returncode}: {text or 'it said nothing'}")
    return done.stdout.split("\n")[:-1] if done.stdout else []
