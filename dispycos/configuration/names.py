"""Settings: what they are called, how they are written, and where the value of one came from.

A setting belongs to the node, the scheduler or the client, or is shared by all three. Those of
node and scheduler are the options of their command lines, and are made of their parsers; those
of programs stand here.

Pure. Layer 3.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from dispycos.arguments import integer, port, seconds
from dispycos.config import Limits
from dispycos.errors import DispycosError
from dispycos.model import host_and_port
from dispycos.records import record

SECTIONS: Final = ("node", "scheduler", "client")
PREFIX: Final = "DISPYCOS_"
FILE: Final = "DISPYCOS_CONFIG"  # names the one file to read

# Variables that are no settings.
_OF_TESTS = ("VALIDATE", "SEED", "TRACE", "REQUIRE", "TEST_RUN", "CHAOS", "SCREENSHOTS", "PYCOS_EXAMPLES")
OTHERS: Final = frozenset({FILE, *(PREFIX + name for name in _OF_TESTS)})

Value: TypeAlias = "bool | str | tuple[str, ...]"


class BadConfiguration(DispycosError, ValueError):
    """A setting can't be used; the text says where it stands, what is wrong and what to do."""


class Kind(enum.Enum):
    """How a value is written."""

    SWITCH = "true or false"
    ONE = "a text or a number"
    MANY = "a text, or a list of them"


def _text(text: str) -> str:
    if not text:
        raise ValueError("is empty: leave the line out")
    return text


@record
class Name:
    """One setting."""

    name: str
    kind: Kind
    about: str  # half a line
    default: str = ""  # as it would be written; "": there is none
    meaning: str = ""  # what the default stands for, or what holds where there is none
    check: Callable[[str], object] = _text  # ValueError says what is wrong with a value


@record
class Found:
    """What somebody set."""

    name: str
    value: Value
    origin: str  # "FILE, line 3", or the variable
    shared: bool = False  # stands for all sections


def _port(text: str) -> int:
    return port("it", _whole(text))


def _seconds(text: str) -> float:
    try:
        return seconds("it", float(text))
    except ValueError:
        raise ValueError("no number of seconds from 0 on") from None


def some_time(text: str) -> float:
    """Seconds, more than 0. ValueError says what else `text` is."""
    if not (found := _seconds(text)):
        raise ValueError("no time at all")
    return found


def _bytes(text: str) -> int:
    return integer("it", _whole(text), least=1)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("no whole number") from None


def readable(text: str) -> str:
    """What a process is called. ValueError says what else `text` is."""
    if not text.strip() or not text.isprintable():
        raise ValueError("no name that could be read in a line")
    if len(text) > (most := Limits().max_name_chars):
        raise ValueError(f"no name, which has at most {most} characters")
    return text


def _table(*names: Name) -> Mapping[str, Name]:
    return {one.name: one for one in names}


SHARED: Final = _table(
    Name("secret_file", Kind.ONE, "file with the key of the cluster", "", "the key file of the account"),
    Name("udp_port", Kind.ONE, "UDP port of discovery; 0: no UDP", "9705", check=_port),
    Name("ipv4_udp_multicast", Kind.SWITCH, "multicast instead of broadcast on IPv4", "false"),
    Name("certfile", Kind.ONE, "PEM certificate: TLS on all TCP"),
    Name("keyfile", Kind.ONE, "PEM key of certfile"),
    Name("cafile", Kind.ONE, "PEM certificates of the authorities: believe no others"),
    Name("msg_timeout", Kind.ONE, "seconds for a question to a peer", "10", check=some_time),
)

CLIENT: Final = _table(
    Name("scheduler", Kind.ONE, "HOST[:PORT] of the shared scheduler that schedule() asks",
        "", "a shared one nearby, else one in the program", host_and_port),
    Name("nodes", Kind.MANY, "nodes of clients that name none", "", "any node found"),
    Name("pulse_interval", Kind.ONE, "seconds between signs of life", "50", check=_seconds),
    Name("ping_interval", Kind.ONE, "seconds between searches for nodes; 0: once", "0",
        "once, at the start", _seconds),
    Name("zombie_period", Kind.ONE, "seconds of silence until a node counts as silent", "", "5 pulses",
        _seconds),
    Name("host", Kind.MANY, "addresses or host names to listen at", "", "that of the default route"),
    Name("ext_host", Kind.MANY, "addresses that others dial instead (NAT)"),
    Name("tcp_port", Kind.ONE, "TCP port of programs; 0: a free one", "0", "a free one", _port),
    Name("name", Kind.ONE, "what programs are called", "", "the host's name", readable),
    Name("discover_peers", Kind.SWITCH, "look for others by UDP", "true"),
    Name("dest_path", Kind.ONE, "where files of others are stored", "", "a folder of the account"),
    Name("max_file_size", Kind.ONE, "bytes of one such file", "", "no limit of its own", _bytes),
    *(one for one in SHARED.values() if one.name != "secret_file"),
)  # fmt: skip
