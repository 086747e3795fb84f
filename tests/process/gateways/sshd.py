"""A real sshd for tests: on loopback, with keys, port and configuration of its own.

Ports are not guessed: we listen, and each connection is given to a server of its own (sshd -i).
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

from dispycos.launch.quoting import for_shell
from tests.helpers import unavailable

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
PRIVILEGE_SEPARATION = Path("/run/sshd")  # where Debian's sshd insists on a folder


class Sshd:
    """Hosts that one may log in to, and the configuration of the ssh client that knows them.

    folder  for all files; `home` in it is where a login begins.
    """

    def __init__(self, folder: Path) -> None:
        if SSHD is None or shutil.which("ssh") is None:
            unavailable("sshd", "no OpenSSH client and server: apt-get install openssh-client openssh-server")
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        self._folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.config = folder / "ssh_config"
        self._listeners: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._servers: list[subprocess.Popen[bytes]] = []
        for name in ("host", "login", "stranger"):
            self._generate(name)
        (folder / "authorized").write_bytes((folder / "login.pub").read_bytes())
        (folder / "known").write_text(f"* {(folder / 'host.pub').read_text()}")
        (folder / "unknown").write_text("")
        self.config.write_text(
            f"Host *\n HostName 127.0.0.1\n User {getpass.getuser()}\n IdentityFile {folder / 'login'}\n"
            " IdentitiesOnly yes\n IdentityAgent none\n"
            f" UserKnownHostsFile {folder / 'known'}\n GlobalKnownHostsFile none\n"
        )

    def _generate(self, name: str) -> None:
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=20)

    def host(self, name: str, *, before: str = "", client: str = "") -> str:
        """A host of that name for `ssh=`, whose logins run a shell command before ours.

        client  more lines of the client's configuration for this host.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        home = for_shell([str(self.home)])
        config = self._folder / f"sshd_{name}"
        config.write_text(
            f"HostKey {self._folder / 'host'}\nAuthorizedKeysFile {self._folder / 'authorized'}\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n"
            f'ForceCommand cd {home}; export HOME={home}; {before} exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
        )
        text = self.config.read_text()
        self.config.write_text(f"Host {name}\n{client} Port {port}\n{text}")
        self._listeners.append(listener)
        thread = threading.Thread(target=self._accept, args=(listener, config), name=f"sshd {name}")
        self._threads.append(thread)
        thread.start()
        return name

    def _accept(self, listener: socket.socket, config: Path) -> None:
        assert SSHD is not None
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            command = [SSHD, "-i", "-E", str(config) + ".log", "-f", str(config)]
            with connection:
                self._servers.append(subprocess.Popen(command, stdin=connection, stdout=connection))

    def spec(self, host: str, *more: str) -> str:
        """The specification of a gateway to this host."""
        return "//".join([f"ssh={host}", f"ssh_config={self.config}", *more])

    @property
    def servers(self) -> list[subprocess.Popen[bytes]]:
        """The servers of connections that are open."""
        self._servers = [server for server in self._servers if server.poll() is None]
        return self._servers

    def close(self) -> None:
        """End it all."""
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in self._threads:
            thread.join(10)
        for server in self._servers:
            server.terminate()
            server.wait(10)
