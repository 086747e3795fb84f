"""Certificates for tests: made by authorities that live as long as the run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Files:
    """One certificate with its key, in files."""

    cert: Path
    key: Path
    both: Path


class Authority:
    """Somebody who makes certificates, and the file that says who that is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, name: str, host: str = "127.0.0.1", *, days: float | None = None) -> Files:
        """A certificate for that address; name: of its files; days: that it holds from now on."""
        begins = ends = None
        if days is not None:
            ends = datetime.now(UTC) + timedelta(days=days)
            begins = ends - timedelta(days=365)
        cert = self._authority.issue_cert(host, not_before=begins, not_after=ends)
        files = Files(*(self._folder / f"{name}.{end}" for end in ("crt", "key", "pem")))
        cert.cert_chain_pems[0].write_to_path(files.cert)
        cert.private_key_pem.write_to_path(files.key)
        cert.private_key_and_cert_chain_pem.write_to_path(files.both)
        return files
