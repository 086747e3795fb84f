"""Saved options of a node: a TOML file with the names and values of its command line.

Options that belong to one node (addresses, name, keys) are never written, for a file is for
many nodes; who writes one by hand may give addresses and a name there. A file is turned
into arguments that stand before those of the command line, so both are checked by the same
parser and the command line wins.

I/O half. Layer 8. Rows DN-29, DN-30; rule SE-50.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Collection, Mapping
from typing import Any

from dispycos.wording import nearest

MAX_BYTES = 1 << 20  # of a file; all options together take less than a thousandth of it

# What may stand in a file, and whether it may be repeated there.
OPTIONS = {
    "cpus": False,
    "udp_port": False,
    "ipv4_udp_multicast": False,
    "discover_peers": False,
    "dest_path": False,
    "certfile": False,
    "keyfile": False,
    "cafile": False,
    "max_file_size": False,
    "min_pulse_interval": False,
    "max_pulse_interval": False,
    "zombie_period": False,
    "debug": False,
    "tcp_ports": True,
    "serve": False,
    "service_start": False,
    "service_stop": False,
    "service_end": False,
    "daemon": False,
    "peer": True,
    "peer_file": False,
    "scheduler_port": False,
    "ping_interval": False,
    "allow_root": False,
    "msg_timeout": False,
}

# What may stand there, too, as it is called among the parsed options.
OF_ONE_NODE = {"ip_addr": "hosts", "ext_ip_addr": "announce", "name": "name"}

SWITCHES = {"ipv4_udp_multicast", "discover_peers", "debug", "daemon", "allow_root"}


class BadFile(ValueError):
    """The file can't be used; the text names it and what is wrong in it."""


def save(path: str, given: Mapping[str, Any]) -> None:
    """Write those of the given options that are not one node's own. OSError."""
    lines = ["# options of dispycosnode: use with --config\n"]
    for name in OPTIONS:
        if name in given:
            lines.append(f"{name} = {_toml(given[name])}\n")
    # In one piece or not at all: a node that starts meanwhile reads no half file.
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "x") as file:
            file.writelines(lines)
        os.replace(temporary, path)
    except OSError as exc:
        if os.path.exists(temporary):
            os.unlink(temporary)
        exc.filename, exc.filename2 = path, None  # what the user named
        raise


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if text.isdecimal() and not (len(text) > 1 and text[0] == "0") else json.dumps(text)


def load(path: str, given: Collection[str]) -> list[str]:
    """The file's options as arguments, without those that are given anyway. BadFile."""
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise BadFile(f"{path} is larger than {MAX_BYTES:,} bytes: that is no saved configuration")
        values = tomllib.loads(text.decode("utf-8"))
    except OSError as exc:
        raise BadFile(f"{path}: {exc.strerror or exc}") from None
    except UnicodeDecodeError as exc:
        raise BadFile(f"{path} is no text in UTF-8: {exc.reason} at byte {exc.start}") from None
    except tomllib.TOMLDecodeError as exc:
        raise BadFile(f"{path} is no TOML: {exc}") from None
    arguments = []
    for name, value in values.items():
        name = name.replace("-", "_")
        if name not in OPTIONS and name not in OF_ONE_NODE:
            raise BadFile(f"{path} has an unknown key {name!r}; {_hint(name, value)}")
        if OF_ONE_NODE.get(name, name) not in given:
            arguments += _arguments(path, name, value)
    return arguments


def _hint(name: str, value: Any) -> str:
    """What to do about a key that nobody knows."""
    if isinstance(value, dict):
        return "tables are for files of settings, as DISPYCOS_CONFIG names one: `dispycos help settings`"
    near = nearest(name, [*OF_ONE_NODE, *OPTIONS], 0.75)
    return f"did you mean {near!r}?" if near else f"it may have {', '.join([*OF_ONE_NODE, *OPTIONS])}"


def _arguments(path: str, name: str, value: Any) -> list[str]:
    if isinstance(value, bool) is not (name in SWITCHES):
        wanted = "takes true or false" if name in SWITCHES else "takes a value"
        raise BadFile(f"{path}: {name} {wanted}, not {json.dumps(value, default=str)}")
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    found = []
    repeated = OPTIONS.get(name, name != "name")
    for one in value if isinstance(value, list) and repeated else [value]:
        if not isinstance(one, str | int | float):
            raise BadFile(f"{path}: {name} has a value that is neither text nor number")
        found.append(f"--{name}={one}")
    return found
