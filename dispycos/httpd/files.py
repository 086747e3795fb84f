"""The page's files: a table of names and bytes, read once when the monitor starts.

A request names an entry of the table or nothing; no path of a request ever reaches the disk.

I/O half. Layer 7. Rows HT-04, SE-43, SE-44.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

MAX_FILES = 200
MAX_BYTES = 8 * 1024 * 1024  # of all together
INDEX = ("index.html", "monitor.html")  # the second is the founding document's name

# What a page may consist of; anything else in the folder is left out.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
}

PACKAGED = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True)
class Page:
    """One file as it is served."""

    data: bytes
    type: str
    etag: str


def table(root: str | os.PathLike[str] | None = None) -> dict[str, Page]:
    """Every file of the page by its path in requests; "/" is the index.

    root  None: the package's own. ValueError says what is wrong with it.
    """
    folder = PACKAGED if root is None else Path(root)
    if not folder.is_dir():
        raise ValueError(f"DocumentRoot {str(folder)!r} is no directory: it must hold {INDEX[0]}")
    found: dict[str, Page] = {}
    total = 0
    for path in _regular(folder):
        kind = TYPES.get(path.suffix)
        if kind is None:
            continue
        data = path.read_bytes()
        total += len(data)
        if total > MAX_BYTES or len(found) >= MAX_FILES:
            raise ValueError(
                f"DocumentRoot {str(folder)!r} holds more than {MAX_FILES} files or {MAX_BYTES} bytes"
            )
        name = "/" + path.relative_to(folder).as_posix()
        found[name] = Page(data, kind, f'"{hashlib.sha256(data).hexdigest()[:32]}"')
    for name in INDEX:
        if f"/{name}" in found:
            found["/"] = found[f"/{name}"]
            return found
    raise ValueError(f"DocumentRoot {str(folder)!r} holds no {INDEX[0]}")


def _regular(folder: Path) -> list[Path]:
    """Regular files below it; links are not followed, so nothing from outside gets in."""
    found = []
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                found.append(path)
    return found
