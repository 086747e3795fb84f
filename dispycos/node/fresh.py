"""Fresh interpreters: how a node and its zygotes are started, and how any finds this package.

Imports little: a program's own node runs before that program has imported what it needs for
it, and starts its first zygote before it imports itself, so that all three do so at once.

I/O half. Layer 5. Rules SE-51.
"""

from __future__ import annotations

import os
import site
import socket
import subprocess
import sys
from collections.abc import Mapping

_END_WITHIN = 5.0  # seconds from the closing of its pipe until a node is killed


class FreshNode:
    """A node of this program that nobody has spoken to. Who takes it owns both."""

    __slots__ = ("pipe", "process")

    def __init__(self, process: subprocess.Popen[bytes], pipe: socket.socket) -> None:
        self.process = process
        self.pipe = pipe  # our end

    def end(self) -> None:
        """Nobody has a use for it: it ends when it finds that, and is waited for."""
        self.pipe.close()
        await_end(self.process)


class FreshZygote:
    """A zygote that nobody has spoken to. Who takes it owns its descriptors, and waits for its end."""

    __slots__ = ("output", "pipe", "process")

    def __init__(self, process: subprocess.Popen[bytes], pipe: socket.socket, output: int) -> None:
        self.process = process
        self.pipe = pipe  # our end
        self.output = output  # what it prints is read here

    def ended(self, status: int) -> None:
        """It was waited for, and this is its wait status."""
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.pipe.close()
        os.close(self.output)


def start_node() -> FreshNode:
    """Start a fresh interpreter that waits for its settings and its key. OSError."""
    ours, theirs = socket.socketpair()
    try:
        process = _spawn("dispycos.node", "--inherit", str(theirs.fileno()), keeps=theirs)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return FreshNode(process, ours)


def start_zygote(run_as: str = "") -> FreshZygote:
    """Start a fresh interpreter that waits for its first words. OSError.

    run_as  the account that it is to become; "": ours.
    """
    from dispycos.node import marks  # a program that starts a node has no use for it

    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    try:
        words = [str(theirs.fileno()), str(os.getpid()), *filter(None, [run_as])]
        process = _spawn("dispycos.node.zygote", *words, keeps=theirs, output=write, mark=marks.ours())
    except BaseException:
        ours.close()
        os.close(read)
        raise
    finally:
        theirs.close()
        os.close(write)
    return FreshZygote(process, ours, read)


def await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a node whose pipe is closed; one that does not see that is killed.

    Its zygotes and servers die with it (R-11).
    """
    try:
        process.wait(_END_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _spawn(
    module: str,
    *words: str,
    keeps: socket.socket,
    output: int | None = None,
    mark: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    # With one descriptor of ours, and nothing that leads to a key.
    return subprocess.Popen(
        [*_python(module), *words],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=where_we_are()[1],
        env=clean_environment(os.environ) | (mark or {}),
        pass_fds=[keeps.fileno()],
        # A terminal's Ctrl-C is for the program to handle; its node is told by it.
        start_new_session=True,
    )


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for processes that run client code: nothing that leads to a key (SE-51)."""
    return {name: value for name, value in environ.items() if not name.startswith("DISPYCOS_SECRET")}


def where_we_are() -> tuple[list[str], str]:
    """Interpreter flags and working directory with which a fresh interpreter finds this package."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if root in site.getsitepackages():
        # Installed: found anyway, and no working directory may hide a module of the library's.
        return ["-P"], "/"
    return [], root


def _python(module: str) -> list[str]:
    return [sys.executable, *where_we_are()[0], "-m", module]
