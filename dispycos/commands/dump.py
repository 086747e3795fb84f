"""`dispycos dump`: what a report of a fault needs, in one text, without what is secret.

I/O half. Layer 8. Row SE-57.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dispycos import commandline, config, keyfile
from dispycos.commandline import Parser
from dispycos.commands import settings_shown
from dispycos.commands.redaction import Redaction
from dispycos.configuration import settings
from dispycos.configuration.names import OTHERS, PREFIX, SECTIONS, BadConfiguration
from dispycos.doctor import cli as doctor
from dispycos.doctor import finding
from dispycos.errors import DispycosError
from dispycos.httpd import asking
from dispycos.net.interfaces import interfaces
from dispycos.node.processors import processors
from dispycos.terminal import choosing, status

LINES = 200  # of each log
_LONGEST = 64 * 1024 * 1024  # bytes of a log that are looked through for its last lines
_DOCTOR = 1.0  # seconds for each answer
_PACKAGES = ("psutil", "tornado", "msgpack", "cloudpickle", "tblib", "uvloop", "rich", "joblib", "numpy")

_ABOUT = """\
Collect what a report of a fault needs: versions, settings and who set them, interfaces, what `dispycos
doctor` finds, the last lines of logs, and what a monitor knows of the cluster if one of this account
answers.

Left out or made unreadable are: the keys of key files, secrets, tokens, passwords, private keys of
certificates, whatever looks like one (32 hexadecimal digits, 40 characters in a row), the rest of a line
in which something is called so, values of variables that are no settings, and the names of home
directories. Addresses, names of machines and arguments of tasks are in it: read it before you give it
away.
"""


def make_parser() -> Parser:
    """The options of `dispycos dump`."""
    parser = Parser(
        prog="dispycos dump",
        usage="dispycos dump [LINK] [options]",
        about=_ABOUT,
        examples=(
            ("dispycos dump > report.txt", "what this account knows"),
            ("dispycos dump --log node.log --log client.log -o report.txt", "with the ends of two logs"),
        ),
        files=(*keyfile.TOLD, *commandline.SETTINGS),
        statuses={0: "all is done", 1: "a log can't be read, or FILE can't be written", 2: "wrong usage"},
    )
    parser.add_argument("link", nargs="?", metavar="LINK",
        help="of the cluster's monitor, as it was printed, - or a port (default: the only one of this "
        "account)")  # fmt: skip
    parser.add_argument("--log", action="append", default=[], metavar="FILE",
        help=f"a log, of which the last {LINES} lines are taken; may be repeated")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write it there, readable for this account only"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Print or write it; answers the exit code."""
    parser = make_parser()
    options = parser.parse_args(commandline.normal(argv))

    def run() -> int:
        redaction = _redaction(options.link)
        cleaned = redaction.values(collected(options.link))
        # Each log as one text: a key of a certificate has many lines.
        logs = {path: "\n".join(_last_lines(path)) for path in options.log}
        cleaned["logs"] = {
            redaction.text(path): redaction.text(text).split("\n") if text else []
            for path, text in logs.items()
        }
        text = json.dumps(cleaned, indent=1, default=str) if options.json else as_text(cleaned)
        if options.output is None:
            print(text)
        else:
            _write(options.output, text)
            print(f"written to {options.output}; read it before you give it away", file=sys.stderr)
        return 0

    return commandline.carry_out("dispycos dump", run)


def collected(link: str | None) -> dict[str, Any]:
    """Everything but logs, before it is cleaned. A part that fails says why in its place."""
    return {
        "made": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        "versions": _versions(),
        "machine": _or_reason(_machine),
        "settings": _or_reason(_settings),
        "variables": _or_reason(_variables),
        "interfaces": _or_reason(lambda: [one._asdict() for one in interfaces()]),
        "doctor": _or_reason(_doctor),
        "cluster": _or_reason(lambda: _cluster(link)),
    }


def _or_reason(part: Callable[[], Any]) -> Any:
    try:
        return part()
    except (DispycosError, OSError, ValueError) as exc:
        return f"not known: {' '.join(str(exc).split())}"


def _versions() -> dict[str, str]:
    found = {
        "dispycos": config.RELEASE,
        "wire": f"{config.WIRE_VERSION_MIN} to {config.WIRE_VERSION}",
        "python": f"{platform.python_implementation()} {sys.version}",
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "processors": f"{processors()} of {os.cpu_count()}",
        "package": str(Path(config.__file__).parent),
        "directory": os.getcwd(),
    }


def _settings() -> list[str]:
    shown = {section: settings_shown.in_force(section) for section in SECTIONS}
    strangers = settings.strangers(settings_shown.known())
    return [*settings_shown.as_file(shown, origins=True).splitlines(), *strangers]


def _variables() -> list[str]:
    known = settings.variables(settings_shown.known()) | OTHERS
    # Of what is no setting of ours nobody can say whether it is a secret.
    return [
        f"{name}={value}" if name in known else f"{name} is set"
        for name, value in sorted(os.environ.items())
        if name.startswith(PREFIX)
    ]


def _doctor() -> list[dict[str, str]]:
    return finding.as_values(doctor.examine(["--within", str(_DOCTOR)]))


def _cluster(link: str | None) -> dict[str, Any]:
    where = choosing.chosen(link)
    return {"status": json.loads(status.as_json(where)), "why": asking.get(where, "/api/v1/why")}


def _last_lines(path: str) -> list[str]:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LONGEST))
        return [line.decode("utf-8", "replace").rstrip("\n") for line in deque(file, LINES)]


def _redaction(link: str | None) -> Redaction:
    secrets = [
        value for name, value in os.environ.items() if name.startswith("DISPYCOS_SECRET") and "/" not in value
    ]
    if link and "token=" in link:
        secrets.append(link.partition("token=")[2])
    try:
        path = settings.secret_file() or str(keyfile.default_path())
        # Only to look for it: it may have been printed or logged by mistake.
        words = Path(path).read_text(encoding="ascii").split()
        secrets += [word for word in words if len(word) >= keyfile.GOOD_SECRET_CHARS]
    except (OSError, UnicodeDecodeError, BadConfiguration):
        pass  # there is none that this account could tell; what is set wrong is a part of its own
    return Redaction(os.path.expanduser("~"), secrets)


def _write(path: str, text: str) -> None:
    # Not into a file that is there: it may be open to others, or a link.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")


def as_text(found: dict[str, Any]) -> str:
    """For people and mails."""
    lines = []
    for title, part in found.items():
        lines += ["", f"== {title}", *_lines(part, "")]
    return "\n".join(lines[1:])


def _lines(part: Any, indent: str) -> list[str]:
    if isinstance(part, dict):
        lines = []
        for name, value in part.items():
            if isinstance(value, dict | list) and value:
                lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
            else:
                lines.append(f"{indent}{name}: {value}")
        return lines or [f"{indent}none"]
    if isinstance(part, list):
        if all(isinstance(one, str) for one in part):
            return [f"{indent}{one}" for one in part]
        return [f"{indent}{json.dumps(one)}" for one in part] or [f"{indent}none"]
    return [f"{indent}{part}"]
