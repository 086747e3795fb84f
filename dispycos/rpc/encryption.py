"""TLS around a connection, so that nobody on the way reads it.

A connection wants a stream of plain bytes. A thread stands between that and TLS: it carries what
comes from one to the other, at most a chunk at a time each way, and ends when one of them does.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from typing import Final

from dispycos.net.stream import Stream
from dispycos.net.tls import load_certificate

_CHUNK: Final = 1 << 18  # bytes on their way in one direction


def listening(certfile: str, keyfile: str | None = None, ca_certs: str | None = None) -> ssl.SSLContext:
    """How a server speaks TLS.

    certfile  PEM; the key may be in the same file.
    ca_certs  clients must show a certificate of these authorities.
    InvalidCertificate names the file and what is wrong with it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return _with(context, certfile, keyfile, ca_certs)


def dialling(
    certfile: str | None = None, keyfile: str | None = None, ca_certs: str | None = None
) -> ssl.SSLContext:
    """How a client speaks TLS. The server's certificate is always checked.

    ca_certs  the authorities that are believed, or the server's own certificate; those of the system
              unless it is given.
    certfile  what we show, to servers that ask.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_certs is None:
        context.load_default_certs()
    return _with(context, certfile, keyfile, ca_certs)


def _with(
    context: ssl.SSLContext, certfile: str | None, keyfile: str | None, ca_certs: str | None
) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certfile is not None:
        load_certificate(context, certfile, keyfile)
    elif keyfile is not None:
        raise ValueError("keyfile is of no use without certfile")
    if ca_certs is not None:
        try:
            context.load_verify_locations(ca_certs)
        except (ssl.SSLError, OSError) as exc:
            raise OSError(f"{ca_certs}: no authorities could be read: {exc.strerror or exc}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def encrypted(sock: socket.socket, context: ssl.SSLContext, timeout: float, host: str = "") -> Stream:
    """TLS over a connected socket, which is ours from now on.

    host  whom its certificate must name; "" at the listening end.
    ConnectionError or TimeoutError say what failed; the socket is closed then.
    """
    sock.settimeout(timeout)
    try:
        tls = context.wrap_socket(sock, server_side=not host, server_hostname=host or None)
    except TimeoutError:
        sock.close()
        raise TimeoutError(f"no TLS in {timeout:g} s") from None
    except ssl.SSLError as exc:
        sock.close()
        why = getattr(exc, "verify_message", "") or exc.reason or str(exc)
        raise ConnectionError(f"TLS failed: {why.replace('_', ' ').lower()}") from None
    except BaseException:
        sock.close()
        raise
    near, far = socket.socketpair()
    tls.setblocking(False)
    far.setblocking(False)
    threading.Thread(target=_Carrier(tls, far).run, name="dispycos TLS", daemon=True).start()
    return Stream.of_socket(near)


class _Carrier:
    # Carries bytes between TLS and the plain socket beside it.

    def __init__(self, tls: ssl.SSLSocket, plain: socket.socket) -> None:
        self._tls = tls
        self._plain = plain
        self._out = b""  # for TLS
        self._in = b""  # for us
        self._ended = False  # one side has ended; what is on its way is still delivered
        self._wants = 0  # what TLS waits for: poll(2) events

    def run(self) -> None:
        """Until one side ends."""
        with self._tls, self._plain:
            try:
                while not (self._ended and not self._out and not self._in):
                    if not self._carry():
                        self._wait()
            except OSError:
                pass  # the other end sees its stream end

    def _carry(self) -> bool:
        # Whether anything moved.
        self._wants = 0
        moved = False
        if not self._in and not self._ended:
            data = self._from_tls()
            if data is not None:
                self._in, moved = data, True
                self._ended = not data
        if not self._out and not self._ended:
            data = self._from_plain()
            if data is not None:
                self._out, moved = data, True
                self._ended = not data
        return self._write() or moved

    def _from_tls(self) -> bytes | None:
        try:
            return self._tls.recv(_CHUNK)
        except ssl.SSLWantReadError:
            self._wants |= select.POLLIN
        except ssl.SSLWantWriteError:
            self._wants |= select.POLLOUT
        return None

    def _from_plain(self) -> bytes | None:
        try:
            return self._plain.recv(_CHUNK)
        except BlockingIOError:
            return None

    def _write(self) -> bool:
        moved = False
        if self._in:
            try:
                self._in = self._in[self._plain.send(self._in) :]
                moved = True
            except BlockingIOError:
                pass
        if self._out:
            try:
                self._out = self._out[self._tls.send(self._out) :]
                moved = True
            except ssl.SSLWantReadError:
                self._wants |= select.POLLIN
            except ssl.SSLWantWriteError:
                self._wants |= select.POLLOUT
        return moved

    def _wait(self) -> None:
        poll = select.poll()
        if self._wants:
            poll.register(self._tls, self._wants)
        plain = (0 if self._out or self._ended else select.POLLIN) | (select.POLLOUT if self._in else 0)
        if plain:
            poll.register(self._plain, plain)
        poll.poll()
