"""Keys of masters and servers, and where a script gets them from. Rows EC-03, EC-11."""

from __future__ import annotations

import argparse
import os
import secrets
import warnings
from typing import Any

from dispycos import keyfile
from dispycos.net.keys import KEY_BYTES, ClusterKey, InvalidKey


def generate_key() -> bytes:
    """A new key: 32 random bytes."""
    return secrets.token_bytes(KEY_BYTES)


def decode_key(s: str) -> bytes:
    """The key in a text of 64 hex digits. ValueError."""
    try:
        key = bytes.fromhex(s.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        # The text may be a key with a slip in it, so it is not shown.
        raise InvalidKey(
            f"a key is written as {2 * KEY_BYTES} hex digits; make one with `easycluster -g FILE`"
        )
    return key


def read_key_file(path: str | os.PathLike[str]) -> bytes:
    """The key in a file, its first one if it has several.

    OSError if it can't be read; ValueError for what is no key file or can be read by everybody.
    """
    return keyfile.load(secret_file=path).own.reveal()


def write_key_file(path: str | os.PathLike[str], key: bytes, overwrite: bool = False) -> None:
    """Write a key to a file that only its owner can read.

    FileExistsError unless `overwrite`; FileNotFoundError without its folder; ValueError for what is no key.
    """
    keyfile.create(path, replace=overwrite, key=ClusterKey(key))


def add_key_options(parser: Any, key: str = "-K", keyfile: str = "-k") -> None:
    """Give an optparse or argparse parser options for a key itself and for a key file."""
    add = parser.add_argument if isinstance(parser, argparse.ArgumentParser) else parser.add_option
    add(key, "--key", dest="key", metavar="HEX", default=None,
        help="the key itself; other users of this machine can see it: prefer a key file")  # fmt: skip
    add(keyfile, "--keyfile", dest="keyfile", metavar="FILE", default=None, help="file with the key")


def key_from_options(opts: Any) -> bytes | None:
    """The key that parsed options name; None if they name none. ValueError, OSError."""
    key, path = getattr(opts, "key", None), getattr(opts, "keyfile", None)
    if key and path:
        raise InvalidKey("give a key or a key file, not both")
    if key:
        warnings.warn(
            "a key on the command line can be seen by other users of this machine; use a key file",
            UserWarning,
            stacklevel=2,
        )
        return decode_key(key)
    return read_key_file(path) if path else None
