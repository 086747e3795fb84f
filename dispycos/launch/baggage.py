"""Baggage: what a node needs on a machine that has only a Python.

Our package, and the packages that a node can't do without, as far as they are pure Python. Of
msgpack that is its slow half; where the fast one is installed, that is taken.

I/O half. Layer 3.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dispycos.launch.sources import ROOT

NEEDED: Final = ("msgpack", "cloudpickle", "tblib")

_WHEN: Final = (1980, 1, 1, 0, 0, 0)  # of every file, so that equal files make equal bytes


@functools.cache
def archive() -> bytes:
    """All of it, as a ZIP file. ModuleNotFoundError if a package is not installed here."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for root in (ROOT, *map(_folder, NEEDED)):
            for path in _sources(root):
                packed.writestr(
                    zipfile.ZipInfo(path.relative_to(root.parent).as_posix(), _WHEN),
                    path.read_bytes(),
                    zipfile.ZIP_DEFLATED,
                )
    return file.getvalue()


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"{package} is not installed here, and a node needs it: pip install {package}", name=package
        )
    return Path(spec.origin).parent


def _sources(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*.py")) if path.is_file())
