"""The certificate that browsers are shown, renewed by new contents of its files.

I/O half. Layer 7. Rows HT-05, GN-03.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from typing import Any

from dispycos.net.certificate import Certificate
from dispycos.net.rotation import LOOK_EVERY, take_up
from dispycos.net.tls import FilesSeen, load_certificate

log = logging.getLogger("dispycos.monitor")


class WebCertificate:
    """TLS of one monitor. ValueError says what is wrong with the files."""

    def __init__(self, certfile: str, keyfile: str | None) -> None:
        self._certfile, self._keyfile = certfile, keyfile
        self.context = _context()
        self._load()
        if self.notice:
            log.warning("%s", self.notice)

    @classmethod
    def of(cls, certfile: Any, keyfile: Any) -> WebCertificate | None:
        """As the arguments of a monitor say; None: plain."""
        if certfile is None and keyfile is None:
            return None
        if certfile is None:
            raise ValueError("keyfile is given without certfile: a certificate is needed too")
        key = None if keyfile is None else _path("keyfile", keyfile)
        return cls(_path("certfile", certfile), key)

    def _load(self) -> None:
        self._seen = FilesSeen(self._certfile, self._keyfile)
        # In a context of its own first: one that is half loaded would show nothing that holds.
        load_certificate(_context(), self._certfile, self._keyfile)
        certificate = Certificate.read(self._certfile)
        load_certificate(self.context, self._certfile, self._keyfile)
        self._certificate = certificate
        problem = certificate.problem()
        self.notice = f"{problem}; browsers will warn of it" if problem else ""

    @property
    def changed(self) -> bool:
        """Whether the files are others than those that were read."""
        return self._seen.changed

    def reload(self) -> None:
        """Show from now on what the files hold. ValueError: nothing has changed."""
        self._load()

    async def keep_renewed(self) -> None:
        """Look at the files now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self.changed:
                take_up(self)

    def __str__(self) -> str:
        return f"the certificate of {self._certfile}, which holds until {self._certificate.ends:%Y-%m-%d}"


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _path(name: str, value: Any) -> str:
    try:
        return os.fsdecode(value)
    except TypeError:
        raise ValueError(f"{name} must be a path, not {value!r:.200}") from None
