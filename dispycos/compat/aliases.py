"""The modules `pycos`, `pycos.netpycos`, ...: where an import of them finds ours.

`install()` puts them before an installed pycos, in this process only. A process in which it
was not called imports whatever pycos is installed, if any.

Layer 7. Rows CO-01 to CO-05.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Sequence

from dispycos.pickling import origins

HOME = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pycos")

# Every process of a pycos program has these: code that uses them travels without them.
NAMES = frozenset(
    {"pycos", "pycos.netpycos", "pycos.dispycos", "pycos.httpd", "pycos.asyncfile", "pycos.config"}
)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the package; what is in it is found beside it, as in any package."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "pycos":
            return None
        return importlib.util.spec_from_file_location(
            name, os.path.join(HOME, "__init__.py"), submodule_search_locations=[HOME]
        )


_finder = _Finder()


def install() -> None:
    """Let imports of pycos find ours; may be repeated."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
        origins.shipped.update(NAMES)
