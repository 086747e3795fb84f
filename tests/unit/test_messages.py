"""The list of messages: complete, numbered once, and the same in docs/protocol.md."""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from types import ModuleType

from dispycos import messages
from dispycos.messages import NUMBERS
from dispycos.objects import wire
from dispycos.protocol import files, pooling, preparing, reserving, running, scheduling, talking, watching
from tests.helpers import ROOT

CONVERSATIONS: tuple[ModuleType, ...] = (
    talking,
    files,
    reserving,
    scheduling,
    preparing,
    running,
    watching,
    pooling,
)


def test_no_number_is_given_twice() -> None:
    assert len(NUMBERS) == sum(len(conversation.NUMBERS) for conversation in CONVERSATIONS)
    assert len(NUMBERS) == len(set(NUMBERS.values()))


def test_each_message_has_a_number_and_is_found_in_messages() -> None:
    for conversation in CONVERSATIONS:
        said = [
            value
            for value in vars(conversation).values()
            if is_dataclass(value) and getattr(value, "__module__", "") == conversation.__name__
        ]
        assert said == list(conversation.NUMBERS.values())
        for kind in said:
            assert getattr(messages, kind.__name__) is kind
            assert kind.__name__ in messages.__all__


def test_the_protocol_page_lists_each_message_as_the_code_does() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+) \|$", page.partition("## Messages")[2], re.MULTILINE)
    code = [(str(number), kind.__name__, kind.__doc__.splitlines()[0]) for number, kind in NUMBERS.items()]
    assert sorted(rows) == sorted(code)


def test_the_protocol_page_lists_what_is_said_of_objects_as_the_code_does() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    section = page.partition("### Objects of another process")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| ([A-Z]+) \|", section, re.MULTILINE)
    # Their names are those of the constants that have these numbers.
    assert [getattr(wire, name) for _, name in rows] == [int(number) for number, _ in rows] == [*wire._KINDS]
    assert f"has {wire._HEAD.size} bytes" in section and f"{wire.MOST_CALLS:,} calls" in section
