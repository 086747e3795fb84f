"""All programs of ours: where each is, and what it does in half a line.

None is imported before it is asked for: a short answer does not wait for what it does not use.

Layer 8.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Final

from dispycos.records import record


@record
class Program:
    """One of them."""

    place: str  # MODULE or MODULE:FUNCTION below dispycos; takes the arguments, answers the exit code
    about: str

    def main(self) -> Callable[[Sequence[str]], int]:
        """What runs it; it is loaded now."""
        module, _, function = self.place.partition(":")
        found: Callable[[Sequence[str]], int] = getattr(
            importlib.import_module(f"dispycos.{module}"), function or "main"
        )
        return found


COMMANDS: Final = {
    "top": Program("commands.looking:show_top", "show a cluster live in this terminal"),
    "status": Program("commands.looking:show_status", "print once how a cluster is"),
    "why": Program("commands.looking:why", "say why nothing runs"),
    "doctor": Program("doctor.cli", "say why nodes and programs do not find each other, and what to do"),
    "ssh": Program("ssh", "start nodes on machines that have only Python"),
    "drain": Program("commands.draining", "have a node or scheduler end with its last task"),
    "health": Program("commands.health", "say whether a node or scheduler answers and has the key"),
    "config": Program("commands.settings_shown", "show each setting and where it comes from"),
    "key": Program("commands.keys", "make a key, or show its fingerprint"),
    "dump": Program("commands.dump", "collect what a report of a fault needs, without secrets"),
    "slurm": Program("commands.slurm", "start nodes as jobs of Slurm, show or stop them"),
    "systemd": Program("commands.manifests:systemd", "print a unit of systemd"),
    "kubernetes": Program("commands.manifests:kubernetes", "print manifests of Kubernetes"),
    "dockerfile": Program("commands.manifests:dockerfile", "print the Dockerfile of this release"),
    "completion": Program("commands.completion", "print what makes a shell complete our commands"),
    "help": Program("commands.helping", "explain a command or a topic"),
}

# Installed beside `dispycos`, and those that are run by `python -m`.
PROGRAMS: Final = {
    "dispycos": Program("cli", "the scheduler that many client programs share, and tools for a cluster"),
    "dispycosnode": Program("node.cli", "gives the processors of a machine to dispycos clients"),
    "dispycos-classic": Program("rpc.classic_server", "gives this Python to whoever has its key"),
    "easycluster": Program("easycluster.cli", "serves masters of EasyCluster's vocabulary, makes their keys"),
}
MODULES: Final = {
    "dispycos.workers.master": Program("workers.master", "passes the jobs of programs on to workers"),
    "dispycos.workers.worker": Program("workers.worker", "runs the jobs that a master passes on"),
    "dispycos.workers.mp": Program("workers.mp", "starts and stops a pool of workers on this machine"),
    "dispycos.workers.slurm": Program("workers.slurm", "starts and stops a pool of workers by Slurm"),
    "dispycos.gateways.socketserver": Program("gateways.socketserver", "opens gateways to this machine"),
    "dispycos.rpc.registry": Program("rpc.registry", "knows where services are, by their names"),
    "dispycos.rpc.vdb": Program("rpc.vdb", "keeps the users of a service, with their passwords"),
    "dispycos.compat": Program("compat.__main__", "runs programs that were written for pycos"),
    "dispycos.demo": Program("demo", "shows a small cluster at work"),
}
