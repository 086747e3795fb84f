"""Modules of a client program that were sent whole: `import mod` finds them.

They are looked for before the files of this machine, but never in place of the standard
library, of dispycos or of a module that is already imported.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

from dispycos.pickling import origins

_sent: dict[str, tuple[str, str, bool]] = {}  # name -> path at the client, source, is a package


class _Finder:
    """Finder and loader. What importlib.abc has for them takes longer to import than all of this package."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _sent:
            return None
        file, _, is_package = _sent[name]
        loader: Any = self
        spec = importlib.machinery.ModuleSpec(name, loader, origin=file, is_package=is_package)
        spec.has_location = True  # gives the module its __file__
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """One as any other will do."""

    def exec_module(self, module: types.ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)

    def get_source(self, name: str) -> str:
        return _sent[name][1]

    def is_package(self, name: str) -> bool:
        return _sent[name][2]

    def get_code(self, name: str) -> types.CodeType:
        file, source, _ = _sent[name]
        return compile(source, file, "exec", dont_inherit=True)


_finder = _Finder()


def install(name: str, path: str, source: str, is_package: bool) -> None:
    """Let `import name` find this source; a changed one counts from the next import on."""
    if name.partition(".")[0] in sys.stdlib_module_names or name.partition(".")[0] == "dispycos":
        return
    if name in sys.modules and name not in _sent:
        return
    _sent[name] = (path, source, is_package)
    origins.shipped.add(name)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def files_of(module: types.ModuleType) -> Iterator[tuple[str, str, str, bool]]:
    """Name, path, source and whether it is a package: of a module, and of all in its package."""
    name = module.__name__
    root = sys.modules.get(name.partition(".")[0], module)
    if not hasattr(root, "__path__"):
        path = getattr(module, "__file__", None)
        if path is None or not path.endswith(".py"):
            raise ValueError(f"module {name!r} has no Python source to send: install it on the servers")
        yield name, path, _read(path), False
        return
    for folder in root.__path__:
        for at, folders, files in os.walk(folder):
            folders[:] = sorted(one for one in folders if one.isidentifier())
            inner = os.path.relpath(at, folder)
            package = root.__name__ if inner == os.curdir else f"{root.__name__}.{inner.replace(os.sep, '.')}"
            # A folder without it is a namespace package, which is a package all the same.
            if "__init__.py" not in files and any(file.endswith(".py") for file in files):
                yield package, os.path.join(at, "__init__.py"), "", True
            for file in sorted(files):
                path = os.path.join(at, file)
                if file == "__init__.py":
                    yield package, path, _read(path), True
                elif file.endswith(".py") and file[:-3].isidentifier():
                    yield f"{package}.{file[:-3]}", path, _read(path), False


def _read(path: str) -> str:
    with open(path, "rb") as file:
        return importlib.util.decode_source(file.read())
