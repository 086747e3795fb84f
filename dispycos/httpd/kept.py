"""What a monitor keeps for the next run of its program: the name of its cluster, tokens, sessions.

A shared scheduler that is killed and started again is the same cluster to everyone: so its links go
on to open it, and browsers that watched it go on without a login. The file stands beside the
scheduler's journal, readable by its account only, and goes with it.

I/O half. Layer 7. Row MO-62.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import tempfile
from dataclasses import asdict, dataclass, field

log = logging.getLogger("dispycos.monitor")

_MAX_FILE = 1024 * 1024  # bytes


@dataclass(slots=True)
class Kept:
    """The contents of the file.

    path  where it is; read if it is there, made with the first `save`.
    """

    path: str
    cluster: str = field(default_factory=lambda: secrets.token_hex(8))
    tokens: list[str] = field(default_factory=list)  # of operators, of viewers; none: they are made
    sessions: list[list[str]] = field(default_factory=list)  # key and role of each
    again: bool = False  # there was a run before this one

    @classmethod
    def at(cls, path: str) -> Kept:
        """What the run before left, or a new beginning."""
        try:
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                found = json.loads(file.read(_MAX_FILE))
            cluster, tokens, sessions = found["cluster"], found["tokens"], found["sessions"]
            for pair in ([cluster, ""], tokens, *sessions):
                first, second = pair
                if not (isinstance(first, str) and isinstance(second, str)):
                    raise ValueError("it has other contents than a monitor writes")
            return cls(path, cluster, tokens, sessions, again=True)
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError, LookupError, TypeError) as exc:
            log.warning("%s can't be read, so that browsers have to log in anew: %s", path, exc)
            return cls(path)

    def save(self) -> None:
        """Write it, whole or not at all; what fails is logged."""
        said = {name: value for name, value in asdict(self).items() if name not in ("path", "again")}
        folder, name = os.path.split(self.path)
        try:
            # mkstemp makes it for its owner only.
            descriptor, temporary = tempfile.mkstemp(prefix=f".{name}-", dir=folder)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(said, file)
            os.replace(temporary, self.path)
        except OSError as exc:
            log.warning("after a restart browsers have to log in anew: %s", exc)
