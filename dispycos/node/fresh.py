"""Fresh interpreters: how a zygote is started, and how any finds this package.

Imports little: a program's own node starts its first zygote before it imports itself, so that
both start at the same time.

I/O half. Layer 5. Rules SE-51.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig

from dispycos.node import ties
from dispycos.records import record


@record(frozen=False, eq=False)
class FreshZygote:
    """A zygote that nobody has spoken to. Who takes it owns its descriptors, and waits for its end."""

    process: subprocess.Popen[bytes]
    pipe: socket.socket  # our end
    output: int  # what it prints is read here

    def ended(self, status: int) -> None:
        """It was waited for, and this is its wait status."""
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.pipe.close()
        os.close(self.output)


def start_zygote(run_as: str = "") -> FreshZygote:
    """Start a fresh interpreter that waits for its first words. OSError.

    run_as  the account that it is to become; "": ours.
    """
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    try:
        flags, folder = where_we_are()
        command = [
            sys.executable,
            *flags,
            "-m",
            "dispycos.node.zygote",
            str(theirs.fileno()),
            str(os.getpid()),
            *filter(None, [run_as]),
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write,
            cwd=folder,
            env=ties.clean_environment(os.environ),
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        os.close(read)
        raise
    finally:
        theirs.close()
        os.close(write)
    return FreshZygote(process, ours, read)


def where_we_are() -> tuple[list[str], str]:
    """Interpreter flags and working directory with which a fresh interpreter finds this package."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if root in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        # Installed: found anyway, and no working directory may hide a module of the library's.
        return ["-P"], "/"
    return [], root
