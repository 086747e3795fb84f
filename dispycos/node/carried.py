"""A node that was started from elsewhere (`launch.far_node`): its key and its end come by standard input.

    python -m dispycos.node.carried FOLDER [OPTIONS OF DISPYCOSNODE]

FOLDER holds all that it runs, and is removed when it ends. The first line of the input has the
keys; the end of the input is the end of whoever started it, and of the node.

Layer 8. Rules R-11, SE-51.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading

from dispycos.keyfile import KeySource
from dispycos.net.keys import Keyring, keyring_of
from dispycos.node import cli


class _Told(KeySource):
    """Keys that live in memory only."""

    def __init__(self, keyring: Keyring) -> None:
        super().__init__("told")  # there is no file to look at
        self._keyring = keyring

    def load(self) -> Keyring:
        """See `KeySource`."""
        return self._keyring


def main(folder: str, arguments: list[str]) -> int:
    """Be the node; answers the exit code."""
    keys = [bytes.fromhex(key) for key in sys.stdin.readline().split()]
    if not keys:
        return 0  # whoever started it is gone
    threading.Thread(target=_watch, name="dispycos input", daemon=True).start()
    files = ["--dest_path", os.path.join(folder, "files")]  # unless it is said otherwise behind it
    try:
        return cli.main([*files, *arguments, "--daemon"], source=_Told(keyring_of(keys)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _watch() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
