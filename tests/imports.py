"""Which module of the package imports which, read from the source without running it."""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import ROOT

PACKAGE = "dispycos"

# Files that are installed for their content, not as modules: the pages, program files, Dockerfile.
_DATA_FOLDERS = {"data", "examples"}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, wherever in the file it stands."""

    module: str  # absolute dotted name, as far as it certainly is a module
    name: str | None  # what `from module import name` takes
    line: int
    in_function: bool
    typing_only: bool  # inside `if TYPE_CHECKING:`


@dataclass(frozen=True, slots=True)
class Module:
    """One source file of the package."""

    name: str  # without the package: "net.frame"; "net" for net/__init__.py; "" for the façade
    path: Path
    tree: ast.Module
    imports: tuple[Import, ...]

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


@functools.cache
def modules(root: Path = ROOT) -> dict[str, Module]:
    """Every module of the package under `root`, by name; read once in a run."""
    with _uncollected():
        return _read(root)


def _read(root: Path) -> dict[str, Module]:
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = list(path.relative_to(root / PACKAGE).with_suffix("").parts)
        if _DATA_FOLDERS & set(parts[:-1]):
            continue
        if parts[-1] == "__init__":
            parts.pop()
        name = ".".join(parts)
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        here = parts if path.name == "__init__.py" else parts[:-1]
        found[name] = Module(name, path, tree, tuple(_imports(tree, here)))
    return found


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    # What a collector finalizes while a tree is built may use `ast` too, which Python 3.11 takes for
    # a fault of its own (SystemError).
    gc.disable()
    try:
        yield
    finally:
        # Nearly a million nodes, and they stay: each later collection would take half a second to see that.
        gc.freeze()
        gc.enable()


def _imports(tree: ast.Module, package: list[str]) -> Iterator[Import]:
    waiting: list[tuple[ast.AST, bool, bool]] = [(tree, False, False)]
    while waiting:
        node, in_function, typing_only = waiting.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno, in_function, typing_only)
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            if node.level:
                up = [PACKAGE, *package][: len(package) + 2 - node.level]
                base = up + base
            for alias in node.names:
                yield Import(".".join(base), alias.name, node.lineno, in_function, typing_only)
        elif named := _dynamic(node):
            yield Import(named, None, node.lineno, in_function, typing_only)
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += [(child, inside, True) for child in node.body]
            waiting += [(child, inside, typing_only) for child in node.orelse]
        else:
            waiting += [(child, inside, typing_only) for child in ast.iter_child_nodes(node)]


def _dynamic(node: ast.AST) -> str | None:
    """The module that `import_module("...")` or `__import__("...")` names."""
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            return node.args[0].value
    return None


def _is_type_checking(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def target(imported: Import, known: dict[str, Module]) -> str | None:
    """The module of the package that an import loads, "" for the façade; None for other packages'."""
    if imported.module != PACKAGE and not imported.module.startswith(PACKAGE + "."):
        return None
    base = imported.module.removeprefix(PACKAGE).removeprefix(".")
    if imported.name is not None:
        deeper = f"{base}.{imported.name}" if base else imported.name
        if deeper in known:
            return deeper
    return base


def top_level(imported: Import) -> str:
    """The first part of what is imported: "os" for `os.path`."""
    return imported.module.partition(".")[0]
