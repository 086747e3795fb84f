"""Sources: what travels to a bare Python, a module and all of ours that it imports.

The modules are sent as source, so any Python that we support can run them. They are found by
reading imports, not by importing. I/O half. Layer 3.
"""

from __future__ import annotations

import ast
import functools
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "dispycos"
ROOT = Path(__file__).parent.parent

# Python 3.11 counts how deep it is in a tree for all threads together: two that parse at once can
# fail with "SystemError: AST constructor recursion depth mismatch".
_parsing = threading.Lock()


def pack_sources(*mains: str) -> bytes:
    """The sources of these modules and of what they import when they are loaded, packed.

    A dict from names to (is a package, source), as Python writes it, compressed. Any thread may
    ask; the work is done once.
    """
    with _parsing:
        return _pack(mains)


@functools.cache
def _pack(mains: tuple[str, ...]) -> bytes:
    wanted = list(mains)
    sources: dict[str, tuple[bool, str]] = {}
    while wanted:
        name = wanted.pop()
        if name in sources:
            continue
        path, package = _file(name)
        # The package's own doors stay closed there: they lead to what does not travel.
        source = "" if name == PACKAGE else path.read_text(encoding="utf-8")
        sources[name] = (package, source)
        parent = name.rpartition(".")[0]
        if parent:
            wanted.append(parent)
        wanted += _imports(ast.parse(source), name)
    return zlib.compress(repr(sources).encode(), 6)


def _file(name: str) -> tuple[Path, bool]:
    path = ROOT.joinpath(*name.split(".")[1:])
    if path.is_dir():
        return path / "__init__.py", True
    return path.with_suffix(".py"), False


def _imports(tree: ast.Module, name: str) -> Iterator[str]:
    # Ours, at the level of the module: not under TYPE_CHECKING, not inside functions.
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == PACKAGE:
                    yield alias.name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE:
            assert node.module is not None
            yield node.module
            for alias in node.names:
                inner, _ = _file(f"{node.module}.{alias.name}")
                if inner.exists():
                    yield f"{node.module}.{alias.name}"
