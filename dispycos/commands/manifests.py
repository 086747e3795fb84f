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
import stat
import sys
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from dispycos import commandline
from dispycos.commandline import Parser
from dispycos.errors import DispycosError
from dispycos.node import cli as node
from dispycos.scheduler import cli as scheduler
from dispycos.unit_words import quoted

_PARTS = ("account", "scheduler", "nodes", "network")
_HIDDEN = ("/tmp/", "/var/tmp/")  # a unit with PrivateTmp has others of its own
_ELSEWHERE = "install dispycos where all may read it, as in /opt/dispycos"
# As a registry takes it: a name with an optional tag or digest, and nothing that YAML reads as more.
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:-]{0,254}(@sha256:[0-9a-f]{64})?")


def dockerfile(argv: Sequence[str]) -> int:
    """Print the Dockerfile of this release; answers the exit code."""
    parser = Parser(
        prog="dispycos dockerfile",
        about="Print the Dockerfile of this release: an image for nodes and schedulers. Its head says how "
        "they are started.",
        examples=(("dispycos dockerfile | docker build -t dispycos -", "makes the image"),),
    )
    parser.parse_args(argv)

    def run() -> int:
        print(_filled("Dockerfile", {}))
        return 0

    return commandline.carry_out(parser.prog, run)


def systemd(argv: Sequence[str]) -> int:
    """Print a unit; answers the exit code."""
    parser = Parser(
        prog="dispycos systemd",
        usage="dispycos systemd [--user] {node,scheduler} [-- OPTIONS OF THE NODE OR SCHEDULER]",
        about="Print a unit of systemd. Its head says how it is installed.",
        examples=(
            ("dispycos systemd node > /etc/systemd/system/dispycosnode.service", "for the machine, as root"),
            ("dispycos systemd --user scheduler -- --http", "for this account, with a monitor"),
        ),
        files=(
            ("/opt/dispycos", "a good place for a unit of the system: it sees no /tmp and not every home"),
        ),
        stranger="options of what is started stand behind --, as in `dispycos systemd node -- --cpus 2`",
    )
    parser.add_argument("--user", action="store_true", help="for the systemd of an account, not the system's")
    parser.words(
        "what",
        "whose unit",
        {
            "node": "of dispycosnode, which gives the processors of the machine to clients",
            "scheduler": "of dispycos, the scheduler that client programs share",
        },
    )
    parser.add_argument("options", nargs="*", default=[], metavar="OPTION", help="options of it, behind --")
    options = parser.parse_args(argv)
    kind = f"{options.what}.user" if options.user else options.what
    # What the program refuses is said here, and not in a journal.
    make = node.make_parser if options.what == "node" else scheduler.make_parser
    make(bare=True).parse_args(commandline.normal(options.options))

    def run() -> int:
        programs = {name: _program(name) for name in ("dispycosnode", "dispycos")}
        if not options.user:
            for problem in out_of_reach([*programs.values(), os.path.realpath(sys.executable)]):
                print(f"{parser.prog}: {problem}", file=sys.stderr)
        words = {
            **{name: quoted(path) for name, path in programs.items()},
            "options": "".join(f" {quoted(word)}" for word in options.options),
        }
        print(_filled(f"systemd/{kind}.service", words))
        return 0

    return commandline.carry_out("dispycos systemd", run)


def kubernetes(argv: Sequence[str]) -> int:
    """Print manifests; answers the exit code."""
    parser = Parser(
        prog="dispycos kubernetes",
        about="Print manifests of Kubernetes: a scheduler, nodes, and who may talk to whom. "
        "Their head says more.",
        examples=(
            ("dispycos kubernetes --image registry.example/dispycos | kubectl apply -f -", "starts them"),
            ("dispycos kubernetes --nodes 10 --cpus 8", "with ten nodes of eight processors"),
        ),
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
    return os.path.abspath(found)


def out_of_reach(paths: Sequence[str], hidden: Sequence[str] = _HIDDEN) -> Iterator[str]:
    """Why a unit of the system can't run one of these programs, for the first of each reason."""
    told = set()
    for path in paths:
        own = next((top for top in hidden if path.startswith(top)), "")
        closed = "" if own else next((str(one) for one in Path(path).parents if _is_closed(one)), "")
        if own and own not in told:
            yield f"{path} is hidden from this unit, which has a {own} of its own: {_ELSEWHERE}"
        if closed and closed not in told:
            yield (
                f"{path} can't be read by the account of this unit, for {closed} is closed to others: "
                f"{_ELSEWHERE}, or write a unit of your own account by --user"
            )
        told |= {own, closed}


def _is_closed(folder: Path) -> bool:
    try:
        return not folder.stat().st_mode & stat.S_IXOTH
    except FileNotFoundError:
        return False


def _image(text: str) -> str:
    if not _IMAGE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of an image")
    return text


def _some(text: str) -> int:
    number = commandline.whole(text)
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and 1000")
    return number
