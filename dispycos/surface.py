"""The names of a package that users import, each read from its module when it is first used.

So a program pays for what it uses. `__all__` and the imports for type checkers stand in the
package itself, where these tools look.

Layer 0.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to programs; `typing`, which says so too, would be nearly all that is imported

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any


def on_use(
    package: dict[str, Any],
    homes: Mapping[str, str],
    *,
    anew: Collection[str] = (),
    before: Callable[[str], Collection[str]] | None = None,
    missing: Callable[[str], str] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package, whose names are kept there once they were used.

    package  its globals.
    homes    name -> the module below `dispycos`; `module:other` if it is called otherwise there,
             `module:` if it is the module itself.
    anew     names that are never kept: a program may set others in their modules.
    before   the modules that are imported before the one that a name is read from.
    missing  what the AttributeError says of a name that is not here.
    """

    def find(name: str) -> Any:
        if name not in homes:
            plain = f"module {package['__name__']!r} has no attribute {name!r}"
            raise AttributeError(plain if missing is None else missing(name))
        import importlib

        for other in () if before is None else before(name):
            importlib.import_module(f"dispycos.{other}")
        module, colon, there = homes[name].partition(":")
        home = importlib.import_module(f"dispycos.{module}")
        found = home if colon and not there else getattr(home, there or name)
        if name not in anew:
            package[name] = found
        return found

    return find, lambda: sorted({*package, *homes})
