"""A configuration file: TOML, with a table for each of node, scheduler and client.

    udp_port = 9705                # shared by all three
    [node]
    cpus = -1                      # the options of dispycosnode, without their dashes
    [client]
    scheduler = "head.example"

A file that other accounts could write is refused: it decides which key is used and as whom
tasks run. What is not known is refused, with the line.

I/O half. Layer 3. Rule SE-50.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from dispycos.configuration.names import SECTIONS, SHARED, BadConfiguration, Found, Kind, Name, Value
from dispycos.wording import nearest

MAX_BYTES = 1 << 20  # of a file; all settings together take less than a hundredth of it

Sections = Mapping[str, Mapping[str, Name]]  # what may stand in which table


def read(
    path: str, sections: Sections, problems: list[BadConfiguration] | None = None
) -> dict[str, list[Found]]:
    """What the file sets in each of these sections, and under "" for all of them.

    sections  tables that are checked; others that exist are passed over.
    problems  gets what is wrong with single settings, which are left out; None: it is raised.
    FileNotFoundError; OutOfReach; BadConfiguration names the file, the line and what is wrong.
    """
    text = _text(path)
    # Most machines have no such file, and nothing to parse.
    import tomllib

    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise BadConfiguration(f"{path} is no configuration: a value in it is nested too deeply") from None
    except ValueError as exc:  # a number of thousands of digits is none of tomllib's own
        raise BadConfiguration(f"{path} is no TOML: {exc}") from None
    lines = dict(_lines(text))
    found: dict[str, list[Found]] = {"": []}
    given: dict[tuple[str, str], str] = {}  # as it is spelt, by section and name
    for section, key, value in _each(values):
        place = f"{path}, line {lines.get((section, key)) or lines.get((key, ''), 1)}"
        try:
            if section and section not in SECTIONS:
                raise _unknown(f"{place}: table {section!r}", section, SECTIONS)
            if not section and key in SECTIONS:
                raise BadConfiguration(f"{place}: {key} is a table: put its settings below a line [{key}]")
            if key and (other := given.setdefault((section, key.replace("-", "_")), key)) != key:
                raise BadConfiguration(f"{place}: {key} is given twice, as {other} too: leave one out")
            if key and (not section or section in sections):
                one = _one(place, section, key, value, sections)
                found.setdefault(section, []).append(one)
        except BadConfiguration as exc:
            if problems is None:
                raise
            problems.append(exc)
    return found


def _each(values: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Section, name and value of each setting; a table is told with an empty name first."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield name, "", None
            if name in SECTIONS:
                for key, one in value.items():
                    yield name, key, one
        else:
            yield "", name, value


def _one(place: str, section: str, key: str, value: Any, sections: Sections) -> Found:
    known = sections[section] if section else SHARED
    name = key.replace("-", "_")
    if name in ("secret", "secret_file") and section:
        raise BadConfiguration(
            f"{place}: a key is set for all of an account: put secret_file = FILE above the first table"
        )
    if name == "secret":
        raise BadConfiguration(
            f"{place}: a secret does not belong here: make a key file with `dispycos key new FILE` and "
            "name it by secret_file"
        )
    if name not in known:
        what = f"{section}.{key}" if section else key
        if not section and (owners := [one for one in sections if name in sections[one]]):
            raise BadConfiguration(f"{place}: {key} is not shared by all: it belongs below [{owners[0]}]")
        raise _unknown(f"{place}: {what}", name, known)
    return Found(name, checked(known[name], _plain(place, known[name], value), place), place, not section)


def checked(name: Name, value: Value, place: str) -> Value:
    """The value, if each part of it will do; BadConfiguration says where it stands and what is wrong."""
    for one in (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ():
        try:
            name.check(one)
        except Exception as exc:  # of a converter of a parser, which may raise its own kind
            raise BadConfiguration(f"{place}: {name.name} = {one!r:.80}: {exc}") from None
    return value


def _plain(place: str, name: Name, value: Any) -> Value:
    if isinstance(value, bool) is not (name.kind is Kind.SWITCH) or isinstance(value, dict):
        raise BadConfiguration(f"{place}: {name.name} takes {name.kind.value}, not {value!r:.80}")
    if isinstance(value, bool):
        return value
    several = value if isinstance(value, list) and name.kind is Kind.MANY else [value]
    for one in several:
        if isinstance(one, bool) or not isinstance(one, str | int | float):
            raise BadConfiguration(f"{place}: {name.name} takes {name.kind.value}, not {one!r:.80}")
    try:
        texts = tuple(map(str, several))
    except ValueError as exc:  # thousands of digits, written as hexadecimal ones
        raise BadConfiguration(f"{place}: {name.name}: {exc}") from None
    return texts if name.kind is Kind.MANY else texts[0]


def _unknown(what: str, name: str, known: Mapping[str, Name] | tuple[str, ...]) -> BadConfiguration:
    near = nearest(name, known)
    hint = f"did you mean {near!r}?" if near else f"there are {', '.join(known)}"
    return BadConfiguration(f"{what} is not known here; {hint}")


class OutOfReach(BadConfiguration):
    """The file's folder is closed to this account, so nobody can tell whether it is there."""


def _text(path: str) -> str:
    # Everything is asked of the open file, so that nobody can swap it in between.
    try:
        with open(path, "rb", opener=_opener) as file:
            _check_owner(path, os.fstat(file.fileno()))
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except PermissionError as exc:
        try:
            os.stat(path)
        except PermissionError:
            raise OutOfReach(f"{path} can't be reached: {exc.strerror}") from None
        raise BadConfiguration(f"{path} can't be read: {exc.strerror}") from None
    except OSError as exc:
        raise BadConfiguration(f"{path} can't be read: {exc.strerror or exc}") from None
    if len(data) > MAX_BYTES:
        raise BadConfiguration(f"{path} is larger than {MAX_BYTES:,} bytes: that is no configuration")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise BadConfiguration(f"{path} is no text in UTF-8: {exc.reason} at byte {exc.start}") from None


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe is not waited for


def _check_owner(path: str, status: os.stat_result) -> None:
    if not hasattr(os, "geteuid"):
        return  # Windows: access lists, best effort
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISCHR(status.st_mode):
        raise BadConfiguration(f"{path} is no regular file")
    if status.st_uid not in (os.geteuid(), 0):
        raise BadConfiguration(f"{path} belongs to uid {status.st_uid}; run: chown {os.geteuid()} {path}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and stat.S_ISREG(status.st_mode):
        raise BadConfiguration(f"others can write {path}; run: chmod go-w {path}")


_TABLE = re.compile(r"\s*\[\[?\s*([\w-]+)\s*\]")
_KEY = re.compile(r"\s*[\"']?([\w-]+)[\"']?\s*(?:\.\s*[\"']?([\w-]+)[\"']?\s*)?=")


def _lines(text: str) -> Iterator[tuple[tuple[str, str], int]]:
    # The parser tells no lines. Only what it found is looked up, so what is taken for a key in
    # the middle of a text does no harm.
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if heading := _TABLE.match(line):
            table = heading[1]
            yield (table, ""), number
        elif key := _KEY.match(line):
            yield (key[1], key[2]) if key[2] and not table else (table, key[1]), number
