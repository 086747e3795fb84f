"""The directive `{command}`: a command line as its own parser describes it.

    ```{command} dispycos.node.cli:main
    ```

calls `main(["--help"])`, and shows the parser that would print its help; further words come
before `--help`. A command that prints its help without a parser is shown as it prints.

`{subcommands} dispycos.cli:main NAMES` makes a section of each name in `dispycos.cli.NAMES`, so
that a new command needs no line in the pages.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

# A name of an option, a file or a value within a sentence of help.
_CODE = re.compile(r"(--?[a-z][\w-]*|\$\w+(?:/[\w<>-]+)*|`[^`]+`)")


class _Asked(BaseException):
    """A parser was asked for its help; not an Exception, which the command itself might catch."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def asked(target: str, words: list[str]) -> argparse.ArgumentParser | str:
    """The parser that answers `--help` at `module:function`, or what is printed instead."""

    def intercept(parser: argparse.ArgumentParser, file: Any = None) -> None:
        raise _Asked(parser)

    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    original = argparse.ArgumentParser.print_help
    argparse.ArgumentParser.print_help = intercept  # type: ignore[method-assign]
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            function([*words, "--help"])
    except _Asked as found:
        return found.parser
    finally:
        argparse.ArgumentParser.print_help = original  # type: ignore[method-assign]
    return printed.getvalue()


def running(text: str) -> list[nodes.Node]:
    """Help as running text, with what is typed set as code."""
    parts = _CODE.split(text)
    return [
        nodes.literal(part, part.strip("`")) if number % 2 else nodes.Text(part)
        for number, part in enumerate(parts)
        if part
    ]


def paragraphs(text: str) -> Iterator[nodes.Node]:
    """A description or epilog: paragraphs, and what is laid out by hand as it is."""
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        if re.search(r"^ {2,}\S", block, re.MULTILINE):
            yield literal(block)
        else:
            yield nodes.paragraph("", "", *running(" ".join(block.split())))


def literal(text: str) -> nodes.literal_block:
    """Text as it stands."""
    return nodes.literal_block(text, text, language="text")


def described(target: str, words: list[str]) -> list[nodes.Node]:
    """The nodes that describe a command."""
    found = asked(target, words)
    if isinstance(found, str):
        usage, _, about = found.strip().partition("\n")
        return [literal(usage.removeprefix("usage: ")), *paragraphs(about)]
    formatter = found._get_formatter()
    result: list[nodes.Node] = [literal(found.format_usage().removeprefix("usage: ").strip())]
    result += paragraphs(found.description or "")
    for group in found._action_groups:
        actions = [action for action in group._group_actions if action.help is not argparse.SUPPRESS]
        if actions:
            result.append(nodes.rubric(text=str(group.title).capitalize()))
            result.append(table(actions, formatter))
    result += paragraphs(found.epilog or "")
    return result


def table(actions: list[argparse.Action], formatter: argparse.HelpFormatter) -> nodes.Node:
    """Options and arguments, each with its names and what it does."""
    found = nodes.definition_list(classes=["options"])
    for action in actions:
        terms: list[nodes.Node] = []
        for name in formatter._format_action_invocation(action).split(", "):
            terms += [nodes.literal(name, name), nodes.Text("  ")]
        about = formatter._expand_help(action) if action.help else ""
        meaning = nodes.definition("", nodes.paragraph("", "", *running(about)))
        found += nodes.definition_list_item("", nodes.term("", "", *terms[:-1]), meaning)
    return found


class Command(Directive):
    """`{command} module:function word ...`"""

    required_arguments = 1
    optional_arguments = 9

    def run(self) -> list[nodes.Node]:
        """The nodes that describe the command."""
        return described(self.arguments[0], self.arguments[1:])


class Subcommands(Directive):
    """`{subcommands} module:function NAMES`"""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """A section for each."""
        target, names = self.arguments
        module = importlib.import_module(target.partition(":")[0])
        document = self.state.document
        sections: list[nodes.Node] = []
        for name in sorted(getattr(module, names)):
            title = f"dispycos {name}"
            section = nodes.section("", nodes.title(title, title), names=[nodes.fully_normalize_name(title)])
            document.note_implicit_target(section)
            section += described(target, [name])
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known."""
    app.add_directive("command", Command)
    app.add_directive("subcommands", Subcommands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
