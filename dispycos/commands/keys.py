"""`dispycos key`: a key file is made, or the fingerprints of its keys are shown.

Layer 8. Rows SE-02, SE-05.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from dispycos import commandline, keyfile
from dispycos.commandline import Parser

_ABOUT = """\
Make a key file, or show the fingerprints of its keys. Whoever holds the key of a cluster may run code on
all of it; a fingerprint may be shown to anybody, and machines with the same one meet.

The first key of a file is its own; others in it are accepted too, so that keys are replaced without a
stop.
"""


def main(argv: Sequence[str]) -> int:
    """Make one or show its fingerprint; answers the exit code."""
    parser = Parser(
        prog="dispycos key",
        usage="dispycos key new FILE\n       dispycos key fingerprint [FILE]",
        about=_ABOUT,
        examples=(
            ("dispycos key fingerprint", "of the key of this account: run it on two machines and compare"),
            ("dispycos key new cluster.key", "makes a file of mode 600, and shows its fingerprint"),
            ("scp -p cluster.key host1:.config/dispycos/key", "gives it to another machine"),
        ),
        files=keyfile.TOLD,
        statuses={
            0: "all is done",
            1: "the file exists already, or its folder does not, or it can't be read",
            2: "wrong usage",
        },
    )
    parser.words(
        "action",
        "what to do",
        {
            "new FILE": "make this file, with a new key, and show its fingerprint; its folder must be there",
            "fingerprint [FILE]": "show the fingerprints of the keys in this file, or of this account's",
        },
    )
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="the key file (fingerprint has a default: the account's own)"
    )
    options = parser.parse_args(commandline.normal(argv))
    if options.action == "new" and options.file is None:
        parser.error("new needs the name of the FILE to make")

    def run() -> int:
        if options.action == "new":
            keyfile.create(options.file)
            print(f"made {os.path.abspath(options.file)}, with the key of this fingerprint:")
        print("\n".join(keyfile.fingerprints(options.file)))
        return 0

    return commandline.carry_out(parser.prog, run)
