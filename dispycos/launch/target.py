"""Targets: which machine is meant, as whom, by which port.

Two grammars lead here. A gateway's `ssh=` and `socket=` name `[user@]host[:port]`, for ssh after a
few of its options. A connection of EasyCluster is `[user@]host[:port][:option=value]..`.

Pure: no I/O, clock or randomness. SE-53, SE-54; row EC-12.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from dispycos.launch.quoting import excerpt

MAX_CHARS: Final = 4096

_USER: Final = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+-]{0,63}\$?")
_NAME: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_FILE: Final = re.compile(r"[^-].*")

# [user@]host[:port], and what follows a colon after it.
_PARTS: Final = re.compile(
    r"(?:(?P<user>[^@]*)@)?"
    r"(?:\[(?P<address>[^\]]*)\]|(?P<host>[^:\[\]@]*))"
    r"(?::(?P<port>[0-9]+))?"
    r"(?P<rest>(?::.*)?)"
)
_OPTION: Final = re.compile(r":(?=[a-z]+=)")

# What may stand in a connection of EasyCluster.
CONNECTION_OPTIONS: Final = ("kf", "keyfile", "key", "compress", "ssh", "user", "rpython", "extra")


@dataclass(frozen=True, slots=True)
class Target:
    """A machine. Every text in it fits its grammar, so none can be taken for an option."""

    host: str  # a name, or an address without brackets
    user: str = ""
    port: int | None = None
    ssh_options: tuple[str, ...] = ()  # words for the ssh program
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # of a connection

    @classmethod
    def parse(cls, text: str, *, any_port: bool = False) -> Target:
        """`[user@]host[:port]`; an IPv6 address in brackets where a port follows.

        any_port  0 is a port too, which a listener chooses.
        ValueError.
        """
        target, rest = _parse(text, any_port)
        if rest:
            raise ValueError(f"{excerpt(text)} is no [user@]host[:port]")
        return target

    @classmethod
    def parse_ssh(cls, text: str) -> Target:
        """As `parse`, after `-p PORT`, `-l USER`, `-i FILE`, `-F FILE`, `-J HOST[,HOST]`, `-4`, `-6`, `-C`.

        ValueError for any other option.
        """
        _check(text)
        words = text.split()
        user, port = "", None
        options: list[str] = []
        while words and words[0].startswith("-"):
            name = words.pop(0)
            if name in ("-4", "-6", "-C"):
                options.append(name)
                continue
            if name not in ("-p", "-l", "-i", "-F", "-J"):
                raise ValueError(
                    f"option {excerpt(name)} of ssh is not taken here, only -p, -l, -i, -F, -J, -4, -6 and "
                    "-C; put it into a file of ssh's configuration"
                )
            if not words:
                raise ValueError(f"option {name} of ssh lacks its value")
            value = words.pop(0)
            if name == "-p":
                port = _port(value)
            elif name == "-l":
                user = _user(value)
            elif name == "-J":
                for jump in value.split(","):
                    cls.parse(jump)
                options += [name, value]
            elif _FILE.fullmatch(value):
                options += [name, value]
            else:
                raise ValueError(f"{excerpt(value)} is no file for option {name} of ssh")
        if len(words) != 1:
            raise ValueError(f"{excerpt(text)} must end with one [user@]host[:port]")
        target = cls.parse(words[0])
        if (target.user and user) or (target.port and port):
            raise ValueError(f"{excerpt(text)} names two users or two ports")
        return replace(target, user=target.user or user, port=target.port or port, ssh_options=tuple(options))

    @classmethod
    def parse_connection(cls, text: str) -> Target:
        """`[user@]host[:port][:option=value]..`, each option one of CONNECTION_OPTIONS, at most once.

        ValueError.
        """
        target, rest = _parse(text, False)
        options: dict[str, str] = {}
        for part in _OPTION.split(rest)[1:] if rest else ():
            name, _, value = part.partition("=")
            if name not in CONNECTION_OPTIONS:
                raise ValueError(
                    f"unknown option {excerpt(name)} in {excerpt(text)}; "
                    f"there are {', '.join(CONNECTION_OPTIONS)}"
                )
            if name in options:
                raise ValueError(f"option {name} stands twice in {excerpt(text)}")
            options[name] = value
        if rest and (not options or not _OPTION.match(rest)):
            raise ValueError(f"{excerpt(text)} is no [user@]host[:port][:option=value]..")
        return replace(target, options=MappingProxyType(options))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")


def _parse(text: str, any_port: bool) -> tuple[Target, str]:
    # The machine, and what follows it from a colon on.
    _check(text)
    user, at, host = text.rpartition("@") if ":" not in text.partition("@")[0] else ("", "", text)
    if host.count(":") > 1 and _is_address(host):
        # An IPv6 address as it is.
        return Target(host, _user(user) if at else ""), ""
    found = _PARTS.fullmatch(text)
    if found is None:
        raise ValueError(f"{excerpt(text)} names no machine as [user@]host[:port] does")
    user = "" if found["user"] is None else _user(found["user"])
    host = found["host"] if found["address"] is None else found["address"]
    good = _is_address(host) if found["address"] is not None else _NAME.fullmatch(host)
    if not good:
        raise ValueError(f"{excerpt(host)} is neither the name nor the address of a machine")
    port = None if found["port"] is None else _port(found["port"], any_port)
    return Target(host, user, port), found["rest"]


def _check(text: str) -> None:
    if len(text) > MAX_CHARS:
        raise ValueError(f"a target of {len(text)} characters; at most {MAX_CHARS} are taken")
    if not text.isprintable():
        raise ValueError(f"{excerpt(text)} holds what can't be printed")


def _is_address(text: str) -> bool:
    # ipaddress takes any text behind the percent sign.
    if not _ADDRESS.fullmatch(text):
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise ValueError(f"{excerpt(text)} is no name of a user")
    return text


def _port(text: str, any_port: bool = False) -> int:
    if _PORT.fullmatch(text) and (0 if any_port else 1) <= int(text) <= 65535:
        return int(text)
    raise ValueError(f"port {excerpt(text)} is not between 1 and 65535")
