"""Files that other processes send to this program, and the folder they go to.

I/O half. Layer 5. Rows KE-31; SE-47.
"""

from __future__ import annotations

import logging
import os
import tempfile

from dispycos.config import Limits
from dispycos.net.endpoint import Endpoint
from dispycos.net.files import FileReceiver
from dispycos.net.filestore import FileStore

log = logging.getLogger("dispycos")


class Received:
    """The receiving side of this program: takes files from anybody who has proved the key.

    path  none: a folder of this account's own. It is made when the first file comes.
    """

    def __init__(self, endpoint: Endpoint, path: str, max_file_size: int, limits: Limits) -> None:
        self.path = path or default_path()
        self._max_file_size = max_file_size
        self._limits = limits
        self._store: FileStore | None = None
        self._receiver = FileReceiver(endpoint, lambda peer: self._folder())

    def _folder(self) -> FileStore | None:
        if self._store is None:
            try:
                os.makedirs(self.path, 0o700, exist_ok=True)
                if os.lstat(self.path).st_uid != os.geteuid():
                    raise PermissionError(f"{self.path} belongs to another account")
                self._store = FileStore(self.path, self._limits, max_file_bytes=self._max_file_size)
            except OSError as exc:
                log.warning("no files are taken: %s", exc)
        return self._store

    async def move(self, path: str) -> None:
        """Store what comes from now on in another folder; what is under way is given up."""
        store, self._store = self._store, None
        self.path = path
        if store is not None:
            await self._receiver.drop(store)
            store.close()

    async def close(self) -> None:
        """Take nothing more; what is under way is given up."""
        await self._receiver.close()
        if self._store is not None:
            self._store.close()


def default_path() -> str:
    """Where files go if the program does not say where."""
    return os.path.join(tempfile.gettempdir(), f"dispycos-{os.geteuid()}-files")
