"""The names of a package that users import, each read from its module when it is first used.

So a program pays for what it uses. `__all__` and the imports for type checkers stand in the
package itself, where these tools look.

Layer 0.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to programs; see `dispycos`

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def on_use(
    package: dict[str, Any], homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package, whose names are kept there once they were used.

    package  its globals.
    homes    name -> the module below `dispycos`; `module:other` if it is called otherwise there,
             `module:` if it is the module itself.
    """

    def find(name: str) -> Any:
        import importlib

        if name not in homes:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        module, colon, there = homes[name].partition(":")
        home = importlib.import_module(f"dispycos.{module}")
        found = package[name] = home if colon and not there else getattr(home, there or name)
        return found

    return find, lambda: sorted({*package, *homes})
