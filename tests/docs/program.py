"""Runs the listings of all pages in one process: `python -c "from tests.docs.program import main; main()"`.

Each page is a program of its own, `__main__` with a folder of its own; its listings share their
names. A listing that yields at its top level runs as a task. One line of JSON is printed for each
page whose listings did not do what the page says. Arguments: `--long`, and pages' names.
"""

from __future__ import annotations

import ast
import contextlib
import fnmatch
import inspect
import io
import json
import linecache
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from dispycos import Client, LocalCluster, MonitorStatus, Task
from dispycos.kernel import loop
from tests.docs.listings import Listing, Page, pages
from tests.helpers import run_program, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent


class Different(Exception):
    """A listing printed something else than its page says."""


class Names(ast.NodeVisitor):
    """The names that a listing binds at its top level, and whether it yields there."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.yields = False

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, (ast.Store, ast.Del)):
            self.bound.add(node.id)

    def visit_alias(self, node: ast.alias) -> None:
        self.bound.add((node.asname or node.name).partition(".")[0])

    def visit_Yield(self, node: ast.Yield) -> None:
        self.yields = True
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.bound.add(node.name)  # and what is inside is its own

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # noqa: N815 - ast's names

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Its names are its own."""

    def visit_ListComp(self, node: Any) -> None:
        """Likewise, but for where it begins."""
        self.visit(node.generators[0].iter)

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815


def prepared(listing: Listing) -> tuple[CodeType, bool]:
    """The code of a listing, and whether it is a task; then it defines `__listing__`."""
    tree = listing.parsed()
    names = Names()
    names.visit(tree)
    if not names.yields:
        return compile(tree, str(listing.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), False
    shell = ast.parse("def __listing__(task=None):\n    pass")
    (function,) = shell.body
    assert isinstance(function, ast.FunctionDef)
    shared: list[ast.stmt] = [ast.Global(sorted(names.bound))] if names.bound else []
    function.body = [*shared, *tree.body]
    return compile(ast.fix_missing_locations(shell), str(listing.page), "exec"), True


def run(listing: Listing, names: dict[str, Any]) -> None:
    """Run it among these names. What it raises, or Different."""
    if listing.program:
        run_alone(listing)
        return
    code, is_task = prepared(listing)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if code.co_flags & inspect.CO_COROUTINE:
            import asyncio

            asyncio.run(eval(code, names))
        else:
            exec(code, names)
        if is_task:
            task = Task(names["__listing__"])
            value = task.value()
            if isinstance(value, MonitorStatus) and value.info is task:
                raise Different(f"the listing failed as a task:\n{value.value}")
    compare(listing, printed.getvalue())


def run_alone(listing: Listing) -> None:
    """Run it as its reader would, who saved it as a file. Different."""
    Path("first.py").write_text(listing.code, encoding="utf-8")
    ended = run_program([sys.executable, "first.py"], timeout=60)
    if ended.code:
        raise Different(f"the program ended with {ended.code}:\n{ended.err}")
    compare(listing, ended.out)


def compare(listing: Listing, printed: str) -> None:
    """Different, if the page says that something else is printed."""
    if listing.output is not None:
        expected = listing.output.rstrip("\n")
        pattern = "*".join(glob_free(part) for part in expected.split("..."))
        if not fnmatch.fnmatchcase(printed.rstrip("\n"), pattern):
            raise Different(f"the page says\n{expected}\nand printed was\n{printed}")
        return
    lines = iter(printed.splitlines())
    for said in listing.said():
        if said not in lines:
            raise Different(f"no line is, in its place, what the page says: {said}\nprinted was\n{printed}")


def glob_free(text: str) -> str:
    """`text`, for fnmatch to take as it is."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)


def failures(page: Page, long: bool, given: dict[str, Any]) -> Iterator[str]:
    """What goes wrong on a page; its later listings are not run then."""
    module = ModuleType("__main__")
    vars(module).update(given)
    former = sys.modules["__main__"], os.getcwd()
    sys.modules["__main__"] = module
    linecache.checkcache(str(page.path))
    with tempfile.TemporaryDirectory(prefix="dispycos-page-") as folder:
        os.chdir(folder)
        try:
            for listing in page.listings:
                try:
                    if listing.not_run:
                        prepared(listing)
                    elif long or not listing.long:
                        run(listing, vars(module))
                except BaseException:
                    yield f"{listing.where}\n{traceback.format_exc()}"
                    return
        finally:
            sys.modules["__main__"] = former[0]
            os.chdir(former[1])


@contextlib.contextmanager
def shared() -> Iterator[dict[str, Any]]:
    """What pages with `<!-- client -->` find."""
    with LocalCluster(2) as cluster:
        client = Client()
        client.schedule().result(60)
        wait_until(lambda: len(client.servers().result()) == 2, 60)
        yield {"cluster": cluster, "client": client}
        client.close(terminate=True).result(60)


def main() -> None:
    """Run them, and say what went wrong."""
    wanted = [argument for argument in sys.argv[1:] if argument != "--long"]
    long = "--long" in sys.argv
    given: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        for page in pages(ROOT):
            if page.run_by or (wanted and page.path.name not in wanted):
                continue
            if page.wants_client and not given:
                given = stack.enter_context(shared())
            for text in failures(page, long, dict(given) if page.wants_client else {}):
                print(json.dumps({"page": str(page.path.relative_to(ROOT)), "text": text}), flush=True)
    # Tasks of a page that failed would keep this program alive.
    loop.default().terminate()
    print(json.dumps({"page": "", "text": "ran to the end"}))
