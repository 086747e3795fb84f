"""What the command lines of ours share: options, their values, and how a failure is told.

`_` and `-` are the same in long options. Wrong usage ends with 2, anything that can't be done
with 1 and one sentence, Ctrl-C before anything was begun with 130.

Layer 8. Rows DN-03 to DN-09, DS-03 to DS-11; GN-06.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import re
import select
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from dispycos import config
from dispycos.arguments import seconds
from dispycos.configuration import names, settings
from dispycos.configuration.names import Found, Kind, Name
from dispycos.errors import DispycosError
from dispycos.keyfile import KeySource
from dispycos.model import MAX_ADDRESSES, host_and_port
from dispycos.net import addresses
from dispycos.net.tls import CertificateFiles
from dispycos.node.hours import minute_of
from dispycos.node.printed import LOG_FORMAT
from dispycos.usage import Described, Pairs, a_host, a_port
from dispycos.wording import harmless, sentence

SECRET_HELP = (
    "talk only to programs with this secret; other users of this machine can see it in the list of "
    "processes, so prefer --secret_file"
)

# Exit statuses of node and scheduler.
DAEMON_STATUSES: Final = {
    0: "it ended in order",
    1: "it can't start, and a sentence says why",
    2: "wrong usage, or a setting that is wrong",
    130: "Ctrl-C before it began",
}

# Files and variables that several commands look at.
SETTINGS: Pairs = (
    ("/etc/dispycos/config.toml", "settings of this machine; `dispycos help settings`"),
    ("~/.config/dispycos/config.toml", "settings of this account, which win over those"),
    ("DISPYCOS_CONFIG", "the only file of settings that is read"),
)
MONITOR: Pairs = (
    (
        "LINK",
        (
            "the address that a monitor printed; or - to read it from standard input, where others don't "
            "see it; or the port of a monitor of yours on this machine. Without LINK: the only one of yours"
        ),
    ),
)


class Parser(Described):
    """The parser of a command of ours.

    bare  it answers only what is given, as it was typed.
    """

    def __init__(self, *, bare: bool = False, **more: Any) -> None:
        self._bare = bare
        super().__init__(**more)

    def option(self, *names: str, **more: Any) -> None:
        """As `add_argument`."""
        if self._bare:
            more.pop("type", None)
            more["default"] = argparse.SUPPRESS
        self.add_argument(*names, **more)

    def network_options(self, what: str) -> None:
        """Where a process listens, what it is called and whom it believes."""
        self.listening_options()
        self.option("--ext_ip_addr", "--ext_host", dest="announce", action="append", default=[],
            type=a_host, metavar="ADDR",
            help=f"address that others reach this {what} by, where it differs (NAT); may be repeated, they "
            "are tried in order")  # fmt: skip
        self.option("-n", "--name", type=a_name, help=f"name of the {what} (default: host name)")
        self.option("--msg_timeout", type=some_time, metavar="SEC",
            help=f"time for a question to a peer (default: {config.MsgTimeout:g})")  # fmt: skip
        self.key_options()

    def listening_options(self) -> None:
        """Where a process listens, and how it is found."""
        self.section("addresses and discovery")
        self.option("-i", "--ip_addr", "--host", dest="hosts", action="append", type=a_host, default=[],
            metavar="ADDR",
            help="address or host name of this machine to use (default: that of the default route); may be "
            "repeated")  # fmt: skip
        self.option("-u", "--udp_port", type=a_port, default=config.NetPort, metavar="N",
            help="UDP port of discovery; 0: no UDP")  # fmt: skip
        self.option(
            "--ipv4_udp_multicast", action="store_true", help="multicast instead of broadcast on IPv4"
        )

    def pool_options(self, what: str) -> None:
        """What a process of a worker pool is called and whom it believes."""
        self.option("-n", "--name", type=a_name, help=f"name of the {what} (default: host name)")
        self.option("-d", "--debug", action="store_true", help="log debug messages")
        self.key_options()

    def key_options(self) -> None:
        """Whom a process believes."""
        self.section("key and TLS")
        self.option("-s", "--secret", default="", help=SECRET_HELP)
        self.option("--secret_file", metavar="FILE",
            help="talk only to programs with the key in this file (default: the account's own)")  # fmt: skip
        self.option("--certfile", metavar="FILE",
            help="PEM certificate: TLS on all TCP; the key may be in the same file")  # fmt: skip
        self.option("--keyfile", metavar="FILE", help="PEM key of --certfile")
        self.option("--cafile", metavar="FILE", help="PEM certificates of the authorities: believe no others")

    def process_options(self) -> None:
        """Where files are kept, and how the process behaves at its terminal."""
        self.section("files and terminal")
        self.option(
            "--dest_path", metavar="DIR", help="directory for all files (default: $TMPDIR/dispycos-<uid>)"
        )
        self.option(
            "--max_file_size",
            type=size,
            default=0,
            metavar="N[kKmMgGtT]",
            help="refuse larger files (default: what the disk holds)",
        )
        self.option("-d", "--debug", action="store_true", help="log debug messages")
        self.option(
            "--daemon",
            action="store_true",
            help="don't read commands from standard input; it stays in the foreground",
        )

    def listens_at(self, options: argparse.Namespace, *, loopback_only: bool = False) -> tuple[str, ...]:
        """The addresses of `--ip_addr`, as `addresses.bind_addresses` has them."""
        with self.value_of("ip_addr", "it takes an address or a host name of this machine"):
            return tuple(addresses.bind_addresses(options.hosts, loopback_only=loopback_only))

    def key_source(self, options: argparse.Namespace, hosts: Sequence[str]) -> KeySource:
        """Where the keys are: `--secret`, `--secret_file` or the account's file."""
        loopback = all(addresses.is_loopback(host) for host in hosts)
        with self.value_of("secret"):
            source = KeySource(options.secret, options.secret_file, loopback_only=loopback)
            source.check()
        return source

    def announced(self, options: argparse.Namespace) -> tuple[str, ...]:
        """The addresses of `--ext_ip_addr`, resolved."""
        with self.value_of("ext_ip_addr", "it takes an address or a host name"):
            external = tuple(addresses.announced(options.announce))
        if len(external) > MAX_ADDRESSES:
            self.error(f"--ext_ip_addr names {len(external)} addresses, at most {MAX_ADDRESSES} are told")
        return external

    def settings(self) -> dict[str, Name]:
        """The options that may be set in a file or by a variable too, as settings.

        Not what does something else in place of the program's work, nor a secret or whose key it is.
        """
        found: dict[str, Name] = {}
        for action in self._actions:
            name = _long(action)
            if action.help == argparse.SUPPRESS or not name or name in _NO_SETTINGS:
                continue
            if action.nargs == 0:
                kind = Kind.SWITCH
            else:
                many = isinstance(action, argparse._AppendAction)
                kind = Kind.MANY if many else Kind.ONE
            found[name] = Name(name, kind, action.help or "", *_default(action), _converter(action))
        return found

    def by_name(self, parsed: argparse.Namespace) -> dict[str, Any]:
        """What was parsed, by the options' long names."""
        values = vars(parsed)
        return {_long(action): values[action.dest] for action in self._actions if action.dest in values}

    def configured(self, section: str, arguments: Sequence[str]) -> list[str]:
        """What files and variables set and the command line does not, as arguments before `arguments`.

        BadConfiguration.
        """
        known = self.settings()
        for strange in settings.strangers({section: known}):
            print(f"{self.prog}: {harmless(strange)}", file=sys.stderr)
        return self.as_arguments(settings.settings(section, known).values(), arguments)

    def as_arguments(self, found: Iterable[Found], arguments: Sequence[str]) -> list[str]:
        """Those of the settings that `arguments` do not give, as arguments; before them."""
        given = self.given(arguments)
        for group in _TOGETHER:
            if given & group:
                given |= group
        made = []
        for one in found:
            if one.name in given or one.value is False:
                continue
            if isinstance(one.value, tuple):
                made += [f"--{one.name}={text}" for text in one.value]
            else:
                made.append(f"--{one.name}" if one.value is True else f"--{one.name}={one.value}")
        return [*made, *arguments]

    def given(self, arguments: Sequence[str]) -> set[str]:
        """The long names of the options that these arguments give; wrong usage ends the program."""
        # What is in a namespace already gets no default: what is left of ours was not given.
        nothing = argparse.Namespace(**{action.dest: _Nothing() for action in self._actions})
        parsed = vars(self.parse_args(arguments, nothing))
        return {_long(action) for action in self._actions if parsed[action.dest] != []}


class _Nothing(list[Any]):
    """No value yet; what is appended to it is one."""


# Not settings: they do something else, are for one start, or are a secret. The key is set for all.
_NO_SETTINGS = {"help", "version", "secret", "secret_file", "config", "save_config", "clean"}
# Of these a command line gives all or none: half of each would be a mixture nobody meant.
_TOGETHER: tuple[set[str], ...] = ({"certfile", "keyfile", "cafile"},)


def _long(action: argparse.Action) -> str:
    """The first long name of an option; "": it has none."""
    return next((name[2:] for name in action.option_strings if name.startswith("--")), "")


# What a help says of a default: "(default: host name)", "0: never (default)".
_MEANT = re.compile(r"\(default: (?P<whole>[^)]*)\)|: (?P<stands>[^;:]*) \(default\)")


def _default(action: argparse.Action) -> tuple[str, str]:
    """That of an option as it would be written, and what it stands for, as its help says it."""
    if action.nargs == 0:
        return ("true" if action.default else "false"), ""
    value = action.default
    written = "" if value in (None, "", []) else f"{value:g}" if isinstance(value, float) else str(value)
    try:
        _converter(action)(written)
    except (ValueError, argparse.ArgumentTypeError):
        written = ""  # stands for something that nobody may write
    # What may be left out behind the option is no default of the option.
    found = _MEANT.search(action.help or "") if action.nargs != argparse.OPTIONAL else None
    meaning = (found["whole"] or found["stands"]).removeprefix(written).strip(", ") if found else ""
    return (meaning, "") if not written and meaning.isdecimal() else (written, meaning)


def _converter(action: argparse.Action) -> Callable[[str], object]:
    convert = action.type
    if not callable(convert):
        return str
    return convert


def normal(arguments: Sequence[str]) -> list[str]:
    """Long options with `_` for `-`: both spellings are the same."""
    found: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*found, *arguments[number:]]
        if argument.startswith("--") and not argument.startswith("---"):
            name, equals, value = argument.partition("=")
            argument = "--" + name[2:].replace("-", "_") + equals + value
        found.append(argument)
    return found


def log_to_stderr(debug: bool) -> None:
    """As a command logs: each line with its time and level."""
    level = logging.DEBUG if debug else logging.INFO
    logging.basicConfig(level=level, format=LOG_FORMAT)


def certificates(options: argparse.Namespace) -> CertificateFiles | None:
    """The files of `--certfile` and its companions; None: plain TCP. ValueError."""
    return CertificateFiles.given(options.certfile, options.keyfile, options.cafile)


@contextmanager
def port_of(option: str) -> Iterator[None]:
    """Where a port is in use, the sentence that says so names the option that takes another."""
    try:
        yield
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise
        raise OSError(f"{sentence(exc)}; {option} takes another") from None


_READER_GONE = 141  # what a shell says of a program that SIGPIPE ended


def carry_out(program: str, run: Callable[[], int]) -> int:
    """The exit code of `run`; 1 and one sentence for what the world refuses.

    Whoever closed the pipe that it prints to, as `| head` does, wants no more, and no words for it.
    """
    try:
        code = run()
        if sys.stdout is not None:
            sys.stdout.flush()  # not at the interpreter's end, where nobody could tell what failed
        return code
    except BrokenPipeError as exc:
        if _nobody_reads():
            return _READER_GONE
        print(f"{program}: {sentence(exc)}", file=sys.stderr)
        return 1
    except (DispycosError, OSError, ValueError) as exc:
        print(f"{program}: {sentence(exc)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _nobody_reads() -> bool:
    """Whether it was our output that broke; then what is still to be printed goes nowhere."""
    try:
        output = sys.stdout.fileno()
        looks = select.poll()
        looks.register(output, select.POLLERR)
        broken = bool(looks.poll(0))
    except (OSError, ValueError, AttributeError):  # none of ours, or a system without poll
        return False
    if broken:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return broken


# Values of options. ValueError becomes a usage error of argparse.


def a_time(text: str) -> float:
    """Seconds, 0 or more."""
    try:
        return seconds("it", float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None


def some_time(text: str) -> float:
    """Seconds, more than 0."""
    try:
        return names.some_time(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is {exc}") from None


def a_name(text: str) -> str:
    """What a process is called: something that can be read in a line."""
    try:
        return names.readable(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is {exc}") from None


def time_of_day(text: str) -> str:
    """HH:MM, as it was typed."""
    try:
        minute_of(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None
    return text


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def some_port(text: str) -> int:
    """A port, from 1 on."""
    number = a_port(text)
    if not number:
        raise argparse.ArgumentTypeError("0 is no port that somebody could listen at")
    return number


def ports(text: str) -> tuple[int, int]:
    """A port or a range of ports, both ends included; 0: any free ones."""
    if text == "0":
        return 0, 0
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a port nor a range N-M")
    low, high = int(found[1]), int(found[2] or found[1])
    if not 1 <= low <= high <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of ports between 1 and 65535")
    return low, high


def size(text: str) -> int:
    """Bytes, with a unit of powers of 1024."""
    found = re.fullmatch(r"(\d+)([kKmMgGtT]?)", text)
    if not found or int(found[1]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 100, 10k, 5M or 2G")
    return int(found[1]) << (10 * " kmgt".index(found[2].lower() or " "))


def host_or_port(text: str) -> tuple[str, int | None]:
    """HOST or HOST:PORT."""
    try:
        return host_and_port(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def place(text: str) -> tuple[str | None, int | None]:
    """HOST, HOST:PORT, or a port alone, where the host is known without it."""
    return (None, some_port(text)) if text.isdecimal() else host_or_port(text)


def peer(text: str) -> tuple[str, int]:
    """HOST:PORT."""
    host, number = host_or_port(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return host, number


def peer_file(path: str) -> list[tuple[str, int]]:
    """A file with a HOST:PORT a line; `#` begins a comment."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.partition("#")[0].strip() for line in file]
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise argparse.ArgumentTypeError(f"{path} can't be read: {reason}") from None
    peers = []
    for number, line in enumerate(lines, 1):
        if line:
            try:
                peers.append(peer(line))
            except argparse.ArgumentTypeError as exc:
                raise argparse.ArgumentTypeError(f"{path}, line {number}: {exc}") from None
    return peers
