"""Specifications of connections: one text for all that a client needs. Row EC-12."""

from __future__ import annotations

import shlex
from typing import Any, Final

from dispycos.easycluster.keys import decode_key, read_key_file
from dispycos.easycluster.ways import PORT
from dispycos.launch.target import Target

_TRUTH: Final = {
    **dict.fromkeys(("1", "yes", "true", "on"), True),
    **dict.fromkeys(("0", "no", "false", "off"), False),
}


def parse_connection_spec(spec: str, default_key: bytes | None = None) -> dict[str, Any]:
    """The keyword arguments of `Client` in `[user@]host[:port][:option=value]..`.

    kf, keyfile  file with the key     key     the key itself, in hex
    compress     yes or no             ssh     yes or no; without a key a `user` means ssh too
    user         as whom, by ssh       rpython the Python there, by ssh
    extra        more arguments of ssh, as a shell splits them

    default_key  where the text names none.
    ValueError for what is no such text; OSError for the key file.
    """
    target = Target.parse_connection(spec)
    options = target.options
    if sum(name in options for name in ("kf", "keyfile", "key")) > 1:
        raise ValueError(f"{spec!r} names the key more than once")
    if target.user and "user" in options:
        raise ValueError(f"{spec!r} names two users")
    user = target.user or options.get("user") or None
    ssh = _truth("ssh", options["ssh"]) if "ssh" in options else user is not None
    if not ssh and (user or "rpython" in options or "extra" in options):
        raise ValueError(f"{spec!r}: user, rpython and extra are for ssh: add ssh=yes")
    key = default_key
    if "key" in options:
        key = decode_key(options["key"])
    elif path := options.get("kf") or options.get("keyfile"):
        key = read_key_file(path)
    found: dict[str, Any] = {"key": key, "host": target.host}
    if not ssh:
        found["port"] = target.port or PORT
    else:
        found["ssh"] = True
        if target.port:
            found["port"] = target.port
        if user:
            found["user"] = user
        if "rpython" in options:
            found["rpython"] = options["rpython"]
        if "extra" in options:
            found["extra_args"] = tuple(shlex.split(options["extra"]))
    if "compress" in options:
        found["compress"] = _truth("compress", options["compress"])
    return found


def _truth(name: str, text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ValueError(f"{name}={text[:40]!r} is neither yes nor no")
    return _TRUTH[text.lower()]
