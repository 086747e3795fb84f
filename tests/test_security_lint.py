"""What no line of the package may do, checked in the source: shells, and decoding in the wrong process."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import imports
from tests.imports import PACKAGE, Module
from tests.test_layers import tree

SHELL_CALLS = {
    "system",
    "popen",
    "getoutput",
    "getstatusoutput",
    "create_subprocess_shell",
    "subprocess_shell",
}

# Processes that never decode what a client made (SE-24), by the modules that they start from.
NEVER_DECODE = ("scheduler.service", "scheduler.shared", "node.daemon")
DECODERS = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "cloudpickle", "dill"}
EVALUATORS = {"eval", "exec", "compile"}

# Who compiles: functions, of names of our own classes, and a text that stands there. Nothing that
# came from anywhere else is in that source.
COMPILES_ITS_OWN = {"written": 2, "kernel.program": 1}  # calls


def shells(module: Module) -> Iterator[str]:
    """A sentence for each call that goes through a shell."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in SHELL_CALLS:
            yield f"{PACKAGE}.{module.name}:{node.lineno} calls {name}(), which starts a shell"
        for keyword in node.keywords:
            constant_false = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg == "shell" and not constant_false:
                yield f"{PACKAGE}.{module.name}:{node.lineno} passes shell="


def loaded_by(start: str, known: dict[str, Module]) -> dict[str, str]:
    """Each module that `start` may load at run time, and the module that imports it."""
    reached = {start: start}
    queue = [start]
    while queue:
        name = queue.pop()
        # Importing a.b.c runs a and a.b too; the façade only where it is not lazy.
        parents = [".".join(name.split(".")[:depth]) for depth in range(name.count(".") + 1)]
        wanted = [parent for parent in parents if parent in known]
        for imported in known[name].imports:
            found = imports.target(imported, known)
            # What the façade imports inside a function is loaded only on demand.
            on_demand = imported.typing_only or (name == "" and imported.in_function)
            if found is not None and found in known and not on_demand:
                wanted.append(found)
        for other in wanted:
            if other not in reached:
                reached[other] = name
                queue.append(other)
    return reached


def decoders(start: str, known: dict[str, Module]) -> Iterator[str]:
    """A sentence for each line, in what `start` loads, that could decode or evaluate."""
    reached = loaded_by(start, known)
    for name in sorted(reached):
        way = [name]
        while way[-1] != start:
            way.append(reached[way[-1]])
        chain = " <- ".join(part or PACKAGE for part in way)
        for imported in known[name].imports:
            if imports.top_level(imported) in DECODERS:
                yield f"{chain}: line {imported.line} imports {imported.module}"
        calls = [
            node
            for node in ast.walk(known[name].tree)
            if isinstance(node, ast.Call) and _plain_name(node.func) in EVALUATORS
        ]
        if len(calls) != COMPILES_ITS_OWN.get(name, 0):
            for call in calls:
                yield f"{chain}: line {call.lineno} calls {_plain_name(call.func)}()"  # type: ignore[arg-type]


def _plain_name(function: ast.expr) -> str:
    """`exec` for exec() and builtins.exec(); not for re.compile()."""
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return function.attr if function.value.id == "builtins" else ""
    return ""


@pytest.mark.row("SE-51")
def test_nothing_starts_a_shell() -> None:
    found = [problem for module in imports.modules().values() for problem in shells(module)]
    assert not found, "\n".join(found)


@pytest.mark.row("SE-24")
@pytest.mark.parametrize("start", NEVER_DECODE)
def test_scheduler_and_node_daemon_load_nothing_that_decodes(start: str) -> None:
    known = imports.modules()
    if start not in known:
        pytest.skip(f"later: {PACKAGE}.{start} is not written yet")
    found = list(decoders(start, known))
    assert not found, "\n".join(found)


# The checkers themselves can fail.


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess\nsubprocess.Popen('ls', shell=flag)",
        "import os\nos.system('ls')",
        "from os import popen\npopen('ls')",
        "import asyncio\nasyncio.create_subprocess_shell('ls')",
    ],
)
def test_a_planted_shell_is_found(source: str, tmp_path: Path) -> None:
    assert list(shells(tree(tmp_path, {"log": source})["log"]))


@pytest.mark.parametrize(
    "files",
    [
        {"node.daemon": "import pickle"},
        {"node.daemon": "from dispycos.net import endpoint", "net.endpoint": "def f():\n    import marshal"},
        {"node.daemon": "from dispycos import log", "log": "exec('1')"},
        {"node.daemon": "from dispycos import log", "log": "import builtins\nbuiltins.eval('1')"},
        {"node.daemon": "", "": "from dispycos import codec", "codec": "from cloudpickle import dumps"},
    ],
)
def test_a_planted_decoder_is_found(files: dict[str, str], tmp_path: Path) -> None:
    assert list(decoders("node.daemon", tree(tmp_path, files)))


def test_what_is_lazy_or_for_types_only_is_not_loaded(tmp_path: Path) -> None:
    files = {
        "node.daemon": "import re\nfrom typing import TYPE_CHECKING\nx = re.compile('')\n"
        "if TYPE_CHECKING:\n    from dispycos import codec",
        "": "def __getattr__(name):\n    from dispycos import codec",
        "codec": "import pickle",
    }
    assert list(decoders("node.daemon", tree(tmp_path, files))) == []
