"""What other systems start dispycos by, printed for them: `dispycos systemd`, `dispycos kubernetes`.

The texts are files of the package, below `data`; here the few words are put in that differ from
one place to another.

Layer 8. Row DN-42.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Sequence
from importlib import resources

from dispycos import commandline
from dispycos.commandline import Parser
from dispycos.easycluster.service import quoted
from dispycos.errors import DispycosError

_PARTS = ("account", "scheduler", "nodes", "network")
# As a registry takes it: a name with an optional tag or digest, and nothing that YAML reads as more.
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:-]{0,254}(@sha256:[0-9a-f]{64})?")


def systemd(argv: Sequence[str]) -> int:
    """Print a unit; answers the exit code."""
    parser = Parser(
        prog="dispycos systemd",
        usage="dispycos systemd [--user] {node,scheduler} [-- OPTIONS OF THE NODE OR SCHEDULER]",
        description="Print a unit of systemd. Its head says how it is installed.",
    )
    parser.add_argument("--user", action="store_true", help="for the systemd of an account, not the system's")
    parser.add_argument("what", choices=("node", "scheduler"))
    parser.add_argument("options", nargs="*", metavar="OPTION", help="options of it, behind --")
    options = parser.parse_args(argv)
    kind = f"{options.what}.user" if options.user else options.what

    def run() -> int:
        words = {
            "dispycosnode": _program("dispycosnode"),
            "dispycos": _program("dispycos"),
            "options": "".join(f" {quoted(word)}" for word in options.options),
        }
        print(_filled(f"systemd/{kind}.service", words))
        return 0

    return commandline.carry_out("dispycos systemd", run)


def kubernetes(argv: Sequence[str]) -> int:
    """Print manifests; answers the exit code."""
    parser = Parser(
        prog="dispycos kubernetes",
        description="Print manifests of Kubernetes: a scheduler, nodes, and who may talk to whom. "
        "`dispycos kubernetes --image IMAGE | kubectl apply -f -`; their head says more.",
    )
    parser.add_argument("--image", type=_image, default="dispycos", metavar="IMAGE",
        help="made by `dispycos dockerfile | docker build -t IMAGE -` and pushed (default: "
        "dispycos)")  # fmt: skip
    parser.add_argument("--nodes", type=_some, default=2, metavar="N",
        help="nodes to begin with (default: 2)")  # fmt: skip
    parser.add_argument("--cpus", type=_some, default=2, metavar="N",
        help="processors of each, and servers on it (default: 2)")  # fmt: skip
    options = parser.parse_args(argv)

    def run() -> int:
        words = {
            "image": options.image,
            "nodes": str(options.nodes),
            "cpus": str(options.cpus),
            "last_port": str(9706 + options.cpus),
        }
        print("\n---\n".join(_filled(f"kubernetes/{part}.yaml", words) for part in _PARTS))
        return 0

    return commandline.carry_out("dispycos kubernetes", run)


def _filled(name: str, words: dict[str, str]) -> str:
    """A text of the package with `{word}` for each of these words; other braces stay."""
    text = resources.files("dispycos").joinpath(f"data/{name}").read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace("{" + word + "}", value)
    return text.rstrip("\n")


def _program(name: str) -> str:
    """Where a command of ours is, as a unit names it."""
    here = os.path.join(os.path.dirname(sys.executable), name)
    found = here if os.access(here, os.X_OK) else shutil.which(name)
    if found is None:
        raise DispycosError(f"the command {name} is not beside {sys.executable}: install dispycos there")
    return quoted(os.path.abspath(found))


def _image(text: str) -> str:
    if not _IMAGE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of an image")
    return text


def _some(text: str) -> int:
    number = commandline.whole(text)
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and 1000")
    return number
