"""The service of the operating system that serves from the next boot on: a unit of systemd.

An account's own unit runs in its own systemd; root's is the system's. What systemctl prints and its
exit status are passed on. Row EC-06.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dispycos import unit_words
from dispycos.configuration import settings

UNIT: Final = "easycluster.service"

_TEMPLATE: Final = """\
[Unit]
Description=EasyCluster server of dispycos
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=5

[Install]
WantedBy={target}
"""


class Unsupported(OSError):
    """This system has no service manager that we know."""


class Service:
    """The unit of this account, or of the system.

    system  the system's; else the account's own. Unsupported without systemd.
    """

    def __init__(self, *, system: bool) -> None:
        self._system = system
        self._systemctl = shutil.which("systemctl")
        if not sys.platform.startswith("linux") or self._systemctl is None:
            raise Unsupported("services are unsupported here: this system has no systemctl")
        self.path = _folder(system) / UNIT

    def install(self, command: Sequence[str]) -> int:
        """Have a command run from the next boot on: systemctl's exit status."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        existed = self.path.exists()
        self.path.write_text(unit(command, system=self._system), encoding="utf-8")
        code = self._run("daemon-reload") or self._run("enable", UNIT)
        if code and not existed:
            self.path.unlink()
        return code

    def uninstall(self) -> int:
        """End it, and have it run no more. FileNotFoundError if it is not installed."""
        self._installed()
        code = self._run("disable", "--now", UNIT)
        if not code:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            code = self._run("daemon-reload")
        return code

    def start(self) -> int:
        """Run it now. FileNotFoundError if it is not installed."""
        self._installed()
        return self._run("start", UNIT)

    def stop(self) -> int:
        """End it until the next boot or `start`. FileNotFoundError if it is not installed."""
        self._installed()
        return self._run("stop", UNIT)

    def _installed(self) -> None:
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path} is not there: install the service first, by --install")

    def _run(self, *words: str) -> int:
        assert self._systemctl is not None
        scope = [] if self._system else ["--user"]
        return subprocess.run([self._systemctl, *scope, *words], check=False).returncode


def unit(command: Sequence[str], *, system: bool) -> str:
    """The text of the unit."""
    target = "multi-user.target" if system else "default.target"
    return _TEMPLATE.format(command=" ".join(map(unit_words.quoted, command)), target=target)


def _folder(system: bool) -> Path:
    if system:
        return Path("/etc/systemd/system")
    return settings.config_home() / "systemd" / "user"
