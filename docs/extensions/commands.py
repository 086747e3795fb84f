"""The directive `{command}`: a command line as its own parser describes it.

    ```{command} dispycos.node.cli:main
    ```

shows the parser that `main` makes; further words come before its options.

`{subcommands} dispycos.cli:main` makes a section of each command of `dispycos`, so that a new one
needs no line in the pages.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from dispycos.commands import programs
from dispycos.usage import Described, Pairs, is_laid_out, parser_of

# A name of an option, a file or a value within a sentence of help.
_CODE = re.compile(r"(--?[a-z][\w-]*|\$\w+(?:/[\w<>-]+)*|`[^`]+`)")


def parser(target: str, words: list[str]) -> Described:
    """The parser of `module:function`, which is given these words first."""
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    return parser_of(lambda more: function([*words, *more]))


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
        if is_laid_out(block):
            yield literal(block)
        else:
            yield nodes.paragraph("", "", *running(" ".join(block.split())))


def literal(text: str) -> nodes.literal_block:
    """Text as it stands."""
    return nodes.literal_block(text, text, language="text")


def described(target: str, words: list[str]) -> list[nodes.Node]:
    """The nodes that describe a command."""
    found = parser(target, words)
    formatter = found._get_formatter()
    result: list[nodes.Node] = [literal(found.format_usage().removeprefix("usage: ").strip())]
    result += paragraphs(found.description or "")
    for group in found._action_groups:
        actions = [action for action in group._group_actions if action.help is not argparse.SUPPRESS]
        if actions:
            result.append(rubric(str(group.title)))
            result.append(table(actions, formatter))
    result += [nodes.paragraph("", "", *running(text)) for text in found.units()]
    for section in found.sections:
        result.append(rubric(section.title))
        result.append(pairs(section.pairs))
    return result


def rubric(title: str) -> nodes.Node:
    """The heading of some options."""
    return nodes.rubric(text=title[:1].upper() + title[1:])


def pairs(found: Pairs) -> nodes.Node:
    """Names or examples, each with what it means."""
    result = nodes.definition_list(classes=["options"])
    for name, meaning in found:
        about = nodes.definition("", nodes.paragraph("", "", *running(meaning)))
        result += nodes.definition_list_item("", nodes.term("", "", nodes.literal(name, name)), about)
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
    """`{subcommands} module:function`"""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A section for each."""
        (target,) = self.arguments
        document = self.state.document
        sections: list[nodes.Node] = []
        for name in sorted(programs.COMMANDS):
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
