"""Asking a monitor from another process, by the address that it printed or the note that it left.

I/O half. Layer 7. Rows MO-24, MO-33.
"""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dispycos.arguments import port as checked_port
from dispycos.httpd import notes

WITHIN = 10.0  # seconds for an answer
_MAX_ANSWER = 32 * 1024 * 1024  # 10,000 rows of nodes are 8 MB


@dataclass(frozen=True, slots=True)
class Link:
    """Where a monitor is, and what it wants to see."""

    scheme: str
    host: str
    port: int
    token: str

    @property
    def place(self) -> str:
        """HOST:PORT, for people and for URLs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"the monitor at {self.place}"


def link(text: str) -> Link:
    """A printed address, read. ValueError if it is none."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        token = parts.fragment.removeprefix("token=")
        if port and parts.hostname and parts.fragment.startswith("token=") and token.isascii():
            return Link(parts.scheme, parts.hostname, port, token)
    except ValueError:
        pass  # no URL at all, or no number as port
    raise ValueError("give the address as the monitor printed it: http://HOST:PORT/#token=...")


def find(port: int | None = None) -> Link:
    """The monitor of this account on this machine; OSError says why there is not one, and what to do.

    port  of the one that is meant, if there are several. ValueError: there is no such port.
    """
    if port is not None:
        checked_port("the port of a monitor", port, least=1)
    known = notes.living()
    chosen = [note for note in known if port in (None, note.port)]
    if len(chosen) == 1:
        return link(chosen[0].link)
    if not known:
        there = "" if port is None else f", so none at port {port}"
        raise OSError(
            f"no monitor of this account runs on this machine{there}: make one by HTTPServer(client) in your "
            "program, or start the shared scheduler with --http; for one elsewhere give its printed address"
        )
    those = ", ".join(f"{note.port} ({note.name}, pid {note.pid})" for note in known)
    if port is None:
        raise OSError(f"{len(known)} monitors of this account run here: {those}; give the port of one")
    raise OSError(f"no monitor of this account listens at port {port} here, but there are: {those}")


def get(link: Link, path: str) -> Any:
    """What it answers there, as plain values. OSError says what went wrong."""
    kind = http.client.HTTPSConnection if link.scheme == "https" else http.client.HTTPConnection
    connection = kind(link.host, link.port, timeout=WITHIN)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {link.token}"})
        answer = connection.getresponse()
        body = answer.read(_MAX_ANSWER)
    except ssl.SSLCertVerificationError as exc:
        raise untrusted(link, exc) from None
    except (OSError, http.client.HTTPException) as exc:
        raise OSError(silence(link, exc)) from None
    finally:
        connection.close()
    if answer.status == 401:
        raise stranger(link)
    if answer.status != 200:
        raise OSError(f"{link} answered {answer.status} {answer.reason}")
    try:
        return json.loads(body)
    except ValueError:
        raise OSError(f"{link} answered no JSON: something else may listen there now") from None


def untrusted(link: Link, error: ssl.SSLCertVerificationError) -> OSError:
    """What to say of a certificate that does not hold."""
    return OSError(
        f"the certificate of {link} is not trusted: {error.verify_message}; name the file with it, or "
        "with its authority, in the environment: SSL_CERT_FILE"
    )


def silence(link: Link, error: Exception) -> str:
    """What to say where nobody answers."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"{link} does not answer: {said}; does its program still run?"


def stranger(link: Link) -> OSError:
    """What to say where the token is none of theirs."""
    return OSError(f"{link} does not know this token: another program may answer there now")
