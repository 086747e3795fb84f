"""Processes under TLS: they meet only under TLS, and nobody in the middle gets through."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dispycos.events import DialFailed, PeerUp
from dispycos.messages import Deliver
from dispycos.model import Location, Payload
from dispycos.net import tls
from dispycos.net.certificate import Certificate, InvalidCertificate, validity
from dispycos.net.tls import CertificateFiles
from tests.certificates import Authority, Files
from tests.helpers import wait_until
from tests.io.hostile import K, Party, cluster, meet


def speaks(*files: Path, cafile: Path | None = None) -> tls.Tls:
    certfile, keyfile, authorities = (*files, None, None)[:3]
    given = CertificateFiles.given(certfile, keyfile, authorities or cafile)
    assert given is not None
    return tls.Tls(given)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Files:
    return authority.issue("ours")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A certificate of the same name, by somebody else."""
    return Authority(tmp_path_factory.mktemp("foreign")).issue("foreign")


@pytest.fixture
def parties() -> Iterator[Callable[..., Party]]:
    with cluster(K) as make:
        yield make


def reason(party: Party) -> str:
    wait_until(lambda: bool(party.saw(DialFailed)))
    return party.saw(DialFailed)[0].reason


def refused(dialer: Party, listener: Party) -> str:
    """The dialer's reason why they don't come together."""
    dialer.dial(listener.location)
    text = reason(dialer)
    assert not dialer.saw(PeerUp) and not listener.saw(PeerUp)
    return text


@pytest.mark.row("GN-03", "SE-21")
def test_two_processes_with_any_certificates_meet_under_tls(parties, ours, foreign):
    one, other = parties("one", tls=speaks(ours.cert, ours.key)), parties("other", tls=speaks(foreign.both))
    meet(one, other)
    stream = one.endpoint.peer(other.endpoint.incarnation).connection._socket
    assert stream.family == socket.AF_INET
    assert stream._stream.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.row("GN-03")
def test_messages_of_all_sizes_come_through_in_order_both_ways(parties, ours):
    under = speaks(ours.both)
    one, other = parties("one", tls=under), parties("other", tls=under)
    meet(one, other)
    sizes = [0, 1, 100, 16_384, 40_000, 1_000_000, 5_000_000, 3] * 3
    data = [os.urandom(size) for size in sizes]

    def say(by: Party, to: Party) -> None:
        for number, part in enumerate(data):
            # Small ones in the head, large ones as buffers of their own.
            payload = Payload(part, ()) if len(part) < 1000 else Payload(b"", (part,))
            by.endpoint.say(to.endpoint.incarnation, Deliver(number, payload))

    threads = [threading.Thread(target=say, args=pair) for pair in ((one, other), (other, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for party in (one, other):
        wait_until(lambda party=party: len(party.heard) == len(data), 30)
        got = [bytes(m.value.data) + b"".join(map(bytes, m.value.buffers)) for m in party.heard]
        assert got == data


@pytest.mark.row("GN-03", "SE-77")
def test_plain_and_tls_don_t_meet_and_both_sides_say_why(parties, ours, caplog):
    caplog.set_level(logging.WARNING)
    plain, under_tls = parties("plain"), parties("tls", tls=speaks(ours.both))
    assert "speaks TLS and this process does not" in refused(plain, under_tls)
    wait_until(lambda: any("refused a connection" in text and "TLS" in text for text in caplog.messages))
    again = parties("again", tls=speaks(ours.both))
    assert "does it speak TLS?" in refused(again, plain)


@pytest.mark.row("SE-21")
def test_with_authorities_both_certificates_are_verified(parties, ours, foreign, authority):
    verified = speaks(ours.cert, ours.key, authority.file)
    one, other = parties("one", tls=verified), parties("other", tls=verified)
    meet(one, other)
    # As a dialer and as a listener.
    stranger = parties("stranger", tls=speaks(foreign.both))
    fresh = parties("fresh", tls=verified)
    assert "not trusted" in refused(fresh, stranger)
    assert "unknown ca" in refused(
        parties("last", tls=speaks(foreign.both)), parties("nobody's", tls=verified)
    )


@pytest.mark.row("SE-21")
def test_with_authorities_the_certificate_must_name_the_address(parties, authority, ours):
    elsewhere = authority.issue("elsewhere", "192.0.2.7")
    listener = parties("listener", tls=speaks(elsewhere.both, cafile=authority.file))
    dialer = parties("dialer", tls=speaks(ours.both, cafile=authority.file))
    assert "not trusted: IP address mismatch" in refused(dialer, listener)


@pytest.mark.row("SE-77", "SE-21")
def test_a_man_in_the_middle_with_another_certificate_of_the_same_name_fails(parties, ours, foreign):
    """Without authorities any certificate opens TLS; the proof of the key covers which one it was."""
    listener = parties("listener", tls=speaks(ours.both))
    dialer = parties("dialer", tls=speaks(ours.both))
    with Middle(listener.location, foreign) as middle:
        dialer.dial(middle.location)
        assert "authentication failed" in reason(dialer)
        assert middle.passed > 0
    assert not dialer.saw(PeerUp) and not listener.saw(PeerUp)


@pytest.mark.row("SE-77")
def test_tls_1_1_is_refused(parties, ours):
    listener = parties("listener", tls=speaks(ours.both))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((listener.location.addr, listener.location.port)) as sock,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(sock)


@pytest.mark.row("SE-15")
def test_who_connects_and_says_nothing_is_let_go_in_time(parties, ours):
    listener = parties("listener", tls=speaks(ours.both))
    place = (listener.location.addr, listener.location.port)
    with socket.create_connection(place) as silent:
        silent.settimeout(5)
        assert silent.recv(1) == b""
    wait_until(listener.at_rest)


@pytest.mark.row("GN-03")
@pytest.mark.parametrize("what", ["missing", "no certificate", "another key", "encrypted", "no authority"])
def test_a_file_that_is_no_good_is_named(what, ours, foreign, tmp_path):
    missing, nothing = tmp_path / "missing.pem", tmp_path / "nothing.pem"
    nothing.write_text("nothing here\n")
    made = {
        "missing": ((missing,), "missing.pem"),
        "no certificate": ((nothing,), "nothing.pem"),
        "another key": ((ours.cert, foreign.key), "ours.crt and "),
        "encrypted": ((ours.cert, _encrypted(tmp_path)), "encrypted.key"),
        "no authority": ((ours.both, None, nothing), "nothing.pem"),
    }
    arguments, named = made[what]
    with pytest.raises(InvalidCertificate) as caught:
        speaks(*arguments)
    assert named in str(caught.value), caught.value
    assert "_ssl" not in str(caught.value) and "[" not in str(caught.value)


@pytest.mark.row("GN-03", "SE-21")
def test_an_expired_certificate_is_told_with_its_date_and_refused_where_authorities_judge(
    parties, authority, caplog
):
    expired = authority.issue("expired", days=-2)
    date = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}"
    with pytest.raises(InvalidCertificate, match=f"expired.pem expired on {date}.*: renew it"):
        speaks(expired.both, cafile=authority.file)
    one, other = (parties(name, tls=speaks(expired.both)) for name in ("one", "other"))
    assert f"expired.pem expired on {date}" in caplog.text
    meet(one, other)


@pytest.mark.row("GN-03")
def test_a_certificate_says_when_it_holds(authority):
    certificate = Certificate.read(str(authority.issue("dated", days=30).cert))
    assert timedelta(days=29) < certificate.ends - datetime.now(UTC) < timedelta(days=31)
    assert certificate.ends - certificate.begins == timedelta(days=365)
    assert certificate.problem() == ""
    assert "holds only from" in certificate.problem(certificate.begins - timedelta(seconds=1))
    assert "expired on" in certificate.problem(certificate.ends + timedelta(seconds=1))
    beyond = Certificate.read(str(authority.issue("beyond", days=365 * 60).cert))  # of the other kind of time
    assert beyond.ends - datetime.now(UTC) > timedelta(days=365 * 59)


@pytest.mark.row("GN-03")
def test_no_certificate_that_is_cut_off_or_flipped_escapes_the_reader(authority):
    with open(authority.issue("hostile").cert, encoding="ascii") as file:
        der = ssl.PEM_cert_to_DER_cert(file.read())
    for length in range(len(der)):
        with contextlib.suppress(ValueError, IndexError):
            validity(der[:length])
    for at in range(200):
        with contextlib.suppress(ValueError, IndexError):
            validity(der[:at] + bytes([der[at] ^ 0xFF]) + der[at + 1 :])


@pytest.mark.row("GN-03")
def test_renewed_files_are_shown_to_who_connects_next_and_bad_ones_change_nothing(parties, authority):
    files = authority.issue("renewed", days=1)
    shown = speaks(files.both, cafile=authority.file)
    one, other = parties("one", tls=shown), parties("other", tls=speaks(authority.issue("peer").both))
    before = str(shown)
    assert not shown.changed
    meet(one, other)
    authority.issue("renewed", days=90)
    assert shown.changed
    shown.reload()
    assert not shown.changed and str(shown) != before
    third = parties("third", tls=speaks(authority.issue("third").both, cafile=authority.file))
    meet(third, one)
    renewed = str(shown)
    files.both.write_text("nothing here")
    with pytest.raises(InvalidCertificate, match=r"renewed\.pem"):
        shown.reload()
    assert not shown.changed and str(shown) == renewed
    meet(parties("fourth", tls=speaks(authority.issue("fourth").both, cafile=authority.file)), one)


def _encrypted(folder: Path) -> Path:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
    )

    path = folder / "encrypted.key"
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass phrase"))
    )
    return path


class Middle:
    """Somebody who passes on what two processes say, and shows each of them TLS."""

    def __init__(self, to: Location, certificate: Files) -> None:
        self._to = to
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.both)
        self.passed = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Middle:
        self._thread.start()
        start = asyncio.start_server(self._passes, "127.0.0.1", 0, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(5)
        self.location = Location(*self._server.sockets[0].getsockname()[:2])
        return self

    async def _passes(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        there, back = await asyncio.open_connection(self._to.addr, self._to.port, ssl=trusting)
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.passed += len(data)
                writer.write(data)
        except OSError:
            pass
        writer.close()

    def __exit__(self, *exc: object) -> None:
        async def stop() -> None:
            self._server.close()
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
