"""The examples of rpc and of objects in a cluster print what their docstrings say."""

from __future__ import annotations

import ast
import textwrap

import pytest

from tests.process.examples import FOLDER, end_of

EXAMPLES = ("rpc_hardware", "rpc_information", "rpc_logic", "rpc_classic")
OBJECTS = ("objects_counter", "objects_cache", "objects_model")


@pytest.mark.row("RP-23")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_says(name: str) -> None:
    prints_what_it_says(name)


@pytest.mark.parametrize("name", OBJECTS)
def test_an_example_of_objects_prints_what_it_says(name: str) -> None:
    prints_what_it_says(name)


def prints_what_it_says(name: str) -> None:
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
    assert text is not None
    said = text.partition("\nprints\n")[2].strip("\n").partition("\n\n")[0]
    found = end_of(name)
    assert found.code == 0, found.err
    assert found.out.strip("\n") == textwrap.dedent(said)
