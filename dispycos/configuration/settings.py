"""The settings in force: those of the machine, the account and the environment, the nearest one first.

From the farthest to the nearest: /etc/dispycos/config.toml, `~/.config/dispycos/config.toml`, variables
(`DISPYCOS_UDP_PORT` for all, `DISPYCOS_NODE_CPUS` for nodes). In each, what stands for one section is
nearer than what is shared. What a command line or a program says is nearer than all of it.
`DISPYCOS_CONFIG=FILE` names the only file that is read.

A LocalCluster and its processes ask nothing here: they are what their program says.

I/O half. Layer 3.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dispycos.configuration import file
from dispycos.configuration.names import (
    CLIENT,
    FILE,
    OTHERS,
    PREFIX,
    SECTIONS,
    SHARED,
    BadConfiguration,
    Found,
    Kind,
    Name,
    Value,
)
from dispycos.wording import nearest

SYSTEM = "/etc/dispycos/config.toml"

# A cluster manager names each of its services by such variables: DISPYCOS_NODE_PORT=tcp://10.0.0.1:9706.
_LINK = re.compile(r"_SERVICE_(HOST|PORT)[_=]|_SERVICE_PORT_\w+=|_PORT_\d+_\w+=|_PORT=\w+://")
_WORDS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


def config_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the account's programs have their configuration. RuntimeError: it has no home."""
    base = environ.get("XDG_CONFIG_HOME", "")
    # The XDG specification has relative paths ignored.
    return Path(base) if os.path.isabs(base) else Path.home() / ".config"


def account_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the account's own configuration and key are."""
    return config_home(environ) / "dispycos"


def files(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The files that are read, if they exist; the nearest one last."""
    if FILE in environ:
        return [environ[FILE]] if environ[FILE] else []
    try:
        return [SYSTEM, str(account_folder(environ) / "config.toml")]
    except RuntimeError:
        return [SYSTEM]  # an account without a home, as containers have them


def settings(
    section: str, known: Mapping[str, Name], environ: Mapping[str, str] = os.environ
) -> dict[str, Found]:
    """What is set for a section, by name. BadConfiguration says what is wrong, and where.

    known  the names of that section; what is shared holds for those among them.
    """
    found: dict[str, Found] = {}
    for path in files(environ):
        try:
            of_file = file.read(path, {section: known})
        except FileNotFoundError:
            if FILE in environ:
                raise BadConfiguration(f"{FILE} names {path}, which does not exist") from None
            continue
        except file.OutOfReach:
            if FILE in environ:
                raise
            continue  # the home of another account, as sudo may leave it: nothing there is ours
        for one in (*of_file[""], *of_file.get(section, ())):
            if one.name in known:
                found[one.name] = one
    for name in known.values():
        shared = (PREFIX + name.name.upper(),) if name.name in SHARED else ()
        for variable in (*shared, f"{PREFIX}{section.upper()}_{name.name.upper()}"):
            if text := environ.get(variable):
                value = file.checked(name, _of_text(variable, name, text), variable)
                found[name.name] = Found(name.name, value, variable, variable in shared)
    return found


def of_client() -> dict[str, Found]:
    """What is set for programs."""
    return settings("client", CLIENT)


def secret_file() -> str | None:
    """The key file that is set; None: the account's own. It is set for all, never for a section."""
    name = SHARED["secret_file"]
    found = settings("", {name.name: name}).get(name.name)
    return None if found is None else str(found.value)


def _of_text(variable: str, name: Name, text: str) -> Value:
    if name.kind is Kind.MANY:
        return tuple(text.replace(",", " ").split())
    if name.kind is Kind.ONE:
        return text
    if text.lower() not in _WORDS:
        raise BadConfiguration(f"{variable} is {text[:80]!r}: it takes true or false")
    return _WORDS[text.lower()]


def variables(sections: Mapping[str, Mapping[str, Name]]) -> set[str]:
    """The variables that are settings: shared ones, and those of these sections."""
    return {PREFIX + name.upper() for name in SHARED} | {
        f"{PREFIX}{section.upper()}_{name.upper()}" for section, names in sections.items() for name in names
    }


def strangers(
    sections: Mapping[str, Mapping[str, Name]], environ: Mapping[str, str] = os.environ
) -> list[str]:
    """A sentence for each variable that is called like a setting of these sections and is none.

    sections  if all are given, every variable that begins with DISPYCOS_ is told; else those of
              these sections, and of no section whatever is nearly one that counts here.
    """
    whole = set(sections) == set(SECTIONS)
    mine = tuple(f"{PREFIX}{section.upper()}_" for section in sections)
    others = tuple(f"{PREFIX}{section.upper()}_" for section in SECTIONS if section not in sections)
    names = variables(sections)
    told = []
    for variable in sorted(environ):
        of_ours = variable.startswith(PREFIX) and variable not in names | OTHERS
        if not of_ours or variable.startswith(others) or _LINK.search(f"{variable}={environ[variable]}"):
            continue
        near = nearest(variable, names, 0.8)
        if not whole and not near and not variable.startswith(mine):
            continue  # of whatever else is called so
        hint = f"did you mean {near}?" if near else "see `dispycos config`"
        told.append(f"{variable} is no setting, and is not looked at; {hint}")
    return told
