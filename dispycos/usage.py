"""How the help of a command is laid out: what it does, its options, examples, files and exit statuses.

One shape for all commands, and for their pages of the manual; and one for what is typed wrong: how
the command is used, and a sentence that names what was meant. Nothing here is about dispycos but
its release.

No file, clock or network; what a command is asked for stands in a variable of its context. Layer 0.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NoReturn

from dispycos.arguments import port
from dispycos.config import RELEASE
from dispycos.errors import DispycosError, InternalError
from dispycos.model import host_and_port
from dispycos.records import record
from dispycos.wording import MAX_NAMED, harmless, nearest, sentence

Pairs = Sequence[tuple[str, str]]  # something, and what it means

STATUSES: Final[Mapping[int, str]] = {
    0: "all is done",
    1: "it can't be done, and a sentence says why",
    2: "wrong usage",
}

# What stands for a value, and how it is written.
_UNITS: Final = {
    "SEC": "SEC is a number of seconds, such as 0.5 or 60",
    "N[kKmMgGtT]": "sizes are bytes, or with a letter KiB, MiB, GiB, TiB: 500, 10k, 2G",
    "HOST[:PORT]": "an address of IPv6 with a port is written [2001:db8::1]:9706",
    "HOST:PORT": "an address of IPv6 with a port is written [2001:db8::1]:9706",
}


@record
class Section:
    """A part of the help that stands below the options."""

    title: str
    pairs: tuple[tuple[str, str], ...]


_asked: ContextVar[bool] = ContextVar("_asked", default=False)


class _Handed(Exception):
    """A parser, in place of what it would parse."""

    def __init__(self, parser: Described) -> None:
        self.parser = parser


def parser_of(run: Callable[[Sequence[str]], int | None]) -> Described:
    """The parser of a command, which makes it and parses first of all: for completion, help and the manual.

    So what a command can do is written once, and a new one is complete.
    """
    token = _asked.set(True)
    try:
        run([])
    except _Handed as handed:
        return handed.parser
    finally:
        _asked.reset(token)
    raise InternalError(f"{run!r} did not parse its arguments")


class Layout(argparse.HelpFormatter):
    """Fills paragraphs but those that are indented, and tells defaults where the text does not."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(
            block if is_laid_out(block) else textwrap.fill(" ".join(block.split()), width)
            for block in text.strip("\n").split("\n\n")
        )

    def _get_help_string(self, action: argparse.Action) -> str:
        return f"{action.help or ''}{told_default(action)}"


def is_laid_out(block: str) -> bool:
    """Whether a paragraph was laid out by hand: one of its lines is indented."""
    return any(line.startswith("  ") for line in block.splitlines())


def told_default(action: argparse.Action) -> str:
    """What is to be said of the default of an option that takes a value, where its help does not."""
    value = action.default
    if action.nargs == 0 or value in (None, "", argparse.SUPPRESS) or isinstance(value, (list, tuple)):
        return ""
    if "default" in (action.help or "") or not isinstance(value, (str, int, float)):
        return ""
    return f" (default: {value:g})" if isinstance(value, float) else f" (default: {value})"


class Described(argparse.ArgumentParser):
    """A parser without abbreviations, whose help is whole.

    about     what the command does: paragraphs.
    examples  command lines with what they do.
    files     files and variables that it looks at, with what they mean.
    statuses  its exit statuses.
    further   a section of its own, before the examples.
    stranger  what to do about an option that is none of its own, where no other is like it.
    """

    def __init__(
        self,
        *,
        prog: str,
        about: str,
        examples: Pairs = (),
        files: Pairs = (),
        statuses: Mapping[int, str] = STATUSES,
        further: Section | None = None,
        stranger: str = "",
        **more: Any,
    ) -> None:
        self._section: argparse._ArgumentGroup | None = None
        self._words: tuple[argparse.Action, Section] | None = None
        self._stranger = stranger or f"`{prog} --help` shows all"
        super().__init__(prog=prog, description=about, formatter_class=Layout, allow_abbrev=False, **more)
        release = f"dispycos {RELEASE} (Python {'.'.join(map(str, sys.version_info[:3]))})"
        self.add_argument("--version", action="version", version=release, help="say which release this is")
        codes = tuple((str(code), meaning) for code, meaning in statuses.items())
        sections = (
            *([further] if further else ()),
            Section("examples", tuple(examples)),
            Section("files and environment", tuple(files)),
            Section("exit status", codes),
        )
        self.sections = tuple(section for section in sections if section.pairs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it; see `parser_of`."""
        if _asked.get():
            raise _Handed(self)
        return super().parse_known_args(args, namespace)

    def parse_known_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it; see `parser_of`."""
        if _asked.get():
            raise _Handed(self)
        return super().parse_known_intermixed_args(args, namespace)

    def parse_args(  # type: ignore[override]  # what is parsed here is a plain namespace
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> argparse.Namespace:
        """As argparse has it, but for how wrong usage is told."""
        self._refuse_unknown(sys.argv[1:] if args is None else args)
        return self._whole(*self.parse_known_args(args, namespace))

    def parse_intermixed_args(  # type: ignore[override]  # as there
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> argparse.Namespace:
        """As argparse has it, but for how wrong usage is told."""
        self._refuse_unknown(sys.argv[1:] if args is None else args)
        return self._whole(*self.parse_known_intermixed_args(args, namespace))

    def _refuse_unknown(self, given: Sequence[str]) -> None:
        """First of all: what else is wrong is often wrong because of an option that is misspelt."""
        if any(action.nargs == argparse.REMAINDER for action in self._actions):
            return  # behind its other arguments stand those of another program
        ours = [*given[: given.index("--") if "--" in given else len(given)]]
        known = {name for action in self._actions for name in action.option_strings}
        # With a blank in it, it is a value to argparse.
        named = [word.partition("=")[0] for word in ours if word.startswith("--") and " " not in word]
        strange = [name for name in named if name not in known]
        if strange and not {"-h", "--help", "--version"} & {*ours}:
            self.error("; ".join(map(self._unknown, strange)))

    def _whole(self, found: argparse.Namespace, left: Sequence[str]) -> argparse.Namespace:
        """What was found, if nothing is left over and no word is missing."""
        if left:
            # What stands behind an option that nobody knows is its value, most likely.
            strange = [word.partition("=")[0] for word in left if word.startswith("-") and word.strip("-")]
            self.error("; ".join(map(self._unknown, strange)) or f"unexpected argument {left[0]!r}")
        if self._words is not None and getattr(found, self._words[0].dest) is None:
            self._error_of_words(f"say which: {_either(self._words[0].choices or ())}")
        return found

    def _unknown(self, option: str) -> str:
        """A sentence on an option that is none of its own."""
        shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
        known = [name[2:] for action in shown for name in action.option_strings if name.startswith("--")]
        name = option.lstrip("-")
        begun = [one for one in known if len(name) > 1 and one.startswith(name)]
        meant = begun[:MAX_NAMED] or [near for near in [nearest(name, known)] if near]
        hint = f"did you mean {_either(f'--{one}' for one in meant)}?" if meant else self._stranger
        return f"unknown option {harmless(option, keep='')}; {hint}"

    def words(self, dest: str, title: str, meanings: Mapping[str, str]) -> None:
        """An argument that is one of these words, of which each is explained.

        meanings  how each is written, the word first, and what it does.
        """
        words = tuple(written.split()[0] for written in meanings)
        action = self.add_argument(dest, choices=words, help=f"{title}, see below")
        action.required = False  # told in our words where it is missing
        section = Section(title, tuple(meanings.items()))
        self._words = action, section
        self.sections = (section, *self.sections)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """As argparse has it; an empty text, which a variable of a shell leaves that is not set, is none.

        What the option checks or splits itself may be empty.
        """
        if action.option_strings and action.type is None and "" in arg_strings:
            raise argparse.ArgumentError(action, "it is empty: leave it out, or say what is meant")
        return super()._get_values(action, arg_strings)

    @contextmanager
    def value_of(self, option: str, allowed: str = "") -> Iterator[None]:
        """What is refused inside is a wrong value of that option.

        option   its long name, without the dashes.
        allowed  what it takes.
        """
        try:
            yield
        except (DispycosError, OSError, ValueError) as exc:
            told = sentence(exc) + (f"; {allowed}" if allowed else "")
            self.error(str(argparse.ArgumentError(self._option_string_actions[f"--{option}"], told)))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [*map(str, action.choices)]
        near = nearest(str(value), known)
        text = f"{value!r} is none of {', '.join(known)}" + (f"; did you mean {near!r}?" if near else "")
        if self._words is not None and action is self._words[0]:
            self._error_of_words(text)
        raise argparse.ArgumentError(action, text)

    def _error_of_words(self, message: str) -> NoReturn:
        """As `error`, with what each word does."""
        section = self._words[1] if self._words else Section("", ())
        self.error(message, columns(section.pairs, self._get_formatter()._width))

    def error(self, message: str, explained: Iterable[str] = ()) -> NoReturn:
        """End with 2: how this is used, and what was wrong."""
        usage = self.format_usage() if self.usage else f"usage: {self.prog} [options]{self._arguments()}\n"
        table = "".join(f"{line}\n" for line in explained)
        self.exit(2, f"{usage}{table}{self.prog}: error: {harmless(message)}\n")

    def _arguments(self) -> str:
        """The arguments that are no options, as they are written."""
        formatter = self._get_formatter()
        arguments = [formatter._format_args(action, action.dest) for action in self._get_positional_actions()]
        return "".join(f" {argument}" for argument in arguments)

    def section(self, title: str) -> None:
        """What is added from here on stands under this title."""
        self._section = self.add_argument_group(title)

    def add_argument(self, *names: Any, **more: Any) -> argparse.Action:
        """As argparse has it, into the section that was begun last."""
        if self._section is not None:
            return self._section.add_argument(*names, **more)
        return super().add_argument(*names, **more)

    def format_help(self) -> str:
        """As argparse has it, with what stands below the options."""
        formatter = self._get_formatter()
        width = formatter._width
        below = [*self.units(), *(_laid_out(section, width) for section in self.sections)]
        return "\n\n".join([super().format_help().rstrip("\n"), *below]) + "\n"

    def units(self) -> list[str]:
        """A line on how values are written that some option takes, or none."""
        used = {action.metavar for action in self._actions if action.help != argparse.SUPPRESS}
        told = dict.fromkeys(text for metavar, text in _UNITS.items() if metavar in used)
        if not told:
            return []
        text = "; ".join(told)
        return [textwrap.fill(f"{text[0].upper()}{text[1:]}.", self._get_formatter()._width)]


def _either(words: Iterable[object]) -> str:
    """`a, b or c`."""
    *most, last = map(str, words)
    return f"{', '.join(most)} or {last}" if most else last


def _laid_out(section: Section, width: int) -> str:
    return "\n".join([f"{section.title}:", *columns(section.pairs, width)])


def columns(pairs: Iterable[tuple[str, str]], width: int) -> list[str]:
    """Lines of two columns; what is too long for the first has the second below it."""
    pairs = list(pairs)
    short = [len(name) for name, meaning in pairs if meaning and len(name) <= width // 2 - 4]
    left = min(max(short, default=0) + 4, width // 2)
    lines = []
    for name, meaning in pairs:
        told = textwrap.wrap(meaning, max(20, width - left))
        if told and len(name) + 4 <= left:
            lines.append(f"  {name:<{left - 2}}{told.pop(0)}")
        else:
            lines.append(f"  {name}")
        lines += [f"{'':{left}}{line}" for line in told]
    return lines


# Values of options. ValueError becomes a usage error of argparse.


def a_port(text: str) -> int:
    """A port; 0 stands for none, or for any free one."""
    try:
        return port("it", int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no port between 0 and 65535") from None


def a_host(text: str) -> str:
    """A host name or an address; whether there is one is found out where it is used."""
    try:
        host, number = host_and_port(text)
    except ValueError:
        number, host = 0, ""
    if number is not None:
        raise argparse.ArgumentTypeError(f"{text!r} is no address and no host name")
    return host
