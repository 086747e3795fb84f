"""A certificate of ours: which one it is, and from when until when it holds.

The standard library tells that only of the other side's certificates, and only of those that were
verified; so the two dates are read here, from the first fields of X.509's DER.

I/O half: it reads the file. Layer 3. Rows GN-03, SE-21.
"""

from __future__ import annotations

import hashlib
import ssl
import time
from datetime import UTC, datetime
from typing import Self

from dispycos.errors import LocalProtocolError
from dispycos.records import record

_SEQUENCE, _INTEGER, _VERSION, _UTC_TIME, _TIME = 0x30, 0x02, 0xA0, 0x17, 0x18  # tags of DER


class InvalidCertificate(LocalProtocolError, ValueError):
    """A certificate, key or authority that can't be used; the text names the file."""


@record
class Certificate:
    """The first one in a PEM file: that which a process shows."""

    path: str
    fingerprint: bytes  # SHA-256
    begins: datetime
    ends: datetime

    @classmethod
    def read(cls, path: str) -> Self:
        """InvalidCertificate if there is none in the file; OSError if that can't be read."""
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read()
        begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
        try:
            der = ssl.PEM_cert_to_DER_cert(begin + text.partition(begin)[2].partition(end)[0] + end)
            begins, ends = validity(der)
        except (ValueError, IndexError):
            raise InvalidCertificate(f"{path}: no certificate could be read there") from None
        return cls(path, fingerprint(der), begins, ends)

    def problem(self, now: datetime | None = None) -> str:
        """Why it does not hold now, with the date; "" if it does."""
        now = now or datetime.fromtimestamp(time.time(), UTC)
        if now > self.ends:
            return f"the certificate in {self.path} expired on {self.ends:%Y-%m-%d %H:%M} UTC: renew it"
        if now < self.begins:
            return f"the certificate in {self.path} holds only from {self.begins:%Y-%m-%d %H:%M} UTC on"
        return ""


def fingerprint(der: bytes) -> bytes:
    """What tells one certificate from another."""
    return hashlib.sha256(der).digest()


def validity(der: bytes) -> tuple[datetime, datetime]:
    """From when until when it holds. ValueError or IndexError if it is no certificate."""
    certificate, _ = _element(der, _SEQUENCE)
    rest, _ = _element(certificate, _SEQUENCE)
    if rest[0] == _VERSION:
        _, rest = _element(rest, _VERSION)
    _, rest = _element(rest, _INTEGER)  # serial number
    _, rest = _element(rest, _SEQUENCE)  # algorithm of the signature
    _, rest = _element(rest, _SEQUENCE)  # who issued it
    times, _ = _element(rest, _SEQUENCE)
    begins, times = _time(times)
    ends, _ = _time(times)
    return begins, ends


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The contents of the first element, which must have this tag, and what follows it."""
    if data[0] != tag:
        raise ValueError(f"tag {data[0]} where {tag} must stand")
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    if start + length > len(data):
        raise ValueError("it is cut off")
    return data[start : start + length], data[start + length :]


def _time(data: bytes) -> tuple[datetime, bytes]:
    short = data[0] == _UTC_TIME
    text, rest = _element(data, _UTC_TIME if short else _TIME)
    digits = text.decode("ascii")
    if short:
        # RFC 5280: two digits of a year from 1950 to 2049.
        digits = ("19" if digits[0] >= "5" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC), rest
