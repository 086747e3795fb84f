"""Which key a connection is proved by: the account's own file, unless a program names another."""

from __future__ import annotations

import os
from pathlib import Path

from dispycos import keyfile
from dispycos.net.keys import ClusterKey, Keyring

Key = str | bytes | Path | Keyring | None


def keyring_of(key: Key, *, loopback: bool = False) -> Keyring:
    """The keys that `key=` names.

    None: the account's key file, which is made if there is none; a text: a secret, or a Path: a
    key file; 32 bytes: the key itself.
    loopback  nobody but this machine is spoken with: a short secret will do.
    InvalidKey, FileNotFoundError or another OSError say what is wrong and how to repair it.
    """
    match key:
        case Keyring():
            return key
        case bytes():
            return Keyring(ClusterKey(key))
        case os.PathLike():
            return keyfile.load(secret_file=key)
        case str() | None:
            return keyfile.load(key or "", loopback_only=loopback)
        case _:
            raise TypeError(
                f"key must be a secret, a Path of a key file or 32 bytes, not {type(key).__name__}"
            )
