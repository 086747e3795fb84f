"""docs/monitor-wire.md says the same as the code."""

from __future__ import annotations

import re

import pytest

from dispycos.httpd import audience, handlers
from dispycos.httpd.actions import ACTIONS
from dispycos.httpd.rows import KINDS
from tests.helpers import ROOT

PAGE = (ROOT / "docs" / "monitor-wire.md").read_text()


@pytest.mark.row("MO-33")
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_lists_each_field_as_the_code_does(kind: str) -> None:
    table = PAGE.partition(f"| `{kind}` | type |")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \| (•?) ?\| (.+) \|$", table, re.MULTILINE)

    fields = KINDS[kind]
    assert listed == [(field.name, field.type, "•" if field.overview else "", field.text) for field in fields]


def test_the_page_names_each_address_action_and_close_code() -> None:
    for path, _ in (*handlers.ROUTES, *handlers.ACTION_ROUTES):
        assert path.replace(handlers._ID, "ID") in PAGE, path
    for action in ACTIONS:
        assert f"`{action}`" in PAGE, action
    for code in (
        audience.NOT_LOGGED_IN,
        audience.LOGGED_OUT,
        audience.TOO_MANY,
        audience.BAD_MESSAGE,
        audience.STALLED_CODE,
        audience.ENDED,
    ):
        assert f"| {code} |" in PAGE, code
