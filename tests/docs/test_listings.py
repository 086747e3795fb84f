"""What the pages say that a program does, it does."""

from __future__ import annotations

import codeop
import json
from pathlib import Path

import pytest

from tests.docs.listings import Listing, Page, pages
from tests.docs.program import Different, compare, prepared
from tests.helpers import ROOT, run_python

PROGRAM = "from tests.docs.program import main\nmain()\n"


def run(*arguments: str) -> list[str]:
    """The failures of the pages' listings; those of a program that did not end, too."""
    found = run_python(PROGRAM, *arguments, timeout=150)
    lines = [json.loads(line) for line in found.out.splitlines() if line.startswith("{")]
    assert lines and lines[-1]["text"] == "ran to the end", found.err[-2000:]
    return [f"{line['page']}: {line['text']}" for line in lines[:-1]]


def test_every_listing_runs_and_prints_what_its_page_says() -> None:
    assert run() == []


@pytest.mark.long("two more clusters and a pool of workers")
def test_the_long_listings_do_too() -> None:
    assert run("--long") == []


def test_a_listing_that_is_not_run_says_why_and_is_one_of_python() -> None:
    for page in pages(ROOT):
        for listing in page.listings:
            prepared(listing)  # SyntaxError names page and line
            assert not listing.not_run or len(listing.not_run) > 15, listing.where
            assert not (listing.not_run and listing.output), f"{listing.where} prints nothing: it is not run"


def test_a_page_whose_listings_another_test_runs_is_named_there() -> None:
    for page in pages(ROOT):
        assert not page.run_by or page.path.name in (ROOT / page.run_by).read_text(), page.path


def test_the_tutorial_can_be_typed_into_an_interactive_python() -> None:
    (tutorial,) = (page for page in pages(ROOT) if page.path.name == "tutorial.md")
    listings = [listing for listing in tutorial.listings if not listing.not_run]
    assert len(listings) > 10
    assert [listing.where for listing in listings if not can_be_typed(listing.code)] == []


def test_a_blank_line_in_a_class_can_not_be_typed() -> None:
    assert can_be_typed("class A:\n    x = 1\n    y = 2\n\n\nprint(A)")
    assert not can_be_typed("class A:\n    x = 1\n\n    y = 2\n")
    assert not can_be_typed("for x in ():\n    y = 2\nprint(x)\n")


def can_be_typed(listing: str) -> bool:
    """Does Python take it line by line, as at its prompt?"""
    typed: list[str] = []
    for line in [*listing.splitlines(), ""]:
        typed.append(line)
        try:
            if codeop.compile_command("\n".join(typed), symbol="single") is not None:
                typed = []
        except SyntaxError:
            return False
    return not typed


# The collector itself.

PAGE = """
<!-- client -->
<!-- run
x = 1
-->
```python
print(x)  # 1
```

<!-- long: it takes
a minute -->
```python
print("a ... c")
```

```output
a ... c
```

<!-- not run: nobody listens there -->
```python
y = yield x
```

    ```python
    indented, and part of a text
    ```

```
plain
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Page:
    (tmp_path / "page.md").write_text(PAGE)
    return Page.read(tmp_path / "page.md")


def test_the_listings_of_a_page_are_found_with_their_lines_and_marks(page: Page) -> None:
    hidden, first, second, third = page.listings
    assert page.wants_client
    assert (hidden.line, hidden.code) == (4, "x = 1\n")
    assert (first.line, first.said(), first.output) == (7, ["1"], None)
    assert (second.long, second.output) == ("it takes\na minute", "a ... c\n")
    assert third.not_run == "nobody listens there"


def test_a_listing_that_yields_is_a_task(page: Page) -> None:
    assert [prepared(listing)[1] for listing in page.listings] == [False, False, False, True]


@pytest.mark.parametrize("printed", ["a b c\n", "a ... c"])
def test_dots_stand_for_anything(page: Page, printed: str) -> None:
    compare(page.listings[2], printed)


@pytest.mark.parametrize(
    ("listing", "printed"),
    [
        (Listing(Path("p.md"), 1, "", output="a ... c\n"), "a b\n"),
        (Listing(Path("p.md"), 1, "", output="[1]\n"), "1\n"),  # no pattern of the shell
        (Listing(Path("p.md"), 1, "", output="1\n"), "1\n2\n"),
        (Listing(Path("p.md"), 1, "print(1)  # 1\nprint(2)  # 2\n"), "2\n1\n"),  # another order
    ],
)
def test_what_is_printed_differs(listing: Listing, printed: str) -> None:
    with pytest.raises(Different):
        compare(listing, printed)
