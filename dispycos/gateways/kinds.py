"""Kinds of gateways: a class for each way to reach a Python.

To call one is to open a gateway in the default group; `makegateway` opens the same kinds.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Protocol

from dispycos.gateways.gateway import Gateway
from dispycos.launch.spec import XSpec


class Host(Protocol):
    """What a kind needs of a group."""

    def open(self, gateway: Gateway, spec: XSpec) -> None: ...


class _Kind(Gateway):
    home: ClassVar[Host]

    def _open(self, **keys: Any) -> None:
        parts = [
            key if value is True else f"{key}={value}" for key, value in keys.items() if value is not None
        ]
        self.home.open(self, XSpec("//".join(parts)))


class PopenGateway(_Kind):
    """A Python in a child process: the present one, or the one that is named."""

    def __init__(self, python: str | None = None) -> None:
        self._open(popen=True, python=python)


class SshGateway(_Kind):
    """A Python on another machine, by the ssh program: [USER@]HOST, with its usual options before it."""

    def __init__(self, host: str, python: str | None = None, ssh_config: str | None = None) -> None:
        self._open(ssh=host, python=python, ssh_config=ssh_config)


class SocketGateway(_Kind):
    """A process behind a socket server."""

    def __init__(self, host: str, port: int, secret_file: str | None = None) -> None:
        """Open it; `secret_file` has the server's key if that is not the account's own."""
        self._open(socket=_place(host, port), secret_file=secret_file)

    @classmethod
    def new_remote(cls, gateway: Gateway, hostport: tuple[str, int] = ("127.0.0.1", 0)) -> Gateway:
        """Start a socket server at the far end of a gateway, and open a gateway behind it from here.

        hostport  where it listens; port 0: any free one. The key is made for it, and it serves
                  no other gateway.
        """
        return gateway._group.makegateway(f"socket={_place(*hostport)}//installvia={gateway.id}")


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def set_home(group: Host) -> None:
    """Say which group it is that gateways are opened in by their class."""
    _Kind.home = group


# By the key of a specification that says so.
KINDS: Final[dict[str, type[Gateway]]] = {"popen": PopenGateway, "ssh": SshGateway, "socket": SocketGateway}
