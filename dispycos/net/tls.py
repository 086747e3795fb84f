"""TLS: a stream that nobody on the way can read, under the same handshake as every other.

A process that has a certificate speaks TLS on all its TCP streams, as listener and as dialer,
and nothing else: there is no way back to plain (SE-21). Without authorities (`cafile`) any
certificate will do, for the proof of the cluster's key covers the listener's: a man in the
middle has another one, and fails. With them the chain is verified in both roles, and the
dialer's side also that the certificate names the address it dialled.

I/O half. Layer 3. Rows GN-03, SE-21.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from dispycos.model import Buffer, Location
from dispycos.net.certificate import Certificate, InvalidCertificate, fingerprint
from dispycos.records import record

_RECORD: Final = 16 * 1024  # bytes of one TLS record at most: parts below are sent as one
_ALERT: Final = bytes.fromhex("15 0301 0002 02 46")  # a record of TLS: fatal, protocol_version
_WANTS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


_Path = str | os.PathLike[str] | None


class TlsFailed(ConnectionError):
    """The two ends did not come to speak TLS; the text says why."""


@record
class CertificateFiles:
    """What a process shows, and whom it believes: absolute paths of PEM files."""

    certfile: str  # our certificate, those between it and the authority, and perhaps the key
    keyfile: str = ""  # the key; "": it is in certfile
    cafile: str = ""  # the authorities; "": the proof of the cluster's key is enough

    @classmethod
    def given(cls, certfile: _Path, keyfile: _Path, cafile: _Path) -> CertificateFiles | None:
        """As a user names them; None: no TLS. ValueError if a key or authorities stand alone."""
        if not certfile:
            for name, path in (("keyfile", keyfile), ("cafile", cafile)):
                if path:
                    raise ValueError(f"{name} is of no use without certfile")
            return None
        return cls(*(os.path.abspath(path) if path else "" for path in (certfile, keyfile, cafile)))


class Tls:
    """How this process speaks TLS. InvalidCertificate names the file and what is wrong with it.

    A certificate that has expired is refused where authorities are named, for then nobody would
    accept it. Without them the proof of the key is what counts, and `notice` says so.
    """

    def __init__(self, files: CertificateFiles) -> None:
        self.files = files
        self.verifies = bool(files.cafile)
        self._load()

    def _load(self) -> None:
        """Take up what the files hold now, all of it or nothing."""
        files = self.files
        certfile, keyfile, cafile = files.certfile, files.keyfile or None, files.cafile
        self._seen = FilesSeen(certfile, keyfile, cafile)
        for path in filter(None, (certfile, keyfile, cafile)):
            _readable(path)
        listens = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        dials = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        dials.check_hostname = self.verifies
        dials.verify_mode = listens.verify_mode = ssl.CERT_REQUIRED if cafile else ssl.CERT_NONE
        for context in (listens, dials):
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            load_certificate(context, certfile, keyfile)
            if cafile:
                try:
                    context.load_verify_locations(cafile)
                except (ssl.SSLError, OSError) as exc:
                    raise InvalidCertificate(
                        f"{cafile}: no authorities could be read: {_words(exc)}"
                    ) from None
        certificate = Certificate.read(certfile)
        self.notice = certificate.problem()  # what is wrong with it, though it can be used
        if self.notice and cafile:
            raise InvalidCertificate(self.notice)
        self._listens, self._dials, self._certificate = listens, dials, certificate

    # A certificate is renewed by new contents of its files.

    @property
    def changed(self) -> bool:
        """Whether the files are others than those that were read."""
        return self._seen.changed

    def reload(self) -> None:
        """Show from now on what the files hold. InvalidCertificate: nothing has changed."""
        self._load()

    def __str__(self) -> str:
        return (
            f"the certificate of {self.files.certfile}, which holds until {self._certificate.ends:%Y-%m-%d}"
        )

    async def accept(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, timeout: float) -> TlsSocket:
        """The listener's part of TLS's own handshake. TlsFailed and TimeoutError say what failed."""
        stream = self._listens.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        ours = self._certificate.fingerprint  # of this handshake, whatever is loaded meanwhile
        await _handshake(loop, stream, timeout, last_word=_ALERT)
        return TlsSocket(stream, ours)

    async def connect(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, location: Location, timeout: float
    ) -> TlsSocket:
        """The dialer's part, at that location. TlsFailed and TimeoutError say what failed."""
        stream = self._dials.wrap_socket(sock, do_handshake_on_connect=False, server_hostname=location.addr)
        await _handshake(loop, stream, timeout)
        certificate = stream.getpeercert(binary_form=True)
        assert certificate is not None, "a TLS listener without a certificate"
        return TlsSocket(stream, fingerprint(certificate))


class FilesSeen:
    """Files as they stand now, to tell later whether they are others."""

    def __init__(self, *paths: str | None) -> None:
        self._paths = tuple(path for path in paths if path)
        self._seen = self._look()

    @property
    def changed(self) -> bool:
        return self._look() != self._seen

    def _look(self) -> list[tuple[int, int, int] | None]:
        found: list[tuple[int, int, int] | None] = []
        for path in self._paths:
            try:
                status = os.stat(path)
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
            except OSError:
                found.append(None)
        return found


def load_certificate(context: ssl.SSLContext, certfile: str, keyfile: str | None) -> None:
    """Have a context show this certificate. InvalidCertificate says why it can't."""
    try:
        # A key that needs a pass phrase would have the process wait at a terminal.
        context.load_cert_chain(certfile, keyfile, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as exc:
        names = " and ".join(filter(None, (certfile, keyfile)))
        raise InvalidCertificate(
            f"{names}: no certificate with its key could be read: {_words(exc)}"
        ) from None


class TlsSocket:
    """A connected stream under TLS, as far as a `transport.Connection` needs a socket.

    One thread may read while another one writes: OpenSSL allows that to none of them, so there
    is a lock, which nobody holds while he waits.
    """

    def __init__(self, stream: ssl.SSLSocket, fingerprint: bytes) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.fingerprint = fingerprint  # SHA-256 of the listener's certificate
        self.refused = ""  # what the peer found wrong with our certificate, once it says so
        self.family = stream.family
        self.fileno = stream.fileno
        self.getsockname = stream.getsockname
        self.getpeername = stream.getpeername
        self.setsockopt = stream.setsockopt
        self.setblocking = stream.setblocking

    def recv_into(self, buffer: memoryview) -> int:
        """As a socket's; BlockingIOError where TLS has nothing whole."""
        with self._lock:
            try:
                return self._stream.recv_into(buffer)
            except _WANTS:
                raise BlockingIOError from None
            except ssl.SSLError as exc:
                # Since TLS 1.3 the dialer's handshake has ended when its certificate is judged.
                if exc.reason and "ALERT" in exc.reason:
                    self.refused = f"the peer does not accept our certificate: {_words(exc)}"
                raise TlsFailed(_words(exc)) from None

    def sendmsg(self, parts: Sequence[Buffer]) -> int:
        """As a socket's: the bytes that were taken, of the first part or of several small ones."""
        with self._lock:
            try:
                return self._stream.send(_record(parts))
            except _WANTS:
                raise BlockingIOError from None
            except ssl.SSLError as exc:
                raise TlsFailed(_words(exc)) from None

    def pending(self) -> int:
        """Bytes that have come and that no poll will tell of."""
        with self._lock:
            return self._stream.pending()

    def close(self) -> None:
        """Close the socket; what the peer misses then its session notices."""
        self._stream.close()


def _record(parts: Sequence[Buffer]) -> Buffer:
    # After a write that was not taken OpenSSL wants the same bytes again, and it gets them:
    # parts are only ever left out from the front.
    first = parts[0]
    if len(parts) == 1 or memoryview(first).nbytes >= _RECORD:
        return first
    whole = bytearray()
    for part in parts:
        if len(whole) + memoryview(part).nbytes > _RECORD:
            break
        whole += part
    return whole


async def _handshake(
    loop: asyncio.AbstractEventLoop, stream: ssl.SSLSocket, timeout: float, last_word: bytes = b""
) -> None:
    """Shake hands; whoever does not even speak TLS hears the last word."""
    stream.setblocking(False)
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    stream.do_handshake()
                    return
                except ssl.SSLWantReadError:
                    await _ready(loop.add_reader, loop.remove_reader, stream)
                except ssl.SSLWantWriteError:
                    await _ready(loop.add_writer, loop.remove_writer, stream)
    except ConnectionError as exc:
        stream.close()
        raise TlsFailed(f"TLS failed: {_words(exc)}") from None
    except ssl.SSLError as exc:
        if exc.reason in _PLAIN and last_word:
            with contextlib.suppress(OSError):
                # Past TLS, which has given up. What is left unread would have the close reset the
                # connection, and the word be lost.
                socket.socket.recv(stream, _RECORD)
                socket.socket.send(stream, last_word)
        elif isinstance(exc, ssl.SSLCertVerificationError):
            with contextlib.suppress(OSError):
                # The dialer may have spoken on already; left unread, that would have the close
                # reset the connection, and the alert that says why be lost.
                socket.socket.recv(stream, _RECORD)
        stream.close()
        raise TlsFailed(f"TLS failed: {_words(exc)}") from None
    except BaseException:
        stream.close()
        raise


async def _ready(add: Callable[..., Any], remove: Callable[..., Any], stream: ssl.SSLSocket) -> None:
    ready = asyncio.get_running_loop().create_future()
    descriptor = stream.fileno()

    def come() -> None:
        if not ready.done():
            ready.set_result(None)

    add(descriptor, come)
    try:
        await ready
    finally:
        remove(descriptor)


def _words(exc: BaseException) -> str:
    """What OpenSSL found, without the place in its source."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not trusted: {exc.verify_message}"
    if isinstance(exc, ssl.SSLEOFError | ConnectionError):
        return "the peer ended the connection; does it speak TLS?"
    if isinstance(exc, ssl.SSLError) and exc.reason:
        reason = exc.reason.replace("_", " ").lower()
        plain = "; does it speak TLS?" if exc.reason in _PLAIN else ""
        return f"{reason}{plain}"
    text = getattr(exc, "strerror", None) or str(exc)
    if not isinstance(exc, ssl.SSLError):
        return text
    return "none is there in PEM form" if "PEM lib" in text else _SOURCE.sub("", text)


_SOURCE = re.compile(r"^\[[^]]*\] | ?\(_ssl\.c:\d+\)$")
# What OpenSSL says of a peer that speaks something else.
_PLAIN = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})


def _readable(path: str) -> None:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as exc:
        raise InvalidCertificate(f"{path} can't be read: {exc.strerror}") from None


def _no_password() -> str:
    raise ValueError("its key needs a pass phrase; take one without")
