"""The beginning of a far end: the stream that leads to the near end, and the proof of the key.

`launch.boot` has called the `main` of what runs here. Imports are what travels: the standard
library and pure modules only. I/O half. Layer 3. Rule N1.
"""

from __future__ import annotations

import os
from typing import Any, Final

from dispycos.config import Limits
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.proof import Meeting, prove
from dispycos.net.stream import Stream

_PROOF_TIME: Final = 30.0  # seconds for the near end to prove the key


def meet_near_end(reader: int, writer: int, options: dict[str, Any]) -> tuple[Stream, Meeting]:
    """The stream of these descriptors, once both ends have proved the key. Errors as of `prove`.

    options  loses its key, which nothing that runs here later is to find. "private" is false
             where others may stand between the ends.
    """

    def close() -> None:
        os.close(reader)
        if writer != reader:
            os.close(writer)

    stream = Stream(reader, writer, close, private=bool(options.get("private", True)))
    keyring = Keyring(ClusterKey(bytes.fromhex(options.pop("key"))))
    return stream, prove(stream, keyring, Limits(), dialer=True, timeout=_PROOF_TIME)
