"""The pages are made without a warning, name everything that is public, and need no other host."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from dispycos.commands import programs
from tests.helpers import ROOT, run_program

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
# Other names of what stands in the reference.
ALIASES = {
    "dispycos": {"Computation", "DispycosTaskInfo", "logger"},
    "dispycos.gateways": {"DataFormatError", "TimeoutError"},
    "dispycos.rpc": {"BaseNetref", "SlaveService"},
}
# Told in another way: settings in a table, modules and groups by what is in them.
ELSEWHERE = {
    "dispycos": {
        "DispycosNodePort",
        "DispycosSchedulerPort",
        "IPV4_MULTICAST_GROUP",
        "IPV6_MULTICAST_GROUP",
        "MaxConnectionErrors",
        "MaxPulseInterval",
        "MinPulseInterval",
        "MsgTimeout",
        "NetPort",
    },
    "dispycos.easycluster": {"SINGLE", "server"},
    "dispycos.gateways": {"default_group"},
    "dispycos.rpc": {"classic", "utils"},
}


def made(builder: str, folder: Path, *options: str) -> Path:
    """Where Sphinx has put what `builder` makes of the pages; a warning is an error."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", builder, *options]
    found = run_program(
        [*command, "-d", str(folder / "trees"), str(DOCS), str(folder / "pages")], timeout=150
    )
    assert found.code == 0, found.err
    return folder / "pages"


def test_the_pages_are_read_without_a_warning(tmp_path: Path) -> None:
    # Links too; what is left out is writing, and what only makes it look better.
    made("dummy", tmp_path, "-D", "smartquotes=0")


@pytest.mark.long("writes all the HTML, as `make docs` does")
def test_the_html_has_the_docstrings_and_commands_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    folder = made("html", tmp_path)
    pages = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.html")}
    asked = {
        (name, address)
        for name, text in pages.items()
        for address in re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"([^\"]+)", text)
        if address.startswith(("http:", "https:", "//"))
    }
    assert not asked
    assert 'id="dispycos-status"' in pages["reference/commands.html"]
    assert "seconds between signs of life" in pages["reference/client.html"]


SURFACES = ("gateways", "rpc", "easycluster", "workers")


@pytest.mark.parametrize("module", ["dispycos", "dispycos.httpd", *(f"dispycos.{name}" for name in SURFACES)])
def test_every_public_name_stands_in_the_reference(module: str) -> None:
    here = "".join(
        text
        for text in (path.read_text() for path in REFERENCE.glob("*.md"))
        if re.search(rf"currentmodule:: {re.escape(module)}$", text, re.MULTILINE) or "automodule" in text
    )
    named = set(re.findall(r"^\.\. auto(?:class|function|exception):: (\S+)", here, re.MULTILINE))
    errors = set(vars(importlib.import_module("dispycos.errors")))  # as a module
    public = set(importlib.import_module(module).__all__)
    missing = public - named - errors - ALIASES.get(module, set()) - ELSEWHERE.get(module, set())
    assert not missing, f"name these in docs/reference: {sorted(missing)}"


def test_every_program_stands_in_the_reference() -> None:
    page = (REFERENCE / "commands.md").read_text()
    headings = set(re.findall(r"^#+ (.+)$", page, re.MULTILINE))
    installed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {*installed, *(f"python -m {name}" for name in programs.MODULES)} - headings == set()
