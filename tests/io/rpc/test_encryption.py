"""Connections by TLS."""

from __future__ import annotations

import logging
import os

import pytest

from dispycos import rpc
from dispycos.net.tls import InvalidCertificate
from tests.certificates import Authority
from tests.io.rpc.servers import KEY, serving


class Echo(rpc.Service):
    """Gives back."""

    def exposed_echo(self, value: object) -> object:
        return value

    def exposed_call(self, function: object) -> object:
        return function(1)  # type: ignore[operator]


@pytest.mark.row("RP-30", "GN-03")
def test_a_server_with_a_certificate_is_reached_by_tls_alone(tmp_path, caplog):
    ours = Authority(tmp_path)
    files = ours.issue("server", "localhost")
    with serving(Echo, certfile=str(files.cert), keyfile=str(files.key)) as server:
        with rpc.ssl_connect("localhost", server.port, ca_certs=str(ours.file), key=KEY) as conn:
            large = os.urandom(5_000_000)
            assert conn.root.echo(large) == large
            assert conn.root.call(lambda n: conn.root.echo(n + 1)) == 2
        with pytest.raises(ConnectionError, match=r"TLS failed: .*(self|local issuer|certificate)"):
            rpc.ssl_connect("localhost", server.port, key=KEY)
        with pytest.raises((ConnectionError, EOFError)):
            rpc.connect("localhost", server.port, key=KEY)
        with pytest.raises(ConnectionError, match="authentication failed"):
            rpc.ssl_connect("localhost", server.port, ca_certs=str(ours.file), key=b"x" * 32)
        with pytest.raises(ConnectionError, match="TLS failed"):
            rpc.ssl_connect("127.0.0.1", server.port, ca_certs=str(ours.file), key=KEY)
    with serving(Echo) as plain:
        with pytest.raises((ConnectionError, TimeoutError)):
            rpc.ssl_connect("localhost", plain.port, ca_certs=str(ours.file), key=KEY, timeout=8)
    assert any("refused a connection" in record.getMessage() for record in caplog.records)
    assert all(record.levelno < logging.ERROR for record in caplog.records)


@pytest.mark.row("GN-03")
def test_files_that_are_no_certificates_are_named(tmp_path):
    with pytest.raises(InvalidCertificate, match=r"none\.pem"):
        rpc.ThreadedServer(Echo, port=0, key=KEY, certfile=str(tmp_path / "none.pem"))
    with pytest.raises(ValueError, match="of no use without certfile"):
        rpc.ThreadedServer(Echo, port=0, key=KEY, keyfile="key.pem")
    with pytest.raises(OSError, match=r"none\.pem: no authorities"):
        rpc.ssl_connect("localhost", 1, ca_certs=str(tmp_path / "none.pem"))


@pytest.mark.row("GN-03")
def test_clients_show_a_certificate_where_one_is_asked_for(tmp_path):
    ours = Authority(tmp_path)
    files, mine = ours.issue("server", "localhost"), ours.issue("client", "localhost")
    with serving(Echo, certfile=str(files.both), ca_certs=str(ours.file)) as server:
        known = {"ca_certs": str(ours.file), "key": KEY}
        with rpc.ssl_connect("localhost", server.port, certfile=str(mine.both), **known) as conn:
            assert conn.root.echo(1) == 1
        with pytest.raises((ConnectionError, EOFError)):
            rpc.ssl_connect("localhost", server.port, **known)
