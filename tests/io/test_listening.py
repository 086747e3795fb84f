"""Listening: everywhere only where that is typed, whoever it is that listens."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dispycos import keyfile, rpc
from dispycos.easycluster.server import Server
from dispycos.gateways import installed, socketserver
from dispycos.httpd import listening as web
from dispycos.keyfile import KeySource
from dispycos.net import addresses
from dispycos.net.listening import as_typed, listening_at

# All that listens at what a user names.
LISTENERS: dict[str, Callable[[str, Path], object]] = {
    "processes of a cluster": lambda host, key: addresses.bind_addresses([host]),
    "rpc": lambda host, key: rpc.ThreadedServer(rpc.Service, host, 0, key=key),
    "easycluster": lambda host, key: Server(KeySource(secret_file=key), host, 0),
    "socket server": lambda host, key: socketserver.serve(f"{host}:0", str(key)),
    "installed socket server": lambda host, key: installed.settle({"address": (host, 0)}),
    "monitor": lambda host, key: web.bind(host, 0, "http"),
}


@pytest.mark.row("SE-12")
@pytest.mark.parametrize("listens", LISTENERS.values(), ids=LISTENERS)
def test_nobody_listens_everywhere_by_another_spelling_of_it(
    listens: Callable[[str, Path], object], tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    keyfile.create(tmp_path / "key")
    with pytest.raises(OSError, match=r"^0 stands for every address .*: write 0\.0\.0\.0 if"):
        listens("0", tmp_path / "key")


@pytest.mark.row("SE-12")
@pytest.mark.parametrize("host", ["::0", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0", "::%1"])
def test_nor_of_ipv6(host: str) -> None:
    with pytest.raises(OSError, match=r"stands for every address of this machine: write (::|0\.0\.0\.0) if"):
        as_typed(host, host)


@pytest.mark.row("DN-04")
@pytest.mark.parametrize("host", ["0", "0.0.0.0", "::", "::ffff:0.0.0.0"])
def test_nobody_is_told_to_dial_every_address(host: str) -> None:
    with pytest.raises(ValueError, match=rf"^others can't dial {host}, every address of a machine: give"):
        addresses.announced(["192.0.2.1", host])
    assert addresses.announced(["192.0.2.1", "::7", "192.0.2.1"]) == ["192.0.2.1", "::7"]


@pytest.mark.row("SE-12")
def test_what_is_typed_is_listened_at() -> None:
    for host in ("0.0.0.0", "::"):
        assert as_typed(host, host) == host
    with listening_at("0x7f.1", 0, 1) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"
    with pytest.raises(OSError, match="'' is no address of this machine"):
        listening_at("", 0, 1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = rf"can't listen at 127\.0\.0\.1:{port}: the port is in use by .+ \(pid {os.getpid()}\)$"
        with pytest.raises(OSError, match=told):
            listening_at("localhost", port, 1, socket.AF_INET)
